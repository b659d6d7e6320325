//! What Hugging Face's inference clients say over the wire, with our own fields beside theirs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::json::{Fields, Json};
use crate::problem::FieldError;
use crate::request::GenerationRequest;

/// A request of the tasks text-to-image and image-to-image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"inputs": "sneaker", "parameters": {"seed": 7}}))]
pub struct HuggingFaceRequest {
    /// The prompt, or the name of a class; or a picture to start from, in base64 or as a URL. It is a picture where it begins as a
    /// PNG, JPEG or WebP file does, or is nothing but a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<HuggingFaceParameters>,
}

/// Besides the fields listed first, every field of [`GenerationRequest`] but `model`, which is in the path, and `n`: the answer is one
/// picture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct HuggingFaceParameters {
    /// As `steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_inference_steps: Option<i64>,
    /// As `sampler`; the names of diffusers' classes are understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "EulerDiscreteScheduler")]
    pub scheduler: Option<String>,
    /// As `width` and `height`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_size: Option<HuggingFaceSize>,
    #[serde(flatten)]
    pub native: GenerationRequest,
}

/// In pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct HuggingFaceSize {
    pub width: Option<i64>,
    pub height: Option<i64>,
}

/// The body of an answer of 400 and above.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HuggingFaceProblem {
    /// For people: everything that is wrong.
    #[schema(example = "parameters.num_inference_steps: 0 is less than 1")]
    pub error: String,
    /// For programs: one of [`ErrorCode`](crate::ErrorCode)'s words.
    #[schema(example = "out_of_range")]
    pub error_type: String,
}

impl HuggingFaceRequest {
    /// Reads a request, as [`GenerationRequest::read`] does.
    ///
    /// # Errors
    /// If it is not an object.
    pub fn read(json: Json) -> Result<(Self, Vec<FieldError>), FieldError> {
        let mut fields = Fields::new(json)?;
        // Whether to use a cache, and whether to wait for a model: there is no cache, and models are always waited for.
        fields.ignore("options");
        let request = Self {
            inputs: fields.text("inputs"),
            parameters: fields.object("parameters", |parameters| {
                parameters.refuse("model", "the model is named in the path");
                HuggingFaceParameters {
                    num_inference_steps: parameters.integer("num_inference_steps"),
                    scheduler: parameters.text("scheduler"),
                    target_size: parameters.object("target_size", |size| HuggingFaceSize {
                        width: size.integer("width"),
                        height: size.integer("height"),
                    }),
                    native: GenerationRequest::take(parameters),
                }
            }),
        };
        Ok((request, fields.finish()))
    }
}
