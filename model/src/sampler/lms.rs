//! The linear multistep method in noise levels (k-diffusion's `sample_lms`), `LMSDiscreteScheduler`.

use super::SamplerError;
use super::combination::{Combination, sample, x0};
use super::plan::{Definition, Plan, Setup, predict_x0_from_sigma};
use super::sigma_space::{Differences, SigmaSpace, call, noising};
use super::step::{Clip, History, Noise, Step, Update};
use crate::schedule::BetaOptions;

pub(super) const DEFINITION: Definition = Definition {
    name: "lms",
    label: "LMS",
    aliases: &["k_lms"],
    class: "LMSDiscreteScheduler",
    order: 1,
    has_noise_schedule: true,
    has_timestep_spacing: true,
    has_eta: false,
    plan,
};

const DIFFERENCES: Differences =
    Differences { betas: BetaOptions::DDPM, has_noise_schedule: true, rounds_karras: false, karras_takes_range: false };

const ORDER: usize = 4;

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    let space = SigmaSpace::new(setup, &DIFFERENCES)?;
    let mut slopes = History::new(0, ORDER - 1);
    let mut steps = Vec::new();
    for i in setup.begin..space.timesteps.len() {
        let sigma = space.sigmas[i];
        let slope: Combination = (sample() - x0()) / sigma;
        // The order grows with the place in the schedule, also where image-to-image begins later and has fewer slopes.
        let order = ORDER.min(i + 1);
        let mut next = sample() + slope.clone() * coefficient(&space.sigmas, i, order, 0);
        for back in 1..order.min(slopes.len() + 1) {
            next = next + slopes.recall(back) * coefficient(&space.sigmas, i, order, back);
        }
        steps.push(Step {
            call: call(space.timesteps[i], sigma),
            noising: noising(sigma),
            update: Update {
                x0: predict_x0_from_sigma(setup.prediction_type(), sigma),
                clip: Clip::None,
                next,
                memory: vec![slopes.push(slope)],
                noise: Noise::None,
            },
        });
    }
    Ok(Plan { initial_noise_scale: space.initial_noise_scale(), steps })
}

/// The integral over the step from `sigmas[i]` to `sigmas[i + 1]` of the polynomial that is one at `sigmas[i - back]` and
/// zero at the other `order - 1` last noise levels. Two Gauss points are exact up to the third degree.
fn coefficient(sigmas: &[f32], i: usize, order: usize, back: usize) -> f64 {
    let level = |k: usize| f64::from(sigmas[i - k]);
    let basis = |sigma: f64| -> f64 {
        let others = (0..order).filter(|k| *k != back);
        others.map(|k| (sigma - level(k)) / (level(back) - level(k))).product()
    };
    let half = (f64::from(sigmas[i + 1]) - level(0)) / 2.0;
    let offset = half / 3_f64.sqrt();
    let middle = level(0) + half;
    half * (basis(middle - offset) + basis(middle + offset))
}
