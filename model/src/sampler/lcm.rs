//! Latent consistency models (Luo et al. 2023), `LCMScheduler`: each step predicts x₀ and puts noise on it again.

use super::SamplerError;
use super::combination::{noise, sample, x0};
use super::discrete::Discrete;
use super::plan::{Definition, Plan, Setup, predict_x0};
use super::step::{Noise, Step, Update};
use crate::schedule::{BetaOptions, BetaSchedule, ConfigError, ZeroTerminalSnr};

pub(super) const DEFINITION: Definition = Definition {
    name: "lcm",
    label: "LCM",
    aliases: &[],
    class: "LCMScheduler",
    order: 1,
    has_noise_schedule: false,
    // The class has the key, and does nothing with it.
    has_timestep_spacing: false,
    has_eta: false,
    plan,
};

const BETAS: BetaOptions = BetaOptions {
    schedule: BetaSchedule::ScaledLinear,
    zero_terminal_snr: ZeroTerminalSnr::Exact,
    ..BetaOptions::SECOND_ORDER
};

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    let schedule = Discrete::new(setup, BETAS)?;
    let timesteps = timesteps(setup)?;
    let step = |i: usize| step(setup, &schedule, timesteps[i], timesteps.get(i + 1).copied());
    Ok(Plan { initial_noise_scale: 1.0, steps: (setup.begin..timesteps.len()).map(step).collect() })
}

/// Evenly chosen from the timesteps of the distillation, which are themselves evenly chosen from the training's.
fn timesteps(setup: &Setup) -> Result<Vec<i64>, SamplerError> {
    let distilled = setup.config.original_inference_steps.unwrap_or(50);
    if !(1..=setup.train_timesteps()).contains(&distilled) {
        let message = format!("{distilled} is not between 1 and {}", setup.train_timesteps());
        return Err(ConfigError::new("original_inference_steps", message).into());
    }
    if setup.steps > distilled {
        return Err(SamplerError::Steps { sampler: setup.kind, steps: setup.steps, max: distilled });
    }
    let stride = setup.train_timesteps() / distilled;
    let spread = distilled as f64 / setup.steps as f64;
    let index = |i: usize| (i as f64 * spread) as usize;
    Ok((0..setup.steps).map(|i| ((distilled - index(i)) * stride) as i64 - 1).collect())
}

fn step(setup: &Setup, schedule: &Discrete, timestep: i64, next: Option<i64>) -> Step {
    const DATA_VARIANCE: f32 = 0.25;
    let alpha_bar = schedule.alpha_cumprod(timestep, 1.0);
    let scaled_timestep = timestep as f32 * setup.config.timestep_scaling.unwrap_or(10.0);
    let distance = scaled_timestep * scaled_timestep + DATA_VARIANCE;
    // The boundary condition: at timestep zero the prediction is the sample itself.
    let denoised = x0() * (scaled_timestep / distance.sqrt()) + sample() * (DATA_VARIANCE / distance);
    let (next, draw) = match next {
        Some(timestep) => {
            let noising = schedule.noising(timestep);
            (denoised * noising.original + noise() * noising.noise, Noise::Standard)
        }
        None => (denoised, Noise::None),
    };
    Step {
        call: schedule.call(timestep),
        noising: schedule.noising(timestep),
        update: Update {
            x0: predict_x0(setup.prediction_type(), alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()),
            clip: setup.threshold_or_clip(false),
            next,
            memory: Vec::new(),
            noise: draw,
        },
    }
}
