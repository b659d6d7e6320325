//! Replicate's HTTP API: a translation to our own request, and of our own records.
//!
//! A model of ours is Replicate's `x0/NAME`, with one version that has the same name.

pub mod cancel_prediction;
pub mod create_prediction;
pub mod get_prediction;
pub mod list_predictions;
pub mod model_routes;
mod prediction;
mod translate;
pub mod upload_file;

/// The owner of every model.
const OWNER: &str = "x0";
