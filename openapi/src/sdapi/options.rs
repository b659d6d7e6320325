//! The settings that AUTOMATIC1111 keeps for all requests, and that a request may override.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::json::{Fields, Json};
use crate::problem::FieldError;

/// Settings that later requests begin with. Those that are not listed here are taken where they ask for nothing, and otherwise refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct SdapiOptions {
    /// The title of a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sd_model_checkpoint: Option<String>,
    /// Which of the text encoder's layers is taken, counted from the last, which is 1.
    #[serde(rename = "CLIP_stop_at_last_layers", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 12)]
    pub clip_stop_at_last_layers: Option<i64>,
    /// Whose random numbers: `GPU` and `NV` are those of an NVIDIA GPU, `CPU` those of `torch.randn` on a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub randn_source: Option<String>,
    /// `png`, `jpg` or `webp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples_format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub jpeg_quality: Option<i64>,
    /// Whether PNG files say how they were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_pnginfo: Option<bool>,
    /// Whether pictures are shown while they are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_previews_enable: Option<bool>,
    /// How many steps there are between two of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub show_progress_every_n_steps: Option<i64>,
}

impl SdapiOptions {
    /// Reads settings, and finds all that is wrong in them. `null` counts as left out.
    ///
    /// # Errors
    /// If it is not an object.
    pub fn read(json: Json) -> Result<(Self, Vec<FieldError>), FieldError> {
        let mut fields = Fields::new(json)?;
        let options = Self::take(&mut fields);
        Ok((options, fields.finish()))
    }

    pub(super) fn take(fields: &mut Fields) -> Self {
        let options = Self {
            sd_model_checkpoint: fields.text("sd_model_checkpoint"),
            clip_stop_at_last_layers: fields.integer("CLIP_stop_at_last_layers"),
            randn_source: fields.text("randn_source"),
            samples_format: fields.text("samples_format"),
            jpeg_quality: fields.integer("jpeg_quality"),
            enable_pnginfo: fields.boolean("enable_pnginfo"),
            live_previews_enable: fields.boolean("live_previews_enable"),
            show_progress_every_n_steps: fields.integer("show_progress_every_n_steps"),
        };
        fields.neutral("sd_vae", |value| matches!(value.as_str(), Some("Automatic" | "None" | "")));
        // It only repeats which model is chosen.
        fields.neutral("sd_checkpoint_hash", Value::is_string);
        fields.neutral_rest();
        options
    }

    /// These settings, and `others` where these say nothing.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        let others = others.clone();
        Self {
            sd_model_checkpoint: self.sd_model_checkpoint.or(others.sd_model_checkpoint),
            clip_stop_at_last_layers: self.clip_stop_at_last_layers.or(others.clip_stop_at_last_layers),
            randn_source: self.randn_source.or(others.randn_source),
            samples_format: self.samples_format.or(others.samples_format),
            jpeg_quality: self.jpeg_quality.or(others.jpeg_quality),
            enable_pnginfo: self.enable_pnginfo.or(others.enable_pnginfo),
            live_previews_enable: self.live_previews_enable.or(others.live_previews_enable),
            show_progress_every_n_steps: self.show_progress_every_n_steps.or(others.show_progress_every_n_steps),
        }
    }
}
