//! Euler's method with fresh noise in each step (k-diffusion's `sample_euler_ancestral`),
//! `EulerAncestralDiscreteScheduler`.

use super::SamplerError;
use super::combination::{noise, sample, x0};
use super::plan::{Definition, Plan, Setup, predict_x0_from_sigma};
use super::sigma_space::{Differences, SigmaSpace, ancestral_split, call, noising};
use super::step::{Clip, Noise, Step, Update};
use crate::schedule::{BetaOptions, ZeroTerminalSnr};

pub(super) const DEFINITION: Definition = Definition {
    name: "euler_ancestral",
    label: "Euler a",
    aliases: &["euler_a", "k_euler_a", "k_euler_ancestral"],
    class: "EulerAncestralDiscreteScheduler",
    order: 1,
    has_noise_schedule: false,
    has_timestep_spacing: true,
    has_eta: false,
    plan,
};

const DIFFERENCES: Differences = Differences {
    betas: BetaOptions { zero_terminal_snr: ZeroTerminalSnr::Finite, ..BetaOptions::DDPM },
    has_noise_schedule: false,
    rounds_karras: false,
    karras_takes_range: false,
};

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    let prediction = setup.prediction_type_but_sample()?;
    let space = SigmaSpace::new(setup, &DIFFERENCES)?;
    let step = |i: usize| {
        let sigma = space.sigmas[i];
        let (down, up) = ancestral_split(sigma, space.sigmas[i + 1]);
        Step {
            call: call(space.timesteps[i], sigma),
            noising: noising(sigma),
            update: Update {
                x0: predict_x0_from_sigma(prediction, sigma),
                clip: Clip::None,
                next: sample() + (sample() - x0()) * ((down - sigma) / sigma) + noise() * up,
                memory: Vec::new(),
                noise: Noise::Standard,
            },
        }
    };
    let steps = (setup.begin..space.timesteps.len()).map(step).collect();
    Ok(Plan { initial_noise_scale: space.initial_noise_scale(), steps })
}
