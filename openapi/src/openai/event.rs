//! What happens while pictures are made, in OpenAI's words.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::OpenAiUsage;
use super::error::OpenAiError;
use crate::names::ImageFormat;
use crate::seed::Seed;

/// An event of a stream that `stream: true` asks for. Its name is the `type` that it holds.
///
/// For each picture there are as many `image_generation.partial_image` as `partial_images` asks for (`image_edit.partial_image`
/// for edits; a slow client may miss some), then one `image_generation.completed`. `error` ends a stream in their place.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum OpenAiEvent {
    #[schema(title = "partial_image")]
    Partial(OpenAiPartialImage),
    #[schema(title = "completed")]
    Completed(OpenAiCompleted),
    #[schema(title = "error")]
    Failed(OpenAiFailed),
}

impl OpenAiEvent {
    /// The event's name.
    pub fn name(&self) -> &str {
        match self {
            OpenAiEvent::Partial(event) => &event.kind,
            OpenAiEvent::Completed(event) => &event.kind,
            OpenAiEvent::Failed(event) => &event.kind,
        }
    }
}

/// What the model predicts the finished picture to be, at the step that it just did. What is not in OpenAI's own: all from
/// `generation_id` on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiPartialImage {
    /// `image_generation.partial_image` or `image_edit.partial_image`.
    #[serde(rename = "type")]
    #[schema(example = "image_generation.partial_image")]
    pub kind: String,
    #[schema(content_encoding = "base64")]
    pub b64_json: String,
    /// In seconds since 1970.
    pub created_at: i64,
    /// Of this picture, which may be smaller than the finished one.
    #[schema(example = "64x64")]
    pub size: String,
    pub quality: String,
    pub background: String,
    pub output_format: ImageFormat,
    /// 0 for the first of a picture.
    pub partial_image_index: u32,
    pub generation_id: Uuid,
    /// Which of the `n` pictures; 0 for the first.
    pub index: u32,
    /// 1 for the first.
    pub step: u32,
    pub steps: u32,
    /// The timestep that the model was given.
    pub timestep: f32,
    /// The noise level at that step.
    pub sigma: f32,
}

/// A finished picture. What is not in OpenAI's own: all from `generation_id` on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiCompleted {
    /// `image_generation.completed` or `image_edit.completed`.
    #[serde(rename = "type")]
    #[schema(example = "image_generation.completed")]
    pub kind: String,
    #[schema(content_encoding = "base64")]
    pub b64_json: String,
    /// In seconds since 1970.
    pub created_at: i64,
    #[schema(example = "512x512")]
    pub size: String,
    pub quality: String,
    pub background: String,
    pub output_format: ImageFormat,
    pub usage: OpenAiUsage,
    pub generation_id: Uuid,
    /// Which of the `n` pictures; 0 for the first.
    pub index: u32,
    pub seed: Seed,
    /// Where the file is.
    pub url: String,
}

/// The pictures cannot be finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiFailed {
    /// Always `error`.
    #[serde(rename = "type")]
    #[schema(example = "error")]
    pub kind: String,
    pub error: OpenAiError,
}
