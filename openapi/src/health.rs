//! What probes and load balancers ask.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the process is worth keeping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `false` when a model call has been under way for far longer than any should take, or when the engine is gone.
    pub alive: bool,
    /// Of the server.
    #[schema(example = "0.1.0")]
    pub version: String,
}

/// Whether the server takes work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    /// Why not; empty when ready.
    pub reasons: Vec<String>,
    pub queue: Queue,
}

/// How busy the server is, in generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    pub waiting: u32,
    pub running: u32,
    /// How many may wait and run at once.
    pub capacity: u32,
}
