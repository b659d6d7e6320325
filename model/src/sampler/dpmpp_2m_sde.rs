//! DPM-Solver++(2M) for the stochastic differential equation: the method of [`super::dpmpp_2m`] with fresh noise in each
//! step, `DPMSolverMultistepScheduler` with the algorithm `sde-dpmsolver++`.

use super::SamplerError;
use super::combination::{Combination, noise, sample, x0};
use super::dpmpp_2m::multistep;
use super::plan::{Definition, Plan, Setup};
use super::solver::Level;
use super::step::Noise;
use crate::schedule::SolverType;

pub(super) const DEFINITION: Definition = Definition {
    name: "dpmpp_2m_sde",
    label: "DPM++ 2M SDE",
    aliases: &["k_dpmpp_2m_sde", "sde-dpmsolver++"],
    class: "DPMSolverMultistepScheduler",
    order: 1,
    has_noise_schedule: true,
    has_timestep_spacing: true,
    has_eta: false,
    plan,
};

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    multistep(setup, first_order, second_order, Noise::Standard)
}

/// The formulas of diffusers' `dpm_solver_first_order_update` for `sde-dpmsolver++`.
fn first_order([t, s]: [Level; 2]) -> Combination {
    let h = t.lambda - s.lambda;
    let gain = t.alpha * (1.0 - (-2.0 * h).exp());
    sample() * (t.sigma / s.sigma * (-h).exp()) + x0() * gain + fresh_noise(t, h)
}

/// The formulas of diffusers' `multistep_dpm_solver_second_order_update` for `sde-dpmsolver++`.
fn second_order([t, s0, s1]: [Level; 3], previous: Combination, solver_type: SolverType) -> Combination {
    let (h, h_0) = (t.lambda - s0.lambda, s0.lambda - s1.lambda);
    let difference = (x0() - previous) * (1.0 / (h_0 / h));
    let growth = 1.0 - (-2.0 * h).exp();
    let weight =
        if solver_type == SolverType::Heun { t.alpha * (growth / (-2.0 * h) + 1.0) } else { 0.5 * (t.alpha * growth) };
    sample() * (t.sigma / s0.sigma * (-h).exp()) + x0() * (t.alpha * growth) + difference * weight + fresh_noise(t, h)
}

fn fresh_noise(t: Level, h: f32) -> Combination {
    noise() * (t.sigma * (1.0 - (-2.0 * h).exp()).sqrt())
}
