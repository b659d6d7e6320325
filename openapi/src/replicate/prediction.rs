//! A generation, in Replicate's words.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::names::{State, named};
use crate::record::ResolvedRequest;

/// A prediction: what was asked for, where it stands, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicatePrediction {
    /// The same generation on every other surface, such as `GET /v1/generations/{id}`.
    pub id: Uuid,
    #[schema(example = "x0/fashion")]
    pub model: String,
    #[schema(example = "fashion")]
    pub version: String,
    /// The request with every default filled in.
    pub input: ResolvedRequest,
    /// Where the files are, once all are finished.
    pub output: Option<Vec<String>>,
    /// How far it has come, in the form in which Replicate's clients look for it.
    #[schema(example = " 48%|####      | 12/25")]
    pub logs: String,
    pub error: Option<String>,
    pub status: ReplicateStatus,
    pub urls: ReplicateUrls,
    pub metrics: ReplicateMetrics,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    /// Always false: what is forgotten is forgotten whole.
    pub data_removed: bool,
}

named! {
    /// Where a prediction stands.
    ReplicateStatus {
        Starting = "starting",
        Processing = "processing",
        Succeeded = "succeeded",
        Failed = "failed",
        Canceled = "canceled",
    }
}

impl From<State> for ReplicateStatus {
    fn from(state: State) -> Self {
        match state {
            State::Queued => ReplicateStatus::Starting,
            State::Running => ReplicateStatus::Processing,
            State::Succeeded => ReplicateStatus::Succeeded,
            State::Failed => ReplicateStatus::Failed,
            State::Cancelled => ReplicateStatus::Canceled,
        }
    }
}

/// Where to ask for it again, and where to cancel it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicateUrls {
    pub get: String,
    pub cancel: String,
}

/// How long it took, in seconds; absent while it has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicateMetrics {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predict_time: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_time: Option<f64>,
}

/// One page of predictions, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicatePredictionList {
    /// Always null: pages are read forwards.
    pub previous: Option<String>,
    /// Where the older ones are.
    pub next: Option<String>,
    pub results: Vec<ReplicatePrediction>,
}
