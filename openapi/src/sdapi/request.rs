//! What AUTOMATIC1111's clients ask for. They send every field that there is; those that this server has nothing for are taken if they
//! ask for nothing, and otherwise refused by name.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::SdapiOptions;
use crate::json::{Fields, Json, asks_for_nothing};
use crate::problem::{ErrorCode, FieldError};
use crate::seed::Seed;

/// Fields of both routes for which there is nothing here.
const MISSING: [&str; 12] = [
    "alwayson_scripts",
    "comments",
    "firstpass_image",
    "firstphase_height",
    "firstphase_width",
    "infotext",
    "restore_faces",
    "s_churn",
    "s_min_uncond",
    "save_images",
    "styles",
    "tiling",
];

/// Which route a request came to: each reads some fields that the other does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdapiKind {
    TextToImage,
    ImageToImage,
}

/// A request for pictures. AUTOMATIC1111's other fields may be sent with values that ask for nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"prompt": "a red house", "steps": 20, "sampler_name": "Euler a", "width": 64, "height": 64}))]
pub struct SdapiRequest {
    pub prompt: Option<String>,
    pub negative_prompt: Option<String>,
    /// -1 is random, and the default.
    #[schema(value_type = Option<i64>)]
    pub seed: Option<Seed>,
    /// The seed of a variation; -1 is random, and the default.
    #[schema(value_type = Option<i64>)]
    pub subseed: Option<Seed>,
    /// How much of the variation there is. Default 0.
    #[schema(minimum = 0, maximum = 1)]
    pub subseed_strength: Option<f64>,
    /// A sampler's name or alias, in any case; the name of a scheduler may follow. Default: `sampler_index`, or Euler.
    pub sampler_name: Option<String>,
    pub sampler_index: Option<String>,
    /// The noise schedule, by its name or label in any case. Default: Automatic, the sampler's usual one.
    pub scheduler: Option<String>,
    /// Images that are made together. Default 1.
    pub batch_size: Option<i64>,
    /// How often. Default 1.
    pub n_iter: Option<i64>,
    /// Default 50.
    pub steps: Option<i64>,
    /// Default 7.
    pub cfg_scale: Option<f64>,
    /// Default 512.
    pub width: Option<i64>,
    /// Default 512.
    pub height: Option<i64>,
    /// The share of fresh noise of DDIM.
    pub eta: Option<f64>,
    /// Of image-to-image and of the second pass. Default 0.75.
    pub denoising_strength: Option<f64>,
    /// Settings for this request alone.
    pub override_settings: Option<SdapiOptions>,
    /// The name by which the request's progress can be asked for.
    pub force_task_id: Option<String>,
    /// Whether the answer has the pictures. Default true.
    pub send_images: Option<bool>,
    /// Text-to-image: whether there is a second pass at a larger size.
    pub enable_hr: Option<bool>,
    /// Default 2.
    pub hr_scale: Option<f64>,
    /// The name of an upscaler. Default: Latent.
    pub hr_upscaler: Option<String>,
    /// 0 is as many as in the first pass, and the default.
    pub hr_second_pass_steps: Option<i64>,
    /// In place of `hr_scale`, if not 0.
    pub hr_resize_x: Option<i64>,
    pub hr_resize_y: Option<i64>,
    /// Image-to-image: the picture to start from, in base64 or as a data URL. Exactly one.
    pub init_images: Option<Vec<String>>,
    /// 0 stretches, 1 crops, 2 fills.
    pub resize_mode: Option<i64>,
    /// White where the picture is made anew.
    pub mask: Option<String>,
    /// In pixels. Default 4.
    pub mask_blur: Option<i64>,
    /// 0 the colours around it, 1 the picture, 2 noise, 3 nothing. Default 0.
    pub inpainting_fill: Option<i64>,
    /// Whether only the masked part is made, at the full size. Default true.
    pub inpaint_full_res: Option<bool>,
    pub inpaint_full_res_padding: Option<i64>,
    /// Whether black, not white, is made anew.
    pub inpainting_mask_invert: Option<bool>,
    /// Whether the answer repeats the pictures that came.
    pub include_init_images: Option<bool>,
}

impl SdapiRequest {
    /// Reads a request, and finds everything in it that cannot be honoured. Such fields are left out.
    ///
    /// # Errors
    /// If it is not an object.
    pub fn read(json: Json, kind: SdapiKind) -> Result<(Self, Vec<FieldError>), FieldError> {
        let mut fields = Fields::new(json)?;
        let mut request = Self {
            prompt: fields.text("prompt"),
            negative_prompt: fields.text("negative_prompt"),
            seed: fields.seed_or_random("seed"),
            subseed: fields.seed_or_random("subseed"),
            subseed_strength: fields.number("subseed_strength"),
            sampler_name: fields.text("sampler_name"),
            sampler_index: fields.text("sampler_index"),
            scheduler: fields.text("scheduler"),
            batch_size: fields.integer("batch_size"),
            n_iter: fields.integer("n_iter"),
            steps: fields.integer("steps"),
            cfg_scale: fields.number("cfg_scale"),
            width: fields.integer("width"),
            height: fields.integer("height"),
            eta: fields.number("eta"),
            denoising_strength: fields.number("denoising_strength"),
            override_settings: fields.object("override_settings", SdapiOptions::take),
            force_task_id: fields.text("force_task_id"),
            send_images: fields.boolean("send_images"),
            ..Self::default()
        };
        request.refuse_what_is_missing(&mut fields);
        match kind {
            SdapiKind::TextToImage => request.read_second_pass(&mut fields),
            SdapiKind::ImageToImage => request.read_pictures(&mut fields),
        }
        fields.neutral_rest();
        Ok((request, fields.finish()))
    }

    fn read_second_pass(&mut self, fields: &mut Fields) {
        self.enable_hr = fields.boolean("enable_hr");
        if self.enable_hr != Some(true) {
            // They mean nothing, whatever they are.
            let unread = ["hr_scale", "hr_upscaler", "hr_second_pass_steps", "hr_resize_x", "hr_resize_y", "hr_cfg"];
            unread.iter().for_each(|name| fields.neutral(name, |_| true));
        }
        self.hr_scale = fields.number("hr_scale");
        self.hr_upscaler = fields.text("hr_upscaler");
        self.hr_second_pass_steps = fields.integer("hr_second_pass_steps");
        self.hr_resize_x = fields.integer("hr_resize_x");
        self.hr_resize_y = fields.integer("hr_resize_y");
        let off = self.enable_hr != Some(true);
        let same = |value: &Value, other: &Option<String>, word: &str| {
            off || value.as_str().is_some_and(|text| text.is_empty() || text == word || Some(text) == other.as_deref())
        };
        fields.neutral("hr_checkpoint_name", |value| same(value, &None, "Use same checkpoint"));
        fields.neutral("hr_sampler_name", |value| same(value, &self.sampler_name, "Use same sampler"));
        fields.neutral("hr_scheduler", |value| same(value, &self.scheduler, "Use same scheduler"));
        fields.neutral("hr_prompt", |value| same(value, &self.prompt, ""));
        fields.neutral("hr_negative_prompt", |value| same(value, &self.negative_prompt, ""));
        fields.neutral("hr_cfg", |value| value.as_f64().is_some_and(|scale| Some(scale) == self.cfg_scale));
    }

    fn read_pictures(&mut self, fields: &mut Fields) {
        self.init_images = fields.texts("init_images", 2);
        let count = self.init_images.as_ref().map_or(0, Vec::len);
        if count == 0 && !fields.failed("init_images") {
            fields.fail("init_images", ErrorCode::MissingParameter, "there is no picture to start from");
        }
        if count > 1 {
            fields.fail("init_images", ErrorCode::UnsupportedValue, "only one picture can be started from");
        }
        self.init_images.take_if(|_| count != 1);
        self.resize_mode = fields.integer("resize_mode");
        self.mask = fields.text("mask");
        self.mask_blur = fields.integer("mask_blur");
        let blur = self.mask_blur;
        let masked = self.mask.is_some();
        for name in ["mask_blur_x", "mask_blur_y"] {
            // Where `mask_blur` is given, these are not read; their default is its default.
            fields.neutral(name, |value| !masked || blur.is_some() || value.as_i64() == Some(4));
        }
        self.inpainting_fill = fields.integer("inpainting_fill");
        self.inpaint_full_res = fields.flag("inpaint_full_res");
        self.inpaint_full_res_padding = fields.integer("inpaint_full_res_padding");
        self.inpainting_mask_invert = fields.flag("inpainting_mask_invert");
        self.include_init_images = fields.boolean("include_init_images");
        fields.neutral("mask_round", |value| !masked || value.as_bool() == Some(true));
        fields.neutral("initial_noise_multiplier", |value| value.as_f64() == Some(1.0));
        fields.neutral("latent_mask", asks_for_nothing);
        // Only models that are told what to do with a picture read it.
        fields.neutral("image_cfg_scale", Value::is_number);
    }

    /// Takes the fields for which there is nothing here, if they ask for nothing.
    fn refuse_what_is_missing(&self, fields: &mut Fields) {
        MISSING.iter().for_each(|name| fields.neutral(name, asks_for_nothing));
        for name in ["seed_resize_from_w", "seed_resize_from_h"] {
            fields.neutral(name, |value| value.as_f64().is_some_and(|size| size <= 0.0));
        }
        // Nothing is kept but generations, and no grids are made.
        for name in ["do_not_save_samples", "do_not_save_grid", "disable_extra_networks"] {
            fields.neutral(name, Value::is_boolean);
        }
        // Only samplers with churn read the other two.
        fields.neutral("s_noise", |value| value.as_f64() == Some(1.0));
        fields.neutral("s_tmin", Value::is_number);
        fields.neutral("s_tmax", Value::is_number);
        let overrides = self.override_settings.as_ref().is_some_and(|options| *options != SdapiOptions::default());
        fields.neutral("override_settings_restore_afterwards", |value| value.as_bool() == Some(true) || !overrides);
        fields.neutral("refiner_checkpoint", |value| matches!(value.as_str(), Some("" | "None")));
        fields.neutral("refiner_switch_at", Value::is_number);
        fields.neutral("script_name", |value| matches!(value.as_str(), Some("" | "None")));
        fields.neutral("script_args", |value| value.as_array().is_some_and(Vec::is_empty));
    }
}

/// A picture to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiPngInfoRequest {
    /// A file in base64, or a data URL.
    pub image: Option<String>,
}

impl SdapiPngInfoRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// If it is not an object.
    pub fn read(json: Json) -> Result<(Self, Vec<FieldError>), FieldError> {
        let mut fields = Fields::new(json)?;
        let request = Self { image: fields.text("image") };
        if request.image.is_none() && !fields.failed("image") {
            fields.fail("image", ErrorCode::MissingParameter, "there is no picture");
        }
        Ok((request, fields.finish()))
    }
}

/// Which task's progress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiProgressRequest {
    /// As `force_task_id` had it.
    pub id_task: Option<String>,
    /// The preview that is known already; -1 is none.
    pub id_live_preview: Option<i64>,
    /// Whether a preview is wanted. Default true.
    pub live_preview: Option<bool>,
}

impl SdapiProgressRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// If it is not an object.
    pub fn read(json: Json) -> Result<(Self, Vec<FieldError>), FieldError> {
        let mut fields = Fields::new(json)?;
        let request = Self {
            id_task: fields.text("id_task"),
            id_live_preview: fields.integer("id_live_preview"),
            live_preview: fields.boolean("live_preview"),
        };
        Ok((request, fields.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;
    use crate::names::Named as _;

    fn errors(text: &str, kind: SdapiKind) -> Vec<String> {
        let (_, errors) = SdapiRequest::read(parse(text.as_bytes()).unwrap(), kind).unwrap();
        errors.into_iter().map(|error| format!("{} {}", error.field, error.code.name())).collect()
    }

    #[test]
    fn fields_that_ask_for_nothing_are_taken() {
        let neutral = r#"{"styles":[],"restore_faces":false,"tiling":null,"seed":-1,"seed_resize_from_h":-1,"s_churn":0,"s_noise":1,
            "script_name":"","script_args":[],"alwayson_scripts":{},"override_settings":{},"refiner_checkpoint":"None",
            "enable_hr":false,"hr_upscaler":"R-ESRGAN 4x+","hr_prompt":"another","firstphase_width":0,"what_comes_next":null}"#;
        assert_eq!(errors(neutral, SdapiKind::TextToImage), [""; 0]);
    }

    #[test]
    fn fields_that_ask_for_what_is_not_there_are_refused_by_name() {
        for (field, value, kind) in [
            ("styles", r#"["anime"]"#, SdapiKind::TextToImage),
            ("restore_faces", "true", SdapiKind::TextToImage),
            ("tiling", "true", SdapiKind::TextToImage),
            ("seed_resize_from_w", "512", SdapiKind::TextToImage),
            ("s_churn", "0.5", SdapiKind::TextToImage),
            ("s_noise", "1.1", SdapiKind::TextToImage),
            ("s_min_uncond", "1", SdapiKind::TextToImage),
            ("refiner_checkpoint", r#""xl""#, SdapiKind::TextToImage),
            ("script_name", r#""x/y/z plot""#, SdapiKind::TextToImage),
            ("script_args", "[1]", SdapiKind::TextToImage),
            ("alwayson_scripts", r#"{"ControlNet":{"args":[]}}"#, SdapiKind::TextToImage),
            ("save_images", "true", SdapiKind::TextToImage),
            ("firstphase_width", "64", SdapiKind::TextToImage),
            ("infotext", r#""Steps: 3""#, SdapiKind::TextToImage),
            ("seeed", "7", SdapiKind::TextToImage),
            ("init_images", r#"["aGk="]"#, SdapiKind::TextToImage),
            ("latent_mask", r#""aGk=""#, SdapiKind::ImageToImage),
            ("initial_noise_multiplier", "0.5", SdapiKind::ImageToImage),
            ("enable_hr", "true", SdapiKind::ImageToImage),
        ] {
            let start = if kind == SdapiKind::ImageToImage { r#""init_images":["aGk="],"# } else { "" };
            let found = errors(&format!("{{{start}\"{field}\":{value}}}"), kind);
            assert!(found.len() == 1 && found[0].starts_with(&format!("{field} ")), "{field}: {found:?}");
        }
    }

    #[test]
    fn what_automatic1111_has_is_told_apart_from_slips() {
        for name in MISSING {
            assert_eq!(
                errors(&format!("{{\"{name}\":true}}"), SdapiKind::TextToImage),
                [format!("{name} unsupported_value")]
            );
        }
        assert_eq!(errors(r#"{"seeed":7}"#, SdapiKind::TextToImage), ["seeed unknown_parameter"]);
    }

    #[test]
    fn a_second_pass_is_like_the_first() {
        let with =
            |more: &str| format!(r#"{{"enable_hr":true,"prompt":"a","sampler_name":"Euler","cfg_scale":7,{more}}}"#);
        let same = r#""hr_prompt":"a","hr_sampler_name":"Euler","hr_scheduler":"Use same scheduler","hr_cfg":7.0,"hr_checkpoint_name":null"#;
        assert_eq!(errors(&with(same), SdapiKind::TextToImage), [""; 0]);
        let other = r#""hr_prompt":"b","hr_sampler_name":"DDIM""#;
        let expected = ["hr_sampler_name unsupported_value", "hr_prompt unsupported_value"];
        assert_eq!(errors(&with(other), SdapiKind::TextToImage), expected);
    }

    #[test]
    fn pictures_are_one() {
        let read = |text| errors(text, SdapiKind::ImageToImage);
        assert_eq!(read("{}"), ["init_images missing_parameter"]);
        assert_eq!(read(r#"{"init_images":[]}"#), ["init_images missing_parameter"]);
        assert_eq!(read(r#"{"init_images":["a","b"]}"#), ["init_images unsupported_value"]);
        assert_eq!(read(r#"{"init_images":"a"}"#), ["init_images invalid_type"]);
        assert_eq!(read(r#"{"init_images":[1]}"#), ["init_images invalid_type"]);
        assert_eq!(read(r#"{"init_images":["a"],"inpaint_full_res":1,"inpainting_mask_invert":0}"#), [""; 0]);
    }
}
