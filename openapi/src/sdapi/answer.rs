//! What AUTOMATIC1111's clients are answered.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::seed::Seed;

/// The pictures.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SdapiImages {
    /// Files in base64.
    pub images: Vec<String>,
    /// The request as it came, without its pictures.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// How the pictures were made: JSON, as a text.
    pub info: String,
}

/// How pictures were made: what [`SdapiImages::info`] is the JSON of.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SdapiInfo {
    pub prompt: String,
    pub all_prompts: Vec<String>,
    pub negative_prompt: String,
    pub all_negative_prompts: Vec<String>,
    pub seed: Seed,
    pub all_seeds: Vec<Seed>,
    /// -1 where there is no variation.
    pub subseed: Value,
    pub all_subseeds: Vec<Value>,
    pub subseed_strength: f64,
    pub width: u32,
    pub height: u32,
    pub sampler_name: String,
    pub cfg_scale: f64,
    pub steps: u32,
    pub batch_size: u32,
    pub restore_faces: bool,
    pub face_restoration_model: Option<String>,
    pub sd_model_name: String,
    pub sd_model_hash: Option<String>,
    pub sd_vae_name: Option<String>,
    pub sd_vae_hash: Option<String>,
    pub seed_resize_from_w: i32,
    pub seed_resize_from_h: i32,
    pub denoising_strength: Option<f64>,
    #[schema(value_type = Object)]
    pub extra_generation_params: Map<String, Value>,
    pub index_of_first_image: u32,
    pub infotexts: Vec<String>,
    pub styles: Vec<String>,
    /// Year, month, day, hour, minute, second.
    pub job_timestamp: String,
    pub clip_skip: u32,
    pub is_using_inpainting_conditioning: bool,
    pub version: String,
}

/// How far the oldest of the caller's requests is that has not been answered.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SdapiProgress {
    /// 0 to 1; 0 when nothing is being made.
    pub progress: f64,
    /// Seconds that are left.
    pub eta_relative: f64,
    pub state: SdapiState,
    /// The picture as the model predicted it last, a file in base64.
    pub current_image: Option<String>,
    pub textinfo: Option<String>,
}

/// What is being made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiState {
    pub skipped: bool,
    pub interrupted: bool,
    pub stopping_generation: bool,
    pub job: String,
    /// Iterations of the request.
    pub job_count: u32,
    pub job_timestamp: String,
    /// Iterations that are done.
    pub job_no: u32,
    pub sampling_step: u32,
    pub sampling_steps: u32,
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SdapiTaskProgress {
    pub active: bool,
    pub queued: bool,
    pub completed: bool,
    pub progress: Option<f64>,
    /// Seconds that are left.
    pub eta: Option<f64>,
    /// The picture as the model predicted it last, as a data URL, if it is newer than the known one.
    pub live_preview: Option<String>,
    /// Names that preview; -1 where there is none.
    pub id_live_preview: i64,
    pub textinfo: Option<String>,
}

/// The tasks that wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiPendingTasks {
    pub size: usize,
    pub tasks: Vec<String>,
}

/// Nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiEmpty {}

/// A sampler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiSampler {
    pub name: String,
    pub aliases: Vec<String>,
    #[schema(value_type = Object)]
    pub options: Map<String, Value>,
}

/// A noise schedule.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SdapiScheduler {
    pub name: String,
    pub label: String,
    pub aliases: Vec<String>,
    pub default_rho: f64,
    pub need_inner_model: bool,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiModel {
    pub title: String,
    pub model_name: String,
    pub hash: Option<String>,
    pub sha256: Option<String>,
    /// Its name: this server shows no paths.
    pub filename: String,
    pub config: Option<String>,
}

/// An upscaler.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SdapiUpscaler {
    pub name: String,
    pub model_name: Option<String>,
    pub model_path: Option<String>,
    pub model_url: Option<String>,
    pub scale: f64,
}

/// Something that has only a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiName {
    pub name: String,
}

/// One of the things of which this server has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiItem {}

/// Textual inversions, of which there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiEmbeddings {
    #[schema(value_type = Object)]
    pub loaded: Map<String, Value>,
    #[schema(value_type = Object)]
    pub skipped: Map<String, Value>,
}

/// Scripts, of which there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiScripts {
    pub txt2img: Vec<String>,
    pub img2img: Vec<String>,
}

/// The memory in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiMemory {
    /// `free`, `used` and `total`.
    #[schema(value_type = Object)]
    pub ram: Map<String, Value>,
    #[schema(value_type = Object)]
    pub cuda: Map<String, Value>,
}

/// What a picture's file says.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SdapiPngInfo {
    /// AUTOMATIC1111's text; empty where there is none.
    pub info: String,
    /// The file's other texts.
    #[schema(value_type = Object)]
    pub items: Map<String, Value>,
    /// The text taken apart.
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
}

/// The body of errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SdapiProblem {
    /// A stable code.
    pub error: String,
    /// For people.
    pub detail: String,
    pub body: String,
    /// All that is wrong with the request.
    pub errors: String,
}
