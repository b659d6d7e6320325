//! DPM-Solver++(2S), a second-order singlestep method (Lu et al. 2022), `DPMSolverSinglestepScheduler`.
//!
//! Steps come in pairs: one of first order, and one that goes over both intervals again with the predictions of both. At the
//! end of the schedule there may be more steps of first order.

use super::SamplerError;
use super::combination::{Combination, memory, sample, x0};
use super::dpmpp_2m::two_point_type;
use super::plan::{Definition, Plan, Setup, predict_x0};
use super::solver::{Differences, FinalLevel, Level, Path};
use super::step::{Noise, Step, Update};
use crate::schedule::{BetaOptions, FinalSigma, SolverType};

pub(super) const DEFINITION: Definition = Definition {
    name: "dpmpp_2s",
    label: "DPM++ 2S",
    aliases: &["DPMSolverSinglestep"],
    class: "DPMSolverSinglestepScheduler",
    order: 1,
    has_noise_schedule: true,
    has_timestep_spacing: false,
    has_eta: false,
    plan,
};

const DIFFERENCES: Differences = Differences {
    betas: BetaOptions::DDPM,
    clips_lambda: true,
    has_timestep_spacing: false,
    has_lu_lambdas: false,
    cuts_cosine: false,
    final_level: FinalLevel::Configured,
};

/// The sample at the start of the pair, and its prediction.
const START: usize = 0;
const PREDICTION: usize = 1;

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    let path = Path::new(setup, &DIFFERENCES)?;
    let solver_type = two_point_type(setup);
    let count = path.timesteps.len();
    let step = |i: usize| {
        let level = path.levels[i];
        let (next, start) = if i > setup.begin && is_second_of_pair(setup, count, i) {
            (second_order([path.levels[i + 1], level, path.levels[i - 1]], solver_type), None)
        } else {
            (first_order([path.levels[i + 1], level]), Some((START, sample())))
        };
        Step {
            call: path.call(i),
            noising: level.noising(),
            update: Update {
                x0: predict_x0(setup.prediction_type(), level.alpha, level.sigma),
                clip: setup.threshold(),
                next,
                memory: start.into_iter().chain([(PREDICTION, x0())]).collect(),
                noise: Noise::None,
            },
        }
    };
    Ok(Plan { initial_noise_scale: 1.0, steps: (setup.begin..count).map(step).collect() })
}

/// diffusers' `get_order_list` for order 2. An odd number of steps and a schedule that ends without noise need a last step
/// of first order.
fn is_second_of_pair(setup: &Setup, count: usize, i: usize) -> bool {
    let ends_without_noise = setup.config.final_sigmas_type.unwrap_or_default() == FinalSigma::Zero;
    let ends_low = setup.config.lower_order_final.unwrap_or(false) || ends_without_noise || count % 2 == 1;
    i % 2 == 1 && !(ends_low && i + 1 == count)
}

fn first_order([t, s]: [Level; 2]) -> Combination {
    let h = t.lambda - s.lambda;
    sample() * (t.sigma / s.sigma) - x0() * (t.alpha * ((-h).exp() - 1.0))
}

/// Algorithm 1 of the paper with its intermediate time halfway through the pair.
fn second_order([t, s0, s1]: [Level; 3], solver_type: SolverType) -> Combination {
    let (h, h_0) = (t.lambda - s1.lambda, s0.lambda - s1.lambda);
    let difference = (x0() - memory(PREDICTION)) * (1.0 / (h_0 / h));
    let decay = (-h).exp() - 1.0;
    let weight = if solver_type == SolverType::Heun { t.alpha * (decay / h + 1.0) } else { -0.5 * (t.alpha * decay) };
    memory(START) * (t.sigma / s1.sigma) - memory(PREDICTION) * (t.alpha * decay) + difference * weight
}
