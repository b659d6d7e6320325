//! What the samplers share whose steps are between whole training timesteps: DDPM, DDIM, PNDM, LCM.

use super::SamplerError;
use super::plan::Setup;
use super::step::{ModelCall, Noising};
use crate::schedule::{BetaOptions, ConfigError, TimestepSpacing, TrainingSchedule, whole_timesteps};

/// ᾱ by timestep.
pub(super) struct Discrete {
    training: TrainingSchedule,
}

impl Discrete {
    pub(super) fn new(setup: &Setup, options: BetaOptions) -> Result<Self, SamplerError> {
        Ok(Self { training: TrainingSchedule::new(&setup.config, options)? })
    }

    /// The timesteps to visit, each of which has an ᾱ.
    pub(super) fn timesteps(&self, setup: &Setup) -> Result<Vec<i64>, SamplerError> {
        let spacing = setup.spacing(TimestepSpacing::Leading);
        let timesteps = whole_timesteps(spacing, setup.train_timesteps(), setup.steps, setup.steps_offset());
        for timestep in &timesteps {
            self.check(*timestep)?;
        }
        Ok(timesteps)
    }

    /// That a timestep is one of the training's.
    pub(super) fn check(&self, timestep: i64) -> Result<(), ConfigError> {
        let count = self.training.alphas_cumprod().len();
        if (0..count as i64).contains(&timestep) {
            return Ok(());
        }
        Err(ConfigError::new("steps_offset", format!("it leads to timestep {timestep}, of 0 to {}", count - 1)))
    }

    /// ᾱ of a checked timestep, and `after_last` for one below zero.
    pub(super) fn alpha_cumprod(&self, timestep: i64, after_last: f32) -> f32 {
        usize::try_from(timestep).map_or(after_last, |index| self.training.alphas_cumprod()[index])
    }

    /// ᾱ after the last step: that of the first timestep, or one, if `set_alpha_to_one`.
    pub(super) fn final_alpha_cumprod(&self, set_alpha_to_one: bool) -> f32 {
        if set_alpha_to_one { 1.0 } else { self.training.alphas_cumprod()[0] }
    }

    pub(super) fn call(&self, timestep: i64) -> ModelCall {
        let alpha = self.alpha_cumprod(timestep, 1.0).max(2.0_f32.powi(-24));
        ModelCall { timestep: timestep as f32, sigma: ((1.0 - alpha) / alpha).sqrt(), input_scale: 1.0 }
    }

    pub(super) fn noising(&self, timestep: i64) -> Noising {
        let alpha = self.alpha_cumprod(timestep, 1.0);
        Noising { original: alpha.sqrt(), noise: (1.0 - alpha).sqrt() }
    }
}
