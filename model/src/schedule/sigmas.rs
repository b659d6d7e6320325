//! Noise levels: σ = √((1 - ᾱ) / ᾱ), the noise's standard deviation beside a signal of scale one.

use serde::Deserialize;

use super::beta_quantile::beta_quantile;
use super::numeric::{linspace, ln_f32};
use super::training::TrainingSchedule;

/// How the noise levels of the steps are spaced between the highest and the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseSchedule {
    /// As the timesteps are, unless the model's files say otherwise.
    #[default]
    Default,
    /// Evenly in σ^(1/7); Karras et al. 2022, equation 5.
    Karras,
    /// Evenly in ln σ.
    Exponential,
    /// By the quantiles of a beta distribution, with most steps near both ends; Lee et al. 2024.
    Beta,
}

impl NoiseSchedule {
    /// `count` noise levels from `max` down to `min`, as diffusers' `_convert_to_karras` and its siblings give them. There
    /// are none for the default schedule.
    pub(crate) fn space(self, max: f64, min: f64, count: usize) -> Option<Vec<f64>> {
        const RHO: f64 = 7.0;
        match self {
            Self::Default => None,
            Self::Karras => {
                let (high, low) = (max.powf(RHO.recip()), min.powf(RHO.recip()));
                let ramp = linspace(0.0, 1.0, count);
                Some(ramp.into_iter().map(|t| (high + t * (low - high)).powf(RHO)).collect())
            }
            Self::Exponential => Some(linspace(max.ln(), min.ln(), count).into_iter().map(f64::exp).collect()),
            Self::Beta => {
                let ramp = linspace(0.0, 1.0, count);
                Some(ramp.into_iter().map(|t| min + beta_quantile(1.0 - t) * (max - min)).collect())
            }
        }
    }
}

/// The noise level of each training timestep, ascending.
#[derive(Clone, Debug)]
pub struct SigmaTable {
    sigmas: Vec<f32>,
    log_sigmas: Vec<f32>,
}

impl SigmaTable {
    /// The table of a training schedule.
    #[must_use]
    pub fn new(training: &TrainingSchedule) -> Self {
        let sigmas: Vec<f32> = training.alphas_cumprod().iter().map(|alpha| ((1.0 - alpha) / alpha).sqrt()).collect();
        let log_sigmas = sigmas.iter().copied().map(ln_f32).collect();
        Self { sigmas, log_sigmas }
    }

    /// The noise level of the first timestep.
    #[must_use]
    pub fn min(&self) -> f32 {
        self.sigmas.first().copied().unwrap_or_default()
    }

    /// The noise level of the last timestep.
    #[must_use]
    pub fn max(&self) -> f32 {
        self.sigmas.last().copied().unwrap_or_default()
    }

    /// ln σ of the first and of the last timestep.
    pub(crate) fn log_range(&self) -> (f32, f32) {
        let ends = self.log_sigmas.first().zip(self.log_sigmas.last());
        ends.map_or((0.0, 0.0), |(first, last)| (*first, *last))
    }

    /// The noise level at a timestep, between two of the table by straight lines and beyond its ends constant
    /// (`numpy.interp`).
    #[must_use]
    pub fn at(&self, timestep: f64) -> f64 {
        let last = self.sigmas.len() - 1;
        let timestep = timestep.clamp(0.0, last as f64);
        let index = (timestep as usize).min(last.saturating_sub(1));
        let low = f64::from(self.sigmas[index]);
        let high = f64::from(self.sigmas[(index + 1).min(last)]);
        (high - low) * (timestep - index as f64) + low
    }

    /// The timestep of a noise level, by straight lines in ln σ (diffusers' `_sigma_to_t`).
    #[must_use]
    pub fn timestep(&self, sigma: f64) -> f64 {
        let log_sigma = sigma.max(1e-10).ln();
        self.timestep_of_log(log_sigma)
    }

    /// [`Self::timestep`] as it comes out where diffusers hands over the noise level as a torch float32.
    #[must_use]
    pub fn timestep_f32(&self, sigma: f32) -> f64 {
        self.timestep_of_log(f64::from(ln_f32(sigma.max(1e-10))))
    }

    fn timestep_of_log(&self, log_sigma: f64) -> f64 {
        let below = self.log_sigmas.iter().rposition(|entry| log_sigma - f64::from(*entry) >= 0.0).unwrap_or(0);
        let low_index = below.min(self.log_sigmas.len().saturating_sub(2));
        let high_index = (low_index + 1).min(self.log_sigmas.len() - 1);
        let (low, high) = (self.log_sigmas[low_index], self.log_sigmas[high_index]);
        let weight = ((f64::from(low) - log_sigma) / f64::from(low - high)).clamp(0.0, 1.0);
        (1.0 - weight) * low_index as f64 + weight * high_index as f64
    }
}
