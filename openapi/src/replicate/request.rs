//! Requests for predictions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::json::{Fields, Json};
use crate::names::{ImageFormat, named};
use crate::problem::FieldError;
use crate::request::GenerationRequest;

/// A request for a prediction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"version": "fashion", "input": {"prompt": "sneaker", "seed": 7}}))]
pub struct ReplicateRequest {
    /// The id of a model, alone or as `x0/NAME` or `x0/NAME:NAME`; here a model has one version, which is named like it. Absent where the path
    /// names the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<ReplicateInput>,
}

/// The fields of Replicate's Stable Diffusion models, and every field of [`GenerationRequest`] but `model`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ReplicateInput {
    /// As `n`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_outputs: Option<i64>,
    /// As `steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_inference_steps: Option<i64>,
    /// As `sampler`; Replicate's names are understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "K_EULER")]
    pub scheduler: Option<String>,
    /// As `init_image`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// As `mask_image`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// As `strength`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_strength: Option<f64>,
    /// As `output.format`. Default: `png`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_format: Option<ReplicateImageFormat>,
    /// As `output.quality`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_quality: Option<i64>,
    #[serde(flatten)]
    pub native: GenerationRequest,
}

named! {
    /// How a picture is encoded.
    ReplicateImageFormat {
        Png = "png",
        Jpg = "jpg",
        Jpeg = "jpeg",
        Webp = "webp",
    }
}

impl From<ReplicateImageFormat> for ImageFormat {
    fn from(format: ReplicateImageFormat) -> Self {
        match format {
            ReplicateImageFormat::Png => ImageFormat::Png,
            ReplicateImageFormat::Jpg | ReplicateImageFormat::Jpeg => ImageFormat::Jpeg,
            ReplicateImageFormat::Webp => ImageFormat::Webp,
        }
    }
}

impl ReplicateRequest {
    /// Reads a request, as [`GenerationRequest::read`] does.
    ///
    /// # Errors
    /// If it is not an object.
    pub fn read(json: Json) -> Result<(Self, Vec<FieldError>), FieldError> {
        let mut fields = Fields::new(json)?;
        fields.refuse("webhook", "this server calls nobody; ask for the prediction");
        // Which events a webhook would be told of, and whether output is streamed, as only text is.
        fields.ignore("webhook_events_filter");
        fields.ignore("stream");
        let request = Self {
            version: fields.text("version"),
            input: fields.object("input", |input| {
                input.refuse("model", "the version is the model");
                // There is none that could be disabled.
                input.ignore("disable_safety_checker");
                ReplicateInput {
                    num_outputs: input.integer("num_outputs"),
                    num_inference_steps: input.integer("num_inference_steps"),
                    scheduler: input.text("scheduler"),
                    image: input.text("image"),
                    mask: input.text("mask"),
                    prompt_strength: input.number("prompt_strength"),
                    output_format: input.choice("output_format"),
                    output_quality: input.integer("output_quality"),
                    native: GenerationRequest::take(input),
                }
            }),
        };
        Ok((request, fields.finish()))
    }
}
