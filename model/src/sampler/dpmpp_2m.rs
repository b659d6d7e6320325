//! DPM-Solver++(2M), a second-order multistep method (Lu et al. 2022), `DPMSolverMultistepScheduler`.

use super::SamplerError;
use super::combination::{Combination, sample, x0};
use super::plan::{Definition, Plan, Setup, predict_x0};
use super::solver::{Differences, FinalLevel, Level, Path};
use super::step::{History, Noise, Step, Update};
use crate::schedule::{BetaOptions, FinalSigma, SolverType, ZeroTerminalSnr};

pub(super) const DEFINITION: Definition = Definition {
    name: "dpmpp_2m",
    label: "DPM++ 2M",
    aliases: &["k_dpmpp_2m", "dpmsolver++", "DPMSolverMultistep"],
    class: "DPMSolverMultistepScheduler",
    order: 1,
    has_noise_schedule: true,
    has_timestep_spacing: true,
    has_eta: false,
    plan,
};

pub(super) const DIFFERENCES: Differences = Differences {
    betas: BetaOptions { zero_terminal_snr: ZeroTerminalSnr::Finite, ..BetaOptions::DDPM },
    clips_lambda: true,
    has_timestep_spacing: true,
    has_lu_lambdas: true,
    cuts_cosine: true,
    final_level: FinalLevel::Configured,
};

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    multistep(setup, first_order, second_order, Noise::None)
}

/// The steps of a second-order multistep method, of which the first one, and sometimes the last one, is of first order.
/// The formulas take the levels from the step's end backwards.
pub(super) fn multistep(
    setup: &Setup,
    first_order: impl Fn([Level; 2]) -> Combination,
    second_order: impl Fn([Level; 3], Combination, SolverType) -> Combination,
    noise: Noise,
) -> Result<Plan, SamplerError> {
    let path = Path::new(setup, &DIFFERENCES)?;
    let solver_type = two_point_type(setup);
    let mut predictions = History::new(0, 1);
    let mut steps = Vec::new();
    for i in setup.begin..path.timesteps.len() {
        let (level, next_level) = (path.levels[i], path.levels[i + 1]);
        let ends_low = path.steps_left(i) == 1 && final_step_is_first_order(setup, &path);
        let next = if predictions.len() == 0 || ends_low {
            first_order([next_level, level])
        } else {
            second_order([next_level, level, path.levels[i - 1]], predictions.recall(1), solver_type)
        };
        steps.push(Step {
            call: path.call(i),
            noising: level.noising(),
            update: Update {
                x0: predict_x0(setup.prediction_type(), level.alpha, level.sigma),
                clip: setup.threshold(),
                next,
                memory: vec![predictions.push(x0())],
                noise,
            },
        });
    }
    Ok(Plan { initial_noise_scale: 1.0, steps })
}

fn final_step_is_first_order(setup: &Setup, path: &Path) -> bool {
    setup.config.euler_at_final.unwrap_or(false)
        || setup.config.lower_order_final.unwrap_or(true) && path.is_short()
        || setup.config.final_sigmas_type.unwrap_or_default() == FinalSigma::Zero
}

/// The configured variant of the second-order formulas.
pub(super) fn two_point_type(setup: &Setup) -> SolverType {
    match setup.config.solver_type {
        Some(SolverType::Heun) => SolverType::Heun,
        None | Some(SolverType::Midpoint | SolverType::Logrho | SolverType::Bh1 | SolverType::Bh2) => {
            SolverType::Midpoint
        }
    }
}

/// Equation 4.2 of the paper.
fn first_order([t, s]: [Level; 2]) -> Combination {
    let h = t.lambda - s.lambda;
    sample() * (t.sigma / s.sigma) - x0() * (t.alpha * ((-h).exp() - 1.0))
}

/// Algorithm 2 of the paper for `Midpoint`, section B for `Heun`.
fn second_order([t, s0, s1]: [Level; 3], previous: Combination, solver_type: SolverType) -> Combination {
    let (h, h_0) = (t.lambda - s0.lambda, s0.lambda - s1.lambda);
    let difference = (x0() - previous) * (1.0 / (h_0 / h));
    let decay = (-h).exp() - 1.0;
    let weight = if solver_type == SolverType::Heun { t.alpha * (decay / h + 1.0) } else { -0.5 * (t.alpha * decay) };
    sample() * (t.sigma / s0.sigma) - x0() * (t.alpha * decay) + difference * weight
}
