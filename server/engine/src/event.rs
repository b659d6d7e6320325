//! Everything that leaves the engine's thread.

use std::sync::Arc;
use std::time::Duration;

use crate::{BatchKey, Failure, JobId, StepReport};

/// What happened to a job. `Queued`, `Started`, `Image` and the one terminal event are facts and are never dropped;
/// `Step` and `Preview` are best effort.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<P> {
    /// The job waits; `position` jobs are before it, and it is expected to finish in `eta`.
    Queued { position: u32, eta: Duration },
    /// The job's first image is about to be admitted.
    Started,
    /// Image `image` did step `step` (1-based) of `steps`.
    Step { image: u32, step: u32, steps: u32, report: StepReport },
    /// What the model predicted at step `step` for the finished picture of image `image`.
    Preview { image: u32, step: u32, steps: u32, report: StepReport, picture: P },
    /// Image `image` is finished.
    Image { image: u32, picture: P },
    /// Terminal: every image is finished.
    Succeeded,
    /// Terminal: an image failed, and with it the job.
    Failed(Failure),
    /// Terminal: the job was cancelled.
    Cancelled,
}

impl<P> Event<P> {
    /// Whether no event of the same job follows.
    pub fn is_terminal(&self) -> bool {
        match self {
            Event::Succeeded | Event::Failed(_) | Event::Cancelled => true,
            Event::Queued { .. }
            | Event::Started
            | Event::Step { .. }
            | Event::Preview { .. }
            | Event::Image { .. } => false,
        }
    }
}

/// Takes what leaves the engine. Called on the engine's thread: it must return quickly, and must not call the engine.
pub trait EventSink<P>: Send + 'static {
    fn event(&self, job: JobId, event: Event<P>);

    /// One model call was made.
    fn batch(&self, report: BatchReport);

    /// There was no memory for a model call, and it was not made. One of several images is made again with fewer at once.
    fn out_of_memory(&self, _report: BatchReport) {}

    /// Something else was done for an image.
    fn stage(&self, _report: StageReport) {}

    /// The denoiser panicked; the jobs that it was called for fail.
    fn panicked(&self) {}

    /// The device is lost. No job is accepted any more, all that are left fail with this, and then the engine ends.
    fn device_lost(&self, _failure: &Failure) {}
}

/// What is done for an image besides model calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// [`Denoiser::admit`](crate::Denoiser::admit), and reading the model's weights if need be.
    Begin,
    Preview,
    Decode,
}

/// How long a stage of one image took, for metrics.
#[derive(Clone, Debug)]
pub struct StageReport {
    pub model: Arc<str>,
    pub stage: Stage,
    pub duration: Duration,
}

/// Facts of one model call, for metrics.
#[derive(Clone, Debug)]
pub struct BatchReport {
    pub key: BatchKey,
    pub slots: u32,
    pub rows: u32,
    pub duration: Duration,
}
