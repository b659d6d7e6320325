//! What the samplers share that came from k-diffusion, where the sample is x₀ + σ ε: Euler, Heun, LMS, DPM2 and variants.

use super::SamplerError;
use super::plan::Setup;
use super::step::{ModelCall, Noising};
use crate::schedule::{
    BetaOptions, NoiseSchedule, SigmaTable, TimestepSpacing, TrainingSchedule, fractional_timesteps,
};

/// The steps' timesteps and noise levels, from the noisiest down.
pub(super) struct SigmaSpace {
    pub(super) table: SigmaTable,
    pub(super) timesteps: Vec<f64>,
    /// At least one more than `timesteps`; the last one is zero.
    pub(super) sigmas: Vec<f32>,
    initial_noise_scale: f32,
}

/// The parts of the construction in which the classes of diffusers differ.
pub(super) struct Differences {
    pub(super) betas: BetaOptions,
    pub(super) has_noise_schedule: bool,
    /// Whether Karras timesteps are rounded to whole numbers.
    pub(super) rounds_karras: bool,
    /// Whether `sigma_min` and `sigma_max` have a say in the Karras schedule.
    pub(super) karras_takes_range: bool,
}

impl SigmaSpace {
    /// Noise levels by linear interpolation of the training's.
    pub(super) fn new(setup: &Setup, differences: &Differences) -> Result<Self, SamplerError> {
        let table = SigmaTable::new(&TrainingSchedule::new(&setup.config, differences.betas)?);
        let timesteps = spaced_timesteps(setup);
        let sigmas = timesteps.iter().map(|timestep| table.at(*timestep)).collect();
        Self::with_sigmas(setup, differences, table, timesteps, sigmas)
    }

    /// From noise levels of one's own, which the configuration's noise schedule may still replace.
    pub(super) fn with_sigmas(
        setup: &Setup,
        differences: &Differences,
        table: SigmaTable,
        mut timesteps: Vec<f64>,
        mut sigmas: Vec<f64>,
    ) -> Result<Self, SamplerError> {
        let schedule = match differences.has_noise_schedule {
            true => setup.config.noise_schedule()?,
            false => NoiseSchedule::Default,
        };
        let range = if schedule != NoiseSchedule::Karras || differences.karras_takes_range {
            (setup.config.sigma_max, setup.config.sigma_min)
        } else {
            (None, None)
        };
        let max = range.0.or(sigmas.first().copied()).unwrap_or_default();
        let min = range.1.or(sigmas.last().copied()).unwrap_or_default();
        if let Some(spaced) = schedule.space(max, min, setup.steps) {
            let round = differences.rounds_karras && schedule == NoiseSchedule::Karras;
            let timestep = |sigma: &f64| table.timestep(*sigma);
            timesteps = spaced.iter().map(timestep).map(|t| if round { t.round_ties_even() } else { t }).collect();
            sigmas = spaced;
        }
        let mut sigmas: Vec<f32> = sigmas.into_iter().map(|sigma| sigma as f32).collect();
        sigmas.push(0.0);
        let highest = sigmas.iter().copied().fold(0.0, f32::max);
        let initial_noise_scale = match setup.spacing(TimestepSpacing::Linspace) {
            TimestepSpacing::Linspace | TimestepSpacing::Trailing => highest,
            TimestepSpacing::Leading => (highest * highest + 1.0).sqrt(),
        };
        Ok(Self { table, timesteps, sigmas, initial_noise_scale })
    }

    /// What the first noise is multiplied by. With leading timesteps diffusers adds the variance of the picture that is not
    /// there.
    pub(super) fn initial_noise_scale(&self) -> f32 {
        self.initial_noise_scale
    }
}

/// The timesteps of the configured spacing.
pub(super) fn spaced_timesteps(setup: &Setup) -> Vec<f64> {
    let spacing = setup.spacing(TimestepSpacing::Linspace);
    let timesteps = fractional_timesteps(spacing, setup.train_timesteps(), setup.steps, setup.steps_offset());
    timesteps.into_iter().map(f64::from).collect()
}

pub(super) fn call(timestep: f64, sigma: f32) -> ModelCall {
    ModelCall { timestep: timestep as f32, sigma, input_scale: (sigma * sigma + 1.0).sqrt().recip() }
}

pub(super) fn noising(sigma: f32) -> Noising {
    Noising { original: 1.0, noise: sigma }
}

/// A step from `sigma` to `sigma_next` with fresh noise: the lower noise level to step to, and how much noise to add there.
///
/// The former is σ_next² / σ. diffusers computes it as √(σ_next² - up²), of which rounding leaves little in a long step.
pub(super) fn ancestral_split(sigma: f32, sigma_next: f32) -> (f32, f32) {
    let (variance, variance_next) = (sigma * sigma, sigma_next * sigma_next);
    let up = (variance_next * (variance - variance_next) / variance).sqrt();
    (variance_next / sigma, up)
}

/// The noise level halfway between two in ln σ, which is zero if one of them is.
pub(super) fn geometric_middle(a: f32, b: f32) -> f32 {
    if a == 0.0 || b == 0.0 {
        return 0.0;
    }
    let (log_a, log_b) = (a.ln(), b.ln());
    (log_b - (log_b - log_a) * 0.5).exp()
}
