//! What Replicate's HTTP API says over the wire, as its clients read and write it, with our own fields beside theirs.

mod model;
mod prediction;
mod request;

pub use model::{ReplicateModel, ReplicateVersion, ReplicateVersionList};
pub use prediction::{ReplicateMetrics, ReplicatePrediction, ReplicatePredictionList, ReplicateStatus, ReplicateUrls};
pub use request::{ReplicateImageFormat, ReplicateInput, ReplicateRequest};
