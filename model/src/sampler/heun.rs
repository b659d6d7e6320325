//! Heun's second-order method in noise levels (Karras et al. 2022, algorithm 1 without churn), `HeunDiscreteScheduler`.
//!
//! Each step but the last has two model calls: at the noise level it starts from, and at the one it goes to.

use super::SamplerError;
use super::combination::{memory, sample, x0};
use super::plan::{Definition, Plan, Setup, predict_x0_from_sigma};
use super::sigma_space::{Differences, SigmaSpace, call, noising};
use super::step::{Noise, Step, Update};
use crate::schedule::{BetaOptions, BetaSchedule};

pub(super) const DEFINITION: Definition = Definition {
    name: "heun",
    label: "Heun",
    aliases: &["k_heun"],
    class: "HeunDiscreteScheduler",
    order: 2,
    has_noise_schedule: true,
    has_timestep_spacing: true,
    has_eta: false,
    plan,
};

const DIFFERENCES: Differences = Differences {
    betas: BetaOptions { further: &[BetaSchedule::Exponential], ..BetaOptions::SECOND_ORDER },
    has_noise_schedule: true,
    rounds_karras: false,
    karras_takes_range: true,
};

/// The sample and the slope at the start of the step.
const START: usize = 0;
const SLOPE: usize = 1;

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    let space = SigmaSpace::new(setup, &DIFFERENCES)?;
    let step = |call_index: usize| {
        // Calls 2i and 2i + 1 belong to step i.
        let (i, is_second) = (call_index / 2, call_index % 2 == 1);
        let (sigma, sigma_next) = (space.sigmas[i], space.sigmas[i + 1]);
        let level = if is_second { i + 1 } else { i };
        let slope = (sample() - x0()) / space.sigmas[level];
        let length = sigma_next - sigma;
        let (next, written) = if is_second {
            (memory(START) + (memory(SLOPE) + slope) / 2.0 * length, Vec::new())
        } else {
            (sample() + slope.clone() * length, vec![(START, sample()), (SLOPE, slope)])
        };
        Step {
            call: call(space.timesteps[level], space.sigmas[level]),
            noising: noising(space.sigmas[level]),
            update: Update {
                x0: predict_x0_from_sigma(setup.prediction_type(), space.sigmas[level]),
                clip: setup.clip(false),
                next,
                memory: written,
                noise: Noise::None,
            },
        }
    };
    let steps = (setup.begin..2 * space.timesteps.len() - 1).map(step).collect();
    Ok(Plan { initial_noise_scale: space.initial_noise_scale(), steps })
}
