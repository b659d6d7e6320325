//! A generation, as the server remembers it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::names::{
    ImageFormat, InitResize, MaskFill, NoiseSchedule, NoiseSource, OnDisconnect, PreviewDecoder, Priority,
    PromptSyntax, State, TimestepSpacing, Upscaler,
};
use crate::problem::ErrorCode;
use crate::seed::Seed;

/// A generation: what was asked for, where it stands, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GenerationRecord {
    pub id: Uuid,
    pub state: State,
    /// The model's id.
    #[schema(example = "fashion")]
    pub model: String,
    /// How many generations are before this one; `null` once it runs.
    pub position: Option<u32>,
    /// In how many seconds it is expected to be finished, as far as that is known.
    pub eta_seconds: Option<f64>,
    pub progress: Progress,
    /// The request with every default filled in. Sent as a new request it makes the same pictures.
    pub request: ResolvedRequest,
    /// The images that are finished, by index.
    pub images: Vec<ImageRecord>,
    /// What the model did with the request that the client may not expect.
    pub warnings: Vec<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<GenerationError>,
    pub timings: Timings,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

/// The steps done of all images together, of the steps that all images need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    #[schema(example = 12)]
    pub step: u32,
    #[schema(example = 25)]
    pub steps: u32,
}

/// One finished image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImageRecord {
    /// 0 for the first.
    pub index: u32,
    /// This image's own seed.
    pub seed: Seed,
    /// Where the file is, on this server.
    #[schema(example = "/v1/generations/0193f0c4-7b1e-7d52-8a52-3f2f0c7f4a10/images/0")]
    pub url: String,
    pub width: u32,
    pub height: u32,
    pub format: ImageFormat,
    /// The file in base64, where `output.inline` asks for it. Records inside of events leave it out: the `image` events have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    pub b64: Option<String>,
}

/// Why a generation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GenerationError {
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

/// How long things took, in seconds; `null` while they have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timings {
    /// From accepted to begun.
    pub queued_seconds: Option<f64>,
    /// From begun to finished.
    pub running_seconds: Option<f64>,
}

/// A request after every default was filled in. Fields that mean nothing to the model are absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResolvedRequest {
    #[schema(example = "fashion")]
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// Absent where it is `plain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_syntax: Option<PromptSyntax>,
    /// The class's name, as the model spells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "sneaker")]
    pub class_label: Option<String>,
    #[schema(example = 1)]
    pub n: u32,
    pub seed: Seed,
    #[schema(example = 32)]
    pub width: u32,
    #[schema(example = 32)]
    pub height: u32,
    #[schema(example = 25)]
    pub steps: u32,
    #[schema(example = 2.0)]
    pub guidance_scale: f64,
    pub guidance_rescale: f64,
    #[schema(example = "ddim")]
    pub sampler: String,
    pub noise_schedule: NoiseSchedule,
    /// Absent where the model's own is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestep_spacing: Option<TimestepSpacing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<f64>,
    /// Absent where it is `torch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_source: Option<NoiseSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_skip: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variation: Option<ResolvedVariation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highres: Option<ResolvedHighres>,
    /// That there was one, and its size; not the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_image: Option<InputImage>,
    /// Absent where it is `stretch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_resize: Option<InitResize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_image: Option<InputImage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inpaint: Option<ResolvedInpaint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<ResolvedPreview>,
    pub output: ResolvedOutput,
    pub priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<f64>,
    pub on_disconnect: OnDisconnect,
}

/// `variation` after every default was filled in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResolvedVariation {
    pub seed: Seed,
    pub strength: f64,
}

/// `highres` after every default was filled in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResolvedHighres {
    pub width: u32,
    pub height: u32,
    pub steps: u32,
    pub strength: f64,
    pub upscaler: Upscaler,
}

/// `inpaint` after every default was filled in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResolvedInpaint {
    pub blur: f64,
    pub fill: MaskFill,
    /// Absent where the whole picture was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub padding: Option<u32>,
    pub overlay: bool,
}

/// A picture that came with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InputImage {
    pub width: u32,
    pub height: u32,
}

/// `preview` after every default was filled in; `decoder` is never `auto` or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResolvedPreview {
    pub every: u32,
    pub decoder: PreviewDecoder,
    pub format: ImageFormat,
    pub max_size: u32,
}

/// `output` after every default was filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResolvedOutput {
    pub format: ImageFormat,
    /// JPEG only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<u32>,
    /// PNG only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<bool>,
    pub inline: bool,
}

/// One page of generations, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GenerationList {
    /// Always `list`.
    #[schema(example = "list")]
    pub object: String,
    pub data: Vec<GenerationRecord>,
    /// Whether there are older ones. Ask for them with `after` set to the last id of this page.
    pub has_more: bool,
}
