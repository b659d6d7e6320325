//! What happens to a generation, as server-sent events.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::{ImageFormat, PreviewDecoder};
use crate::record::{GenerationRecord, ImageRecord};

/// An event of a generation's stream.
///
/// The stream begins with `snapshot`. The facts `queued`, `started`, `image` and the last one (`succeeded`, `failed` or
/// `cancelled`) follow, each with an `id`, whether they are old or new; a client that comes back with `Last-Event-ID` gets
/// those after it. `step` and `preview` come between them as they happen, without an id, and a slow client may miss some.
/// `shutdown` says that the server stops before the generation has ended.
///
/// The name is sent as the event's `event:`, and what the variant holds as its `data:`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Event {
    #[schema(title = "snapshot")]
    Snapshot(Box<GenerationRecord>),
    #[schema(title = "queued")]
    Queued(QueuedEvent),
    #[schema(title = "started")]
    Started(StartedEvent),
    #[schema(title = "step")]
    Step(StepEvent),
    #[schema(title = "preview")]
    Preview(PreviewEvent),
    #[schema(title = "image")]
    Image(ImageRecord),
    #[schema(title = "succeeded")]
    Succeeded(Box<GenerationRecord>),
    #[schema(title = "failed")]
    Failed(Box<GenerationRecord>),
    #[schema(title = "cancelled")]
    Cancelled(Box<GenerationRecord>),
    #[schema(title = "shutdown")]
    Shutdown(ShutdownEvent),
}

impl Event {
    /// The event's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Snapshot(_) => "snapshot",
            Event::Queued(_) => "queued",
            Event::Started(_) => "started",
            Event::Step(_) => "step",
            Event::Preview(_) => "preview",
            Event::Image(_) => "image",
            Event::Succeeded(_) => "succeeded",
            Event::Failed(_) => "failed",
            Event::Cancelled(_) => "cancelled",
            Event::Shutdown(_) => "shutdown",
        }
    }
}

/// The generation waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueuedEvent {
    /// How many generations are before it.
    pub position: u32,
    /// In how many seconds it is expected to be finished, as far as that is known.
    pub eta_seconds: Option<f64>,
}

/// The generation's first image was begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StartedEvent {
    #[schema(value_type = String, format = DateTime)]
    pub started_at: jiff::Timestamp,
}

/// An image did a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepEvent {
    /// Which image; 0 for the first.
    pub index: u32,
    /// 1 for the first.
    pub step: u32,
    pub steps: u32,
    /// The timestep that the model was given, 0 to 999 for most models.
    pub timestep: f32,
    /// The noise level at that step: the standard deviation of the noise over that of the signal.
    pub sigma: f32,
}

/// What the model predicts the finished image to be, at the step that it just did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PreviewEvent {
    /// Which image; 0 for the first.
    pub index: u32,
    /// 1 for the first.
    pub step: u32,
    pub steps: u32,
    /// The timestep that the model was given.
    pub timestep: f32,
    /// The noise level at that step.
    pub sigma: f32,
    pub decoder: PreviewDecoder,
    pub format: ImageFormat,
    pub width: u32,
    pub height: u32,
    /// The file in base64.
    #[schema(content_encoding = "base64")]
    pub b64: String,
}

/// The server stops. The generation may be asked for again when it is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShutdownEvent {
    pub message: String,
}
