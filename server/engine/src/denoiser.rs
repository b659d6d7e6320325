//! The face of a model, as the engine sees it.

use std::sync::Arc;

/// Makes pictures step by step. One thread owns it and calls it; it need not be `Send` once it is there.
///
/// Whichever call fails with [`FailureCode::DeviceLost`] is the last one: the engine ends.
pub trait Denoiser {
    /// What a job asks of the model: validated, tokenised, every default filled. Shared by the job's images.
    type Work: Send + Sync + 'static;
    /// The state of one image being made.
    type Slot;
    /// A picture that leaves the engine: a preview or a finished image.
    type Picture: Send + 'static;

    /// Begins image `image` (0-based) of a job: draws its noise and encodes what conditions it.
    fn admit(&mut self, work: &Arc<Self::Work>, image: u32) -> Result<Self::Slot, Failure>;

    /// Does the next model call of every slot in one batch. All slots have the same [`BatchKey`](crate::BatchKey).
    ///
    /// The answer has one entry for each slot, in order. A slot that failed is not stepped again, but for one that failed with
    /// [`FailureCode::OutOfMemory`]: it was not stepped, is as it was before, and may be stepped again with fewer others. A call
    /// that did not happen for want of memory answers so for every slot. What a slot becomes must not depend on its neighbours.
    fn step(&mut self, slots: &mut [&mut Self::Slot]) -> Vec<Result<StepReport, Failure>>;

    /// The model's present prediction of the finished picture. A failure fails the job, as one in `step` would.
    fn preview(&mut self, slot: &Self::Slot) -> Result<Self::Picture, Failure>;

    /// Turns a slot whose last step is done into the finished picture.
    fn decode(&mut self, slot: Self::Slot) -> Result<Self::Picture, Failure>;
}

/// Where a slot stood in the step that was just done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The timestep that the model was given, 0..=999 for most noise schedules; some samplers use fractions.
    pub timestep: f32,
    /// The noise level at that step: the standard deviation of the noise over that of the signal.
    pub sigma: f32,
}

/// Why an image could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: FailureCode,
    /// For people; names no file of the server.
    pub message: String,
}

/// The kinds of failure that a client can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// The model's numbers became infinite or undefined.
    NanOutput,
    /// There is no memory for the image, even alone.
    OutOfMemory,
    /// The device that computes is lost to this process, and with it all that it holds: nothing can be made any more.
    DeviceLost,
    /// The model refused or panicked.
    ModelError,
    /// The job's deadline passed before it was done.
    DeadlineExceeded,
    /// The server stopped before the job was done.
    ShuttingDown,
}

impl FailureCode {
    /// The stable name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureCode::NanOutput => "nan_output",
            FailureCode::OutOfMemory => "out_of_memory",
            FailureCode::DeviceLost => "device_lost",
            FailureCode::ModelError => "model_error",
            FailureCode::DeadlineExceeded => "deadline_exceeded",
            FailureCode::ShuttingDown => "shutting_down",
        }
    }
}
