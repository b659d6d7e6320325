//! DEIS: the exponential integrator of Zhang and Chen 2022 with polynomials in ln ρ, ρ = σ / α (`logrho`),
//! `DEISMultistepScheduler`.

use super::SamplerError;
use super::combination::{Combination, sample, x0};
use super::plan::{Definition, Plan, Setup, predict_x0};
use super::solver::{Differences, FinalLevel, Level, Path};
use super::step::{History, Noise, Step, Update};
use crate::schedule::{BetaOptions, ln_f32};

pub(super) const DEFINITION: Definition = Definition {
    name: "deis",
    label: "DEIS",
    aliases: &["DEISMultistep"],
    class: "DEISMultistepScheduler",
    order: 1,
    has_noise_schedule: true,
    has_timestep_spacing: true,
    has_eta: false,
    plan,
};

const DIFFERENCES: Differences = Differences {
    betas: BetaOptions::DDPM,
    clips_lambda: false,
    has_timestep_spacing: true,
    has_lu_lambdas: false,
    cuts_cosine: false,
    final_level: FinalLevel::Last,
};

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    let order = setup.solver_order()?;
    let path = Path::new(setup, &DIFFERENCES)?;
    let lowers = setup.config.lower_order_final.unwrap_or(true) && path.is_short();
    let mut noises = History::new(0, order);
    let mut steps = Vec::new();
    for i in setup.begin..path.timesteps.len() {
        let (level, next_level) = (path.levels[i], path.levels[i + 1]);
        let noise = (sample() - x0() * level.alpha) / level.sigma;
        let left = if lowers { path.steps_left(i) } else { order };
        let next = match order.min(noises.len() + 1).min(left) {
            1 => first_order([next_level, level], noise.clone()),
            2 => second_order([next_level, level, path.levels[i - 1]], [noise.clone(), noises.recall(1)]),
            _ => third_order(
                [next_level, level, path.levels[i - 1], path.levels[i - 2]],
                [noise.clone(), noises.recall(1), noises.recall(2)],
            ),
        };
        steps.push(Step {
            call: path.call(i),
            noising: level.noising(),
            update: Update {
                x0: predict_x0(setup.prediction_type(), level.alpha, level.sigma),
                clip: setup.threshold(),
                next,
                memory: vec![noises.push(noise)],
                noise: Noise::None,
            },
        });
    }
    Ok(Plan { initial_noise_scale: 1.0, steps })
}

fn first_order([t, s]: [Level; 2], noise: Combination) -> Combination {
    let h = t.lambda - s.lambda;
    sample() * (t.alpha / s.alpha) - noise * (t.sigma * (h.exp() - 1.0))
}

fn second_order([t, s0, s1]: [Level; 3], noises: [Combination; 2]) -> Combination {
    let [rho, r0, r1] = [t, s0, s1].map(rho);
    // The integral of the line in ln ρ that is one at b and zero at c.
    let integral = |at: f32, b: f32, c: f32| at * (-ln_f32(c) + ln_f32(at) - 1.0) / (ln_f32(b) - ln_f32(c));
    let coefficients = [(r0, r1), (r1, r0)].map(|(b, c)| integral(rho, b, c) - integral(r0, b, c));
    combine(t, s0, coefficients, noises)
}

fn third_order([t, s0, s1, s2]: [Level; 4], noises: [Combination; 3]) -> Combination {
    let [rho, r0, r1, r2] = [t, s0, s1, s2].map(rho);
    // The integral of the parabola in ln ρ that is one at b and zero at c and d.
    let integral = |at: f32, b: f32, c: f32, d: f32| {
        let [at_log, b, c, d] = [at, b, c, d].map(ln_f32);
        let numerator = at * (c * (d - at_log + 1.0) - d * at_log + d + at_log * at_log - 2.0 * at_log + 2.0);
        numerator / ((b - c) * (b - d))
    };
    let coefficients =
        [(r0, r1, r2), (r1, r2, r0), (r2, r0, r1)].map(|(b, c, d)| integral(rho, b, c, d) - integral(r0, b, c, d));
    combine(t, s0, coefficients, noises)
}

fn rho(level: Level) -> f32 {
    level.sigma / level.alpha
}

fn combine<const N: usize>(t: Level, s: Level, coefficients: [f32; N], noises: [Combination; N]) -> Combination {
    let scaled = coefficients.into_iter().zip(noises).map(|(coefficient, noise)| noise * coefficient);
    scaled.fold(sample() / s.alpha, |sum, noise| sum + noise) * t.alpha
}
