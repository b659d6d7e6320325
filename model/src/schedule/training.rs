//! The noise that the model was trained with.

use std::f64::consts::PI;

use super::config::{BetaSchedule, ConfigError, SchedulerConfig};
use super::numeric::linspace_f32;

const MAX_TRAIN_TIMESTEPS: usize = 100_000;
/// The β schedules that all classes know.
const COMMON: [BetaSchedule; 3] = [BetaSchedule::Linear, BetaSchedule::ScaledLinear, BetaSchedule::SquaredCosine];

/// What a sampler class makes of the keys about β.
#[derive(Clone, Copy, Debug)]
pub struct BetaOptions {
    /// Defaults of `beta_start`, `beta_end` and `beta_schedule`.
    pub start: f64,
    pub end: f64,
    pub schedule: BetaSchedule,
    /// Schedules that the class knows besides `linear`, `scaled_linear` and `squaredcos_cap_v2`.
    pub further: &'static [BetaSchedule],
    pub zero_terminal_snr: ZeroTerminalSnr,
}

impl BetaOptions {
    /// The defaults of most classes: those of Ho et al. 2020.
    pub const DDPM: Self = Self {
        start: 0.0001,
        end: 0.02,
        schedule: BetaSchedule::Linear,
        further: &[],
        zero_terminal_snr: ZeroTerminalSnr::Ignored,
    };
    /// The defaults of the classes that came with k-diffusion's second-order methods.
    pub const SECOND_ORDER: Self = Self { start: 0.00085, end: 0.012, ..Self::DDPM };
}

/// What a sampler class does with `rescale_betas_zero_snr` (Lin et al. 2023, algorithm 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroTerminalSnr {
    /// The class does not know the key.
    Ignored,
    /// The last timestep is noise alone.
    Exact,
    /// As `Exact`, but with 2⁻²⁴ instead of zero for the last ᾱ, so that its noise level is finite.
    Finite,
}

/// ᾱ for each training timestep: the share of the sample's variance that is still signal.
#[derive(Clone, Debug)]
pub struct TrainingSchedule {
    alphas_cumprod: Vec<f32>,
}

impl TrainingSchedule {
    /// Builds ᾱ as the constructor of a sampler class does.
    ///
    /// # Errors
    /// A number of timesteps out of range, a β that is not over 0 and at most 1, and a β schedule that the class does not know.
    pub fn new(config: &SchedulerConfig, options: BetaOptions) -> Result<Self, ConfigError> {
        let mut betas = betas(config, options)?;
        if !betas.iter().all(|beta| *beta > 0.0 && *beta <= 1.0) {
            let key = if config.trained_betas.is_some() { "trained_betas" } else { "beta_end" };
            return Err(ConfigError::new(key, "every beta must be over 0 and at most 1"));
        }
        let rescale =
            config.rescale_betas_zero_snr.unwrap_or(false) && options.zero_terminal_snr != ZeroTerminalSnr::Ignored;
        if rescale {
            rescale_zero_terminal_snr(&mut betas);
        }
        let mut alphas_cumprod = cumulative_product(betas.iter().map(|beta| 1.0 - beta));
        if let (true, ZeroTerminalSnr::Finite, Some(last)) =
            (rescale, options.zero_terminal_snr, alphas_cumprod.last_mut())
        {
            *last = 2.0_f32.powi(-24);
        }
        Ok(Self { alphas_cumprod })
    }

    /// ᾱ in 0 ..= 1, from the first timestep (almost no noise) to the last.
    #[must_use]
    pub fn alphas_cumprod(&self) -> &[f32] {
        &self.alphas_cumprod
    }
}

fn betas(config: &SchedulerConfig, options: BetaOptions) -> Result<Vec<f32>, ConfigError> {
    let count = config.num_train_timesteps.unwrap_or(1000);
    if !(1..=MAX_TRAIN_TIMESTEPS).contains(&count) {
        let message = format!("{count} is not between 1 and {MAX_TRAIN_TIMESTEPS}");
        return Err(ConfigError::new("num_train_timesteps", message));
    }
    if let Some(betas) = &config.trained_betas {
        if betas.len() != count {
            let message = format!("{} values for {count} timesteps", betas.len());
            return Err(ConfigError::new("trained_betas", message));
        }
        return Ok(betas.iter().map(|beta| *beta as f32).collect());
    }
    let start = config.beta_start.unwrap_or(options.start);
    let end = config.beta_end.unwrap_or(options.end);
    let schedule = config.beta_schedule.unwrap_or(options.schedule);
    if !(COMMON.contains(&schedule) || options.further.contains(&schedule)) {
        let message = format!("this sampler has no schedule {}", schedule.name());
        return Err(ConfigError::new("beta_schedule", message));
    }
    Ok(match schedule {
        BetaSchedule::Linear => linspace_f32(start as f32, end as f32, count),
        BetaSchedule::ScaledLinear => {
            let roots = linspace_f32(start.sqrt() as f32, end.sqrt() as f32, count);
            roots.into_iter().map(|root| root * root).collect()
        }
        BetaSchedule::SquaredCosine => betas_for_alpha_bar(count, |t| ((t + 0.008) / 1.008 * PI / 2.0).cos().powi(2)),
        BetaSchedule::Sigmoid => {
            let (start, range) = (start as f32, (end - start) as f32);
            let logits = linspace_f32(-6.0, 6.0, count);
            logits.into_iter().map(|logit| ((-logit).exp() + 1.0).recip() * range + start).collect()
        }
        BetaSchedule::Laplace => betas_for_alpha_bar(count, |t| {
            let lambda = -0.5 * 1_f64.copysign(0.5 - t) * (1.0 - 2.0 * (0.5 - t).abs() + 1e-6).ln();
            (lambda.exp() / (1.0 + lambda.exp())).sqrt()
        }),
        BetaSchedule::Exponential => betas_for_alpha_bar(count, |t| (t * -12.0).exp()),
    })
}

/// β from ᾱ as a function of the time in 0 ..= 1, at most 0.999.
fn betas_for_alpha_bar(count: usize, alpha_bar: impl Fn(f64) -> f64) -> Vec<f32> {
    let time = |i: usize| i as f64 / count as f64;
    (0..count).map(|i| (1.0 - alpha_bar(time(i + 1)) / alpha_bar(time(i))).min(0.999) as f32).collect()
}

/// Shifts and scales √ᾱ so that the last one is zero and the first one stays.
fn rescale_zero_terminal_snr(betas: &mut [f32]) {
    let roots: Vec<f32> = cumulative_product(betas.iter().map(|beta| 1.0 - beta)).into_iter().map(f32::sqrt).collect();
    let [first, .., last] = roots[..] else { return };
    let scale = first / (first - last);
    let rescaled = roots.into_iter().map(|root| {
        let root = (root - last) * scale;
        root * root
    });
    let mut previous = 1.0;
    for (beta, alpha_bar) in betas.iter_mut().zip(rescaled) {
        *beta = 1.0 - alpha_bar / previous;
        previous = alpha_bar;
    }
}

/// `torch.cumprod` on the CPU: the running product is kept in double precision.
fn cumulative_product(alphas: impl Iterator<Item = f32>) -> Vec<f32> {
    alphas
        .scan(1.0_f64, |product, alpha| {
            *product *= f64::from(alpha);
            Some(*product as f32)
        })
        .collect()
}
