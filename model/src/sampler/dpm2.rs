//! The midpoint method in ln σ (DPM-Solver-2 of Karras et al. 2022, k-diffusion's `sample_dpm_2`), `KDPM2DiscreteScheduler`.
//!
//! Each step but the last has two model calls: at the noise level it starts from, and at the middle of the step.

use super::SamplerError;
use super::combination::{memory, sample, x0};
use super::plan::{Definition, Plan, Setup, predict_x0_from_sigma};
use super::sigma_space::{Differences, SigmaSpace, call, geometric_middle, noising};
use super::step::{Clip, Noise, Step, Update};
use crate::schedule::BetaOptions;

pub(super) const DEFINITION: Definition = Definition {
    name: "dpm2",
    label: "DPM2",
    aliases: &["dpm_2", "k_dpm_2"],
    class: "KDPM2DiscreteScheduler",
    order: 2,
    has_noise_schedule: true,
    has_timestep_spacing: true,
    has_eta: false,
    plan,
};

pub(super) const DIFFERENCES: Differences = Differences {
    betas: BetaOptions::SECOND_ORDER,
    has_noise_schedule: true,
    rounds_karras: true,
    karras_takes_range: true,
};

/// The sample at the start of the step.
const START: usize = 0;

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    let prediction = setup.prediction_type_but_sample()?;
    let space = SigmaSpace::new(setup, &DIFFERENCES)?;
    let step = |call_index: usize| {
        // Calls 2i and 2i + 1 belong to step i.
        let (i, is_second) = (call_index / 2, call_index % 2 == 1);
        let (sigma, sigma_next) = (space.sigmas[i], space.sigmas[i + 1]);
        let middle = geometric_middle(sigma_next, sigma);
        let (call, noising, level, next, written) = if is_second {
            let next = memory(START) + (sample() - x0()) * ((sigma_next - sigma) / middle);
            (call(space.table.timestep_f32(middle), middle), noising(sigma_next), middle, next, Vec::new())
        } else {
            let next = sample() + (sample() - x0()) * ((middle - sigma) / sigma);
            (call(space.timesteps[i], sigma), noising(sigma), sigma, next, vec![(START, sample())])
        };
        Step {
            call,
            noising,
            update: Update {
                x0: predict_x0_from_sigma(prediction, level),
                clip: Clip::None,
                next,
                memory: written,
                noise: Noise::None,
            },
        }
    };
    let steps = (setup.begin..2 * space.timesteps.len() - 1).map(step).collect();
    Ok(Plan { initial_noise_scale: space.initial_noise_scale(), steps })
}
