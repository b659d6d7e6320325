//! Samplers: what to ask the model, and what to make of its answers.
//!
//! A [`Sampler`] holds no tensor. Everything that a sampling method decides depends on the noise schedule alone, so all its
//! steps are worked out before the first model call: each [`ModelCall`] comes with an [`Update`], which gives the next
//! sample, the predicted picture and what to remember as weighted sums of tensors. Whoever owns the tensors computes these
//! sums; [`SamplerState`] does it for tensors. Methods, precision and the use of random numbers are those of diffusers 0.42.
//!
//! To add a sampler, write its file with a `DEFINITION` and name it in the list in `kind.rs`.

mod combination;
mod ddim;
mod ddpm;
mod deis;
mod discrete;
mod dpm2;
mod dpm2_ancestral;
mod dpmpp_2m;
mod dpmpp_2m_sde;
mod dpmpp_2s;
mod error;
mod euler;
mod euler_ancestral;
mod heun;
mod kind;
mod lcm;
mod lms;
mod plan;
mod pndm;
mod sigma_space;
mod solver;
mod state;
mod step;
mod unipc;

use std::sync::Arc;

pub use combination::{Combination, Source};
pub use error::SamplerError;
pub use kind::SamplerKind;
pub use state::SamplerState;
pub use step::{Clip, ModelCall, Noise, Noising, Update};

pub use crate::schedule::{NoiseSchedule, SchedulerConfig, TimestepSpacing};

use plan::Setup;
use step::Step;

/// What a request says about sampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerSpec {
    pub kind: SamplerKind,
    pub noise_schedule: NoiseSchedule,
    /// Absent: what the model's files say, or else the default of the sampler.
    pub timestep_spacing: Option<TimestepSpacing>,
    /// The share of fresh noise in 0 ..= 1, for samplers that have it; absent: 0.
    pub eta: Option<f64>,
}

impl From<SamplerKind> for SamplerSpec {
    /// The sampler with all options as the model's files say.
    fn from(kind: SamplerKind) -> Self {
        Self { kind, noise_schedule: NoiseSchedule::Default, timestep_spacing: None, eta: None }
    }
}

/// The steps of one image, and which of them comes next. Copies share the steps.
#[derive(Clone, Debug)]
pub struct Sampler {
    kind: SamplerKind,
    initial_noise_scale: f32,
    steps: Arc<[Step]>,
    position: usize,
}

impl Sampler {
    /// The steps from noise to a picture.
    ///
    /// # Errors
    /// An option that the sampler lacks, a number of steps out of range, and a configuration that the sampler cannot be made
    /// from or that makes it divide by zero.
    pub fn new(config: &SchedulerConfig, spec: &SamplerSpec, steps: usize) -> Result<Self, SamplerError> {
        Self::with_setup(&Setup::new(config, spec, steps)?)
    }

    /// The last steps, for image-to-image: `strength`, over 0 and at most 1, is the share of the `steps` that are made,
    /// rounded down.
    ///
    /// # Errors
    /// As [`Self::new`], and a strength that leaves no step.
    pub fn image_to_image(
        config: &SchedulerConfig,
        spec: &SamplerSpec,
        steps: usize,
        strength: f64,
    ) -> Result<Self, SamplerError> {
        let sampler = Self::with_setup(&Setup::new(config, spec, steps)?.with_strength(strength)?)?;
        // With `lambda_min_clipped` there may be fewer timesteps than asked for.
        if sampler.calls() == 0 { Err(SamplerError::Strength { strength, steps }) } else { Ok(sampler) }
    }

    fn with_setup(setup: &Setup) -> Result<Self, SamplerError> {
        let plan = (setup.kind.definition().plan)(setup)?;
        if !plan.initial_noise_scale.is_finite() || !plan.steps.iter().all(Step::is_finite) {
            return Err(SamplerError::NotFinite { sampler: setup.kind, steps: setup.steps });
        }
        Ok(Self {
            kind: setup.kind,
            initial_noise_scale: plan.initial_noise_scale,
            steps: plan.steps.into(),
            position: 0,
        })
    }

    #[must_use]
    pub fn kind(&self) -> SamplerKind {
        self.kind
    }

    /// What standard normal noise is multiplied by to become the first sample, when no picture is given.
    #[must_use]
    pub fn initial_noise_scale(&self) -> f32 {
        self.initial_noise_scale
    }

    /// The number of model calls, made or not. For some samplers it is not the number of steps.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.steps.len()
    }

    /// The number of model calls made.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// How many memory slots the updates use.
    #[must_use]
    pub fn memory_slots(&self) -> usize {
        self.steps.iter().map(Step::memory_slots).max().unwrap_or(0)
    }

    /// Whether the model must predict a variance, in a second half of its output's channels.
    #[must_use]
    pub fn needs_variance(&self) -> bool {
        self.steps.iter().any(|step| step.update.noise.is_learned())
    }

    /// The next model call; none after the last.
    #[must_use]
    pub fn next_call(&self) -> Option<ModelCall> {
        self.steps.get(self.position).map(|step| step.call)
    }

    /// How to bring a clean picture to the noise level of the next model call: where image-to-image begins, and where
    /// inpainting puts back what is not masked. None after the last call, when the picture stays as it is.
    #[must_use]
    pub fn noising(&self) -> Option<Noising> {
        self.steps.get(self.position).map(|step| step.noising)
    }

    /// What to do with the output of the next model call; none after the last.
    #[must_use]
    pub fn next_update(&self) -> Option<&Update> {
        self.steps.get(self.position).map(|step| &step.update)
    }

    /// [`Self::next_update`] of a call that then counts as made.
    pub fn advance(&mut self) -> Option<&Update> {
        let step = self.steps.get(self.position)?;
        self.position += 1;
        Some(&step.update)
    }
}
