//! Euler's method in noise levels (Karras et al. 2022, algorithm 2 without churn), `EulerDiscreteScheduler`.

use super::SamplerError;
use super::combination::{sample, x0};
use super::plan::{Definition, Plan, Setup, predict_x0_from_sigma};
use super::sigma_space::{Differences, SigmaSpace, call, noising, spaced_timesteps};
use super::step::{Clip, Noise, Step, Update};
use crate::schedule::{
    BetaOptions, FinalSigma, InterpolationType, PredictionType, SigmaTable, TimestepType, TrainingSchedule,
    ZeroTerminalSnr, linspace_f32,
};

pub(super) const DEFINITION: Definition = Definition {
    name: "euler",
    label: "Euler",
    aliases: &["k_euler"],
    class: "EulerDiscreteScheduler",
    order: 1,
    has_noise_schedule: true,
    has_timestep_spacing: true,
    has_eta: false,
    plan,
};

const DIFFERENCES: Differences = Differences {
    betas: BetaOptions { zero_terminal_snr: ZeroTerminalSnr::Finite, ..BetaOptions::DDPM },
    has_noise_schedule: true,
    rounds_karras: false,
    karras_takes_range: true,
};

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    let mut space = match setup.config.interpolation_type.unwrap_or_default() {
        InterpolationType::Linear => SigmaSpace::new(setup, &DIFFERENCES)?,
        InterpolationType::LogLinear => log_linear(setup)?,
    };
    if let (FinalSigma::SigmaMin, Some(last)) =
        (setup.config.final_sigmas_type.unwrap_or_default(), space.sigmas.last_mut())
    {
        *last = space.table.min();
    }
    let continuous = setup.config.timestep_type.unwrap_or_default() == TimestepType::Continuous
        && setup.prediction_type() == PredictionType::VPrediction;
    let step = |i: usize| {
        let sigma = space.sigmas[i];
        let timestep = if continuous { f64::from(0.25 * sigma.ln()) } else { space.timesteps[i] };
        let slope = (space.sigmas[i + 1] - sigma) / sigma;
        Step {
            call: call(timestep, sigma),
            noising: noising(sigma),
            update: Update {
                x0: predict_x0_from_sigma(setup.prediction_type(), sigma),
                clip: Clip::None,
                next: sample() + (sample() - x0()) * slope,
                memory: Vec::new(),
                noise: Noise::None,
            },
        }
    };
    let steps = (setup.begin..space.timesteps.len()).map(step).collect();
    Ok(Plan { initial_noise_scale: space.initial_noise_scale(), steps })
}

/// Noise levels evenly in ln σ over the whole training schedule. There is one more of them than there are steps, so the last
/// step goes to the lowest level of the training and not to zero.
fn log_linear(setup: &Setup) -> Result<SigmaSpace, SamplerError> {
    let table = SigmaTable::new(&TrainingSchedule::new(&setup.config, DIFFERENCES.betas)?);
    let (low, high) = table.log_range();
    let sigmas = linspace_f32(high, low, setup.steps + 1).into_iter().map(|log| f64::from(log.exp())).collect();
    SigmaSpace::with_sigmas(setup, &DIFFERENCES, table, spaced_timesteps(setup), sigmas)
}
