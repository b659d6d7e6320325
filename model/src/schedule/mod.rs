//! Noise schedules: how much noise a sample holds at each training timestep, and which of these timesteps to visit.
//!
//! Everything is computed in the precision and the order of diffusers 0.42 (numpy's float64 and torch's float32, mixed),
//! so that timesteps and noise levels come out equal. The classes of diffusers differ in details; what belongs to one
//! sampler is in [`crate::sampler`].

mod beta_quantile;
mod config;
mod numeric;
mod sigmas;
mod timesteps;
mod training;

pub use config::{
    BetaSchedule, ConfigError, FinalSigma, InterpolationType, PredictionType, SchedulerConfig, SolverType,
    TimestepSpacing, TimestepType, VarianceType,
};
pub use sigmas::{NoiseSchedule, SigmaTable};
pub use timesteps::{fractional_timesteps, solver_timesteps, whole_timesteps};
pub use training::{BetaOptions, TrainingSchedule, ZeroTerminalSnr};

pub(crate) use numeric::{linspace_f32, ln_f32};
