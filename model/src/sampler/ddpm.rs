//! DDPM: ancestral sampling of the trained Markov chain (Ho et al. 2020), `DDPMScheduler`.

use super::SamplerError;
use super::combination::{noise, sample, x0};
use super::discrete::Discrete;
use super::plan::{Definition, Plan, Setup, predict_x0};
use super::step::{Noise, Step, Update};
use crate::schedule::{BetaOptions, BetaSchedule, VarianceType, ZeroTerminalSnr};

pub(super) const DEFINITION: Definition = Definition {
    name: "ddpm",
    label: "DDPM",
    aliases: &[],
    class: "DDPMScheduler",
    order: 1,
    has_noise_schedule: false,
    has_timestep_spacing: true,
    has_eta: false,
    plan,
};

const BETAS: BetaOptions = BetaOptions {
    further: &[BetaSchedule::Sigmoid, BetaSchedule::Laplace],
    zero_terminal_snr: ZeroTerminalSnr::Exact,
    ..BetaOptions::DDPM
};

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    let schedule = Discrete::new(setup, BETAS)?;
    let timesteps = schedule.timesteps(setup)?;
    let step = |i: usize| {
        let previous = timesteps.get(i + 1).copied().unwrap_or(-1);
        step(setup, &schedule, timesteps[i], previous)
    };
    Ok(Plan { initial_noise_scale: 1.0, steps: (setup.begin..timesteps.len()).map(step).collect() })
}

/// The posterior q(x_prev | x_t, x₀) with the predicted x₀; equation 7 of the paper.
fn step(setup: &Setup, schedule: &Discrete, timestep: i64, previous: i64) -> Step {
    let alpha_bar = schedule.alpha_cumprod(timestep, 1.0);
    let alpha_bar_previous = schedule.alpha_cumprod(previous, 1.0);
    let (beta_bar, beta_bar_previous) = (1.0 - alpha_bar, 1.0 - alpha_bar_previous);
    let alpha = alpha_bar / alpha_bar_previous;
    let beta = 1.0 - alpha;

    let mut next =
        x0() * (alpha_bar_previous.sqrt() * beta / beta_bar) + sample() * (alpha.sqrt() * beta_bar_previous / beta_bar);
    let (draw, deviation) = if timestep > 0 {
        let variance = (beta_bar_previous / beta_bar * beta).max(1e-20);
        variance_noise(setup.config.variance_type.unwrap_or_default(), variance, beta)
    } else {
        (Noise::None, 0.0)
    };
    if draw != Noise::None {
        next = next + noise() * deviation;
    }

    Step {
        call: schedule.call(timestep),
        noising: schedule.noising(timestep),
        update: Update {
            x0: predict_x0(setup.prediction_type(), alpha_bar.sqrt(), beta_bar.sqrt()),
            clip: setup.threshold_or_clip(true),
            next,
            memory: Vec::new(),
            noise: draw,
        },
    }
}

/// The noise and its standard deviation, from the posterior's variance and β, which bounds it from above.
fn variance_noise(variance_type: VarianceType, variance: f32, beta: f32) -> (Noise, f32) {
    match variance_type {
        VarianceType::FixedSmall => (Noise::Standard, variance.sqrt()),
        VarianceType::FixedSmallLog => (Noise::Standard, (0.5 * variance.ln()).exp()),
        VarianceType::FixedLarge => (Noise::Standard, beta.sqrt()),
        // diffusers takes the root of the logarithm, which is negative: no number comes out, and the plan is refused.
        VarianceType::FixedLargeLog => (Noise::Standard, beta.ln().sqrt()),
        VarianceType::Learned => (Noise::Learned, 1.0),
        VarianceType::LearnedRange => (Noise::LearnedRange { min_log: variance.ln(), max_log: beta.ln() }, 1.0),
    }
}
