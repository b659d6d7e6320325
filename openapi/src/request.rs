//! What a client asks for, as it was sent: nothing is resolved, little is checked.

use serde::Serialize;
use utoipa::ToSchema;

use crate::json::{Fields, Json};
use crate::names::{
    ImageFormat, InitResize, MaskFill, MaskWhere, NoiseSchedule, NoiseSource, OnDisconnect, PreviewDecoder, Priority,
    PromptSyntax, TimestepSpacing, Upscaler,
};
use crate::problem::FieldError;
use crate::seed::Seed;

/// A request for one or more pictures.
///
/// Every field may be left out, unless the model needs it; `null` counts as left out. Fields that are not listed here are
/// refused. The ranges are this server's defaults; its operator may have set others.
// The document does not close it with `additionalProperties: false`: surfaces put their fields beside these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"model": "fashion", "class_label": "sneaker", "seed": 7}))]
pub struct GenerationRequest {
    /// The id of a model, as `GET /v1/models` lists them. Default: the first model that takes what the request gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "fashion")]
    pub model: Option<String>,
    /// What a text-to-image model shall show. The empty string stands for nothing in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 8192)]
    pub prompt: Option<String>,
    /// What a text-to-image model shall stay away from. Default: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 8192)]
    pub negative_prompt: Option<String>,
    /// How the prompts are read. Default: `plain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_syntax: Option<PromptSyntax>,
    /// What a class-conditional model shall show: the class's index or its name, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_label: Option<ClassLabel>,
    /// How many images. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 8)]
    pub n: Option<i64>,
    /// Image `i` uses `seed + i`, or, with a `variation`, `seed` itself. Default: random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// In pixels. Default: `init_image`'s, or the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2048)]
    pub width: Option<i64>,
    /// In pixels. Default: `init_image`'s, or the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2048)]
    pub height: Option<i64>,
    /// Denoising steps. Default: the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub steps: Option<i64>,
    /// Classifier-free guidance; 1 is without. Default: the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 30)]
    pub guidance_scale: Option<f64>,
    /// How much of the guided prediction's contrast is taken back (Lin et al. 2023, section 3.4). Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub guidance_rescale: Option<f64>,
    /// A sampler or one of its aliases, as `GET /v1/samplers` lists them. Default: the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ddim")]
    pub sampler: Option<String>,
    /// Default: the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_schedule: Option<NoiseSchedule>,
    /// Default: the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestep_spacing: Option<TimestepSpacing>,
    /// The share of fresh noise that DDIM adds at each step. Default: the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub eta: Option<f64>,
    /// Default: `torch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_source: Option<NoiseSource>,
    /// How many of the text encoder's last layers to leave out, as diffusers counts them. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 12)]
    pub clip_skip: Option<i64>,
    /// A second seed whose noise is mixed into that of the first. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variation: Option<VariationRequest>,
    /// A second pass at a larger size, for text-to-image models. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highres: Option<HighresRequest>,
    /// A picture to start from: base64 of a PNG, JPEG or WebP file, a data URL of one, or an `https:` URL at one of the hosts that the
    /// operator has allowed; by default there are none. It is scaled to `width` and `height`; without these, its own size is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_image: Option<String>,
    /// How `init_image` and `mask_image` are brought to `width` and `height`. Default: `stretch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_resize: Option<InitResize>,
    /// Where the picture is made anew: as `init_image`, white where it may change, black where it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_image: Option<String>,
    /// Where the picture is made anew, in terms of `mask_image`. Default: `white`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_where: Option<MaskWhere>,
    /// How the masked part is made. Default: as diffusers' inpainting pipelines do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inpaint: Option<InpaintRequest>,
    /// Which share of the steps is done when starting from `init_image`. Default 0.8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub strength: Option<f64>,
    /// Default: no previews.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputRequest>,
    /// Default: `normal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The generation fails with `deadline_exceeded` when it is not finished this many seconds after it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3600)]
    pub deadline_seconds: Option<f64>,
    /// Default: `keep` where the answer is 202, otherwise `cancel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_disconnect: Option<OnDisconnect>,
}

/// A class's index, or its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ClassLabel {
    Index(i64),
    Name(String),
}

/// Small changes of a picture: its noise goes some of the way, along a great circle, to the noise of another seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VariationRequest {
    /// Image `i` uses `seed + i` here. Default: random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// How much of the way: over 0, nearly the noise of the request's `seed`, to 1, that of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub strength: Option<f64>,
}

/// A second pass: the picture is enlarged, noise is put on it, and it is denoised once more at the new size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HighresRequest {
    /// The new size over `width` and `height`; sides are rounded down to what the model can make. Default 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 8)]
    pub scale: Option<f64>,
    /// In place of `scale`: the new size in pixels. One side is enough: the proportions are those of the first pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2048)]
    pub width: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2048)]
    pub height: Option<i64>,
    /// Denoising steps of the second pass. Default: those of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub steps: Option<i64>,
    /// How much noise is put on the enlarged picture: the steps of the second pass are this share of a whole schedule. Default 0.75.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub strength: Option<f64>,
    /// Default: `latent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upscaler: Option<Upscaler>,
}

/// How the masked part of `init_image` is made anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InpaintRequest {
    /// By how many pixels (a standard deviation) the mask is blurred. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 64)]
    pub blur: Option<f64>,
    /// Default: `picture`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill: Option<MaskFill>,
    /// If given, only the masked part is made, with so many pixels around it, at the full `width` and `height`, and put back into
    /// `init_image`; the answer has the size of `init_image`. Default: the whole picture is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 2048)]
    pub padding: Option<i64>,
    /// Whether what the mask keeps is copied from `init_image` in the end, pixel by pixel; else it went through the model's
    /// autoencoder. Default: whether there is a `padding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlay: Option<bool>,
}

/// Which previews of the finished picture are sent while it is being made, as `preview` events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// One preview every so many steps. Default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub every: Option<i64>,
    /// Default: `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder: Option<PreviewDecoder>,
    /// Default: `png` for pictures up to 128 x 128, otherwise `jpeg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
    /// The longer side in pixels; larger previews are made smaller. Default 512.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 16, maximum = 2048)]
    pub max_size: Option<i64>,
}

/// How the finished pictures are encoded and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputRequest {
    /// Default: `png`, or what `Accept` asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
    /// JPEG only. Default 90.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub quality: Option<i64>,
    /// Whether the file says how it was made: a PNG by the request that makes the same picture again, in a text chunk `x0`, and by
    /// AUTOMATIC1111's text; a JPEG or WebP by that text alone, in EXIF. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<bool>,
    /// Whether records and `image` events carry the file itself, in base64. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline: Option<bool>,
}

impl GenerationRequest {
    /// Reads a request, and finds everything in it that is not of the right type, and every field that is not known. Such fields are
    /// left out of the request.
    ///
    /// # Errors
    /// If it is not an object.
    pub fn read(json: Json) -> Result<(Self, Vec<FieldError>), FieldError> {
        let mut fields = Fields::new(json)?;
        let request = Self::take(&mut fields);
        Ok((request, fields.finish()))
    }

    /// Takes every field of ours out of an object that may have others.
    pub fn take(fields: &mut Fields) -> Self {
        Self {
            model: fields.text("model"),
            prompt: fields.text("prompt"),
            negative_prompt: fields.text("negative_prompt"),
            prompt_syntax: fields.choice("prompt_syntax"),
            class_label: fields.class_label("class_label"),
            n: fields.integer("n"),
            seed: fields.seed("seed"),
            width: fields.integer("width"),
            height: fields.integer("height"),
            steps: fields.integer("steps"),
            guidance_scale: fields.number("guidance_scale"),
            guidance_rescale: fields.number("guidance_rescale"),
            sampler: fields.text("sampler"),
            noise_schedule: fields.choice("noise_schedule"),
            timestep_spacing: fields.choice("timestep_spacing"),
            eta: fields.number("eta"),
            noise_source: fields.choice("noise_source"),
            clip_skip: fields.integer("clip_skip"),
            variation: fields.object("variation", |variation| VariationRequest {
                seed: variation.seed("seed"),
                strength: variation.number("strength"),
            }),
            highres: fields.object("highres", |highres| HighresRequest {
                scale: highres.number("scale"),
                width: highres.integer("width"),
                height: highres.integer("height"),
                steps: highres.integer("steps"),
                strength: highres.number("strength"),
                upscaler: highres.choice("upscaler"),
            }),
            init_image: fields.text("init_image"),
            init_resize: fields.choice("init_resize"),
            mask_image: fields.text("mask_image"),
            mask_where: fields.choice("mask_where"),
            inpaint: fields.object("inpaint", |inpaint| InpaintRequest {
                blur: inpaint.number("blur"),
                fill: inpaint.choice("fill"),
                padding: inpaint.integer("padding"),
                overlay: inpaint.boolean("overlay"),
            }),
            strength: fields.number("strength"),
            preview: fields.object("preview", |preview| PreviewRequest {
                every: preview.integer("every"),
                decoder: preview.choice("decoder"),
                format: preview.choice("format"),
                max_size: preview.integer("max_size"),
            }),
            output: fields.object("output", |output| OutputRequest {
                format: output.choice("format"),
                quality: output.integer("quality"),
                metadata: output.boolean("metadata"),
                inline: output.boolean("inline"),
            }),
            priority: fields.choice("priority"),
            deadline_seconds: fields.number("deadline_seconds"),
            on_disconnect: fields.choice("on_disconnect"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[test]
    fn what_is_written_is_read() {
        let request = GenerationRequest {
            model: Some("fashion".to_owned()),
            class_label: Some(ClassLabel::Name("Sneaker".to_owned())),
            seed: Some(Seed(u64::MAX)),
            guidance_scale: Some(2.0),
            variation: Some(VariationRequest { seed: Some(Seed(3)), strength: Some(0.5) }),
            highres: Some(HighresRequest { scale: Some(1.5), upscaler: Some(Upscaler::Lanczos), ..Default::default() }),
            inpaint: Some(InpaintRequest { fill: Some(MaskFill::Noise), padding: Some(8), ..Default::default() }),
            preview: Some(PreviewRequest { every: Some(5), ..Default::default() }),
            output: Some(OutputRequest { format: Some(ImageFormat::Webp), ..Default::default() }),
            on_disconnect: Some(OnDisconnect::Keep),
            ..Default::default()
        };
        let text = serde_json::to_vec(&request).unwrap();
        assert_eq!(GenerationRequest::read(parse(&text).unwrap()), Ok((request, Vec::new())));
        let nothing = GenerationRequest::read(parse(b"{}").unwrap());
        assert_eq!(nothing, Ok((GenerationRequest::default(), Vec::new())));
    }
}
