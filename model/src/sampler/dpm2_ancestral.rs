//! The midpoint method of [`super::dpm2`] with fresh noise in each step (k-diffusion's `sample_dpm_2_ancestral`),
//! `KDPM2AncestralDiscreteScheduler`. The last step has one model call and no noise.

use super::SamplerError;
use super::combination::{memory, noise, sample, x0};
use super::dpm2::DIFFERENCES;
use super::plan::{Definition, Plan, Setup, predict_x0_from_sigma};
use super::sigma_space::{SigmaSpace, ancestral_split, call, geometric_middle, noising};
use super::step::{Clip, Noise, Step, Update};

pub(super) const DEFINITION: Definition = Definition {
    name: "dpm2_ancestral",
    label: "DPM2 a",
    aliases: &["dpm2_a", "dpm_2_ancestral", "k_dpm_2_a", "k_dpm_2_ancestral"],
    class: "KDPM2AncestralDiscreteScheduler",
    order: 2,
    has_noise_schedule: true,
    has_timestep_spacing: true,
    has_eta: false,
    plan,
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
        let (down, up) = ancestral_split(sigma, sigma_next);
        let middle = geometric_middle(sigma, down);
        let slope = |from: f32, to: f32| (sample() - x0()) * ((to - sigma) / from);
        let (call, noising, level, next, draw, written) = if is_second {
            let next = memory(START) + slope(middle, down) + noise() * up;
            let call = call(space.table.timestep_f32(middle), middle);
            (call, noising(sigma_next), middle, next, Noise::Standard, Vec::new())
        } else {
            let next = sample() + slope(sigma, middle);
            (call(space.timesteps[i], sigma), noising(sigma), sigma, next, Noise::None, vec![(START, sample())])
        };
        Step {
            call,
            noising,
            update: Update {
                x0: predict_x0_from_sigma(prediction, level),
                clip: Clip::None,
                next,
                memory: written,
                noise: draw,
            },
        }
    };
    let steps = (setup.begin..2 * space.timesteps.len() - 1).map(step).collect();
    Ok(Plan { initial_noise_scale: space.initial_noise_scale(), steps })
}
