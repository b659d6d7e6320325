//! The way into the engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::Shared;
use crate::{Job, JobId};

/// The way into the engine. No method blocks, so all may be called from async code.
#[derive(Debug)]
pub struct EngineHandle<W> {
    pub(super) shared: Arc<Shared<W>>,
}

impl<W> Clone for EngineHandle<W> {
    fn clone(&self) -> Self {
        EngineHandle { shared: Arc::clone(&self.shared) }
    }
}

/// Why a job was not accepted. Nothing is kept of it, and no event comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// As many jobs are here as there may be.
    #[error("the queue is full; it is expected to be empty in {} s", retry_after.as_secs_f64().ceil())]
    QueueFull {
        /// When all that is here is expected to be done; between a second and an hour.
        retry_after: Duration,
    },
    #[error("the server is shutting down")]
    Draining,
}

/// The engine at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Accepted jobs of which no image was admitted yet.
    pub queued: usize,
    /// Jobs of which an image was admitted and that have not ended.
    pub running: usize,
    /// Images that have a slot.
    pub slots: usize,
    /// How long the longest waiting of the queued has waited.
    pub oldest_queued: Option<Duration>,
    /// The model time that all jobs still need, by the measured cost.
    pub expected: Duration,
    /// The most that `queued` and `running` may be together.
    pub max_jobs: usize,
    /// Whether new jobs are refused, the engine being about to stop or stopped.
    pub draining: bool,
}

impl<W> EngineHandle<W> {
    /// Hands over a job. When it is accepted, its events go to the sink, and exactly one of them is terminal. A job whose id
    /// is already in the engine is taken for the same one, sent again.
    pub fn submit(&self, job: Job<W>) -> Result<(), Rejected> {
        self.shared.submit(job)
    }

    /// Asks for the end of a job; it takes effect before the next model call. Idempotent. A job that is not in the
    /// engine is none of its concern.
    pub fn cancel(&self, id: JobId) {
        self.shared.cancel(id);
    }

    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Refuses new jobs from now on, goes on with the others until `deadline`, and fails those that are not done by
    /// then with `shutting_down`. A model call under way is finished first. Of several deadlines the earliest stands.
    pub fn drain(&self, deadline: Instant) {
        self.shared.drain(deadline);
    }

    /// The last sign of life of the engine's thread: the end of its last call of the denoiser. Now, while it waits for jobs.
    pub fn last_progress(&self) -> Instant {
        self.shared.last_progress()
    }
}
