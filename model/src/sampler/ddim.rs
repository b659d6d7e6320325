//! DDIM: the non-Markovian sampler of Song et al. 2021, `DDIMScheduler`.

use super::SamplerError;
use super::combination::{Combination, noise, output, sample, x0};
use super::discrete::Discrete;
use super::plan::{Definition, Plan, Setup, predict_x0};
use super::step::{Noise, Step, Update};
use crate::schedule::{BetaOptions, PredictionType, ZeroTerminalSnr};

pub(super) const DEFINITION: Definition = Definition {
    name: "ddim",
    label: "DDIM",
    aliases: &[],
    class: "DDIMScheduler",
    order: 1,
    has_noise_schedule: false,
    has_timestep_spacing: true,
    has_eta: true,
    plan,
};

const BETAS: BetaOptions = BetaOptions { zero_terminal_snr: ZeroTerminalSnr::Exact, ..BetaOptions::DDPM };

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    let schedule = Discrete::new(setup, BETAS)?;
    let timesteps = schedule.timesteps(setup)?;
    let steps = timesteps[setup.begin..].iter().map(|timestep| step(setup, &schedule, *timestep)).collect();
    Ok(Plan { initial_noise_scale: 1.0, steps })
}

/// Equation 12 of the paper. The timestep it goes to is a fixed stride away, whichever timestep is visited next.
fn step(setup: &Setup, schedule: &Discrete, timestep: i64) -> Step {
    let previous = timestep - (setup.train_timesteps() / setup.steps) as i64;
    let last = schedule.final_alpha_cumprod(setup.config.set_alpha_to_one.unwrap_or(true));
    let alpha_bar = schedule.alpha_cumprod(timestep, last);
    let alpha_bar_previous = schedule.alpha_cumprod(previous, last);
    let (beta_bar, beta_bar_previous) = (1.0 - alpha_bar, 1.0 - alpha_bar_previous);
    let (alpha, sigma) = (alpha_bar.sqrt(), beta_bar.sqrt());

    let variance = beta_bar_previous / beta_bar * (1.0 - alpha_bar / alpha_bar_previous);
    let deviation = setup.eta as f32 * variance.sqrt();
    let direction = (1.0 - alpha_bar_previous - deviation * deviation).sqrt();
    let epsilon: Combination = match setup.prediction_type() {
        PredictionType::Epsilon => output(),
        PredictionType::Sample => (sample() - output() * alpha) / sigma,
        PredictionType::VPrediction => output() * alpha + sample() * sigma,
    };
    let mut next = x0() * alpha_bar_previous.sqrt() + epsilon * direction;
    let draw = if setup.eta > 0.0 { Noise::Standard } else { Noise::None };
    if setup.eta > 0.0 {
        next = next + noise() * deviation;
    }

    Step {
        call: schedule.call(timestep),
        noising: schedule.noising(timestep),
        update: Update {
            x0: predict_x0(setup.prediction_type(), alpha, sigma),
            clip: setup.threshold_or_clip(true),
            next,
            memory: Vec::new(),
            noise: draw,
        },
    }
}
