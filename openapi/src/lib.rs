//! What goes over the wire: requests, records, events and problems, and the OpenAPI document that describes them.
//!
//! These types say what is sent, not what is allowed: the server checks a [`GenerationRequest`] against its limits and its
//! models before anything is made of it. [`ApiDoc`] holds the parts of the document that belong to no route; the server adds
//! its routes to it, and the result is committed as `openapi.json` beside this crate.

mod admin;
mod document;
mod event;
mod health;
mod hugging_face;
mod json;
mod media;
mod model;
mod names;
mod openai;
mod problem;
mod record;
mod replicate;
mod request;
mod sdapi;
mod seed;
mod settings;

pub use admin::{ApiKey, ApiKeyList, KeyLimits};
pub use document::ApiDoc;
pub use event::{Event, PreviewEvent, QueuedEvent, ShutdownEvent, StartedEvent, StepEvent};
pub use health::{Health, Queue, Readiness};
pub use hugging_face::{HuggingFaceParameters, HuggingFaceProblem, HuggingFaceRequest, HuggingFaceSize};
pub use json::{Fields, Json, parse};
pub use media::{FileBytes, ServerSentEvent};
pub use model::{
    Model, ModelDefaults, ModelKind, ModelList, ModelSize, Sampler, SamplerList, SamplerOption, SamplerOptionKind,
};
pub use names::{
    ImageFormat, InitResize, MaskFill, MaskWhere, Named, NoiseSchedule, NoiseSource, OnDisconnect, PreviewDecoder,
    Priority, PromptSyntax, Scope, State, TimestepSpacing, Upscaler,
};
pub use openai::{
    OpenAiBackground, OpenAiCompleted, OpenAiEditForm, OpenAiEditRequest, OpenAiError, OpenAiEvent, OpenAiFailed,
    OpenAiImage, OpenAiImageRequest, OpenAiImages, OpenAiInputFidelity, OpenAiInputTokens, OpenAiModeration,
    OpenAiPartialImage, OpenAiProblem, OpenAiQuality, OpenAiResponseFormat, OpenAiUsage,
};
pub use problem::{ErrorCode, FieldError, Problem};
pub use record::{
    GenerationError, GenerationList, GenerationRecord, ImageRecord, InputImage, Progress, ResolvedHighres,
    ResolvedInpaint, ResolvedOutput, ResolvedPreview, ResolvedRequest, ResolvedVariation, Timings,
};
pub use replicate::{
    ReplicateImageFormat, ReplicateInput, ReplicateMetrics, ReplicateModel, ReplicatePrediction,
    ReplicatePredictionList, ReplicateRequest, ReplicateStatus, ReplicateUrls, ReplicateVersion, ReplicateVersionList,
};
pub use request::{
    ClassLabel, GenerationRequest, HighresRequest, InpaintRequest, OutputRequest, PreviewRequest, VariationRequest,
};
pub use sdapi::{
    SdapiEmbeddings, SdapiEmpty, SdapiImages, SdapiInfo, SdapiItem, SdapiKind, SdapiMemory, SdapiModel, SdapiName,
    SdapiOptions, SdapiPendingTasks, SdapiPngInfo, SdapiPngInfoRequest, SdapiProblem, SdapiProgress,
    SdapiProgressRequest, SdapiRequest, SdapiSampler, SdapiScheduler, SdapiScripts, SdapiState, SdapiTaskProgress,
    SdapiUpscaler,
};
pub use seed::Seed;
pub use settings::{PictureSettings, PictureSettingsRequest, SettingsSource};
