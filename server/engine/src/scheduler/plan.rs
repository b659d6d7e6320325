//! What the scheduler says is to be done, what is told to it in return, and what follows for the jobs.

use std::time::Duration;

use crate::{BatchKey, Failure, JobId};

/// One image of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId {
    pub job: JobId,
    /// 0-based.
    pub image: u32,
}

/// The one next thing to do. It is carried out and then consumed by [`Scheduler::apply`](crate::Scheduler::apply).
#[must_use = "a plan is carried out and then handed to Scheduler::apply"]
#[derive(Debug, PartialEq)]
pub enum Plan {
    /// Nothing is to be done until a job is submitted.
    Rest,
    /// Drop every slot of these jobs.
    Retire(Vec<(JobId, Ending)>),
    /// Make slots for these images.
    Admit(Vec<ImageId>),
    /// Make one model call with these slots, all of one key; `rows` is the sum of theirs.
    Step { key: BatchKey, rows: u32, images: Vec<ImageStep> },
    /// Turn this slot into the finished picture.
    Decode(ImageId),
}

/// One image's part in a model call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageStep {
    pub image: ImageId,
    /// The step that this call does, 1-based.
    pub step: u32,
    /// Whether a preview is due after it.
    pub preview: bool,
}

/// What came of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The images that failed. Those not named here or in `out_of_memory` did what the plan said.
    pub failures: Vec<(ImageId, Failure)>,
    /// The images of a step that were not stepped for want of memory, and are as they were before it. One that was alone fails.
    pub out_of_memory: Vec<(ImageId, Failure)>,
    /// How long it took; for a step the model call alone, without previews.
    pub duration: Duration,
    /// How long the previews after a step took, and whose they are.
    pub previews: Vec<(JobId, Duration)>,
}

/// What happened to a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// The job waits; `position` jobs are before it, and it is expected to finish in `eta`.
    Queued { position: u32, eta: Duration },
    /// The job's first image was admitted.
    Started,
    /// Image `image` did step `step` (1-based) of `steps`.
    Stepped { image: u32, step: u32, steps: u32 },
    /// Image `image` was decoded.
    Finished { image: u32 },
    /// The job is over; nothing follows.
    Ended(Ending),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Succeeded,
    Failed(Failure),
    Cancelled,
}
