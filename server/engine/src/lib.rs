//! The engine: what is stepped next, and by whom it is watched.
//!
//! This crate knows neither HTTP nor tensors. It holds
//!
//! - [`Job`], an accepted request as the engine needs to know it;
//! - [`Scheduler`], a pure state machine that decides which images are admitted, stepped, decoded and set aside;
//! - [`Denoiser`], the face of a model, implemented elsewhere;
//! - [`Engine`], one thread that owns a denoiser and runs the scheduler's plans on it;
//! - [`Event`], everything that leaves that thread.
//!
//! A *job* asks for one or more images. An image that is being made has a *slot*. A *row* is one sample in a model call: an
//! image under classifier-free guidance costs two.

mod clock;
mod cost;
mod denoiser;
mod event;
#[cfg(feature = "fake")]
pub mod fake;
mod job;
mod scheduler;
mod worker;

pub use clock::Clock;
pub use cost::CostCurve;
pub use denoiser::{Denoiser, Failure, FailureCode, StepReport};
pub use event::{BatchReport, Event, EventSink, Stage, StageReport};
pub use job::{BatchKey, Job, JobId, Priority, SecondPass, Tenant};
pub use scheduler::{
    Ending, ImageId, ImageStep, Outcome, Plan, Policy, Scheduler, SchedulerOptions, Transition, UnknownPolicy,
};
pub use worker::{Engine, EngineHandle, EngineOptions, Rejected, Snapshot, SpawnError};
