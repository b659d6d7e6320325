//! UniPC: a predictor and a corrector of the same order (Zhao et al. 2023), `UniPCMultistepScheduler`.
//!
//! Each model output first corrects the step that led to it and then predicts the next one, without a second model call.

use super::SamplerError;
use super::combination::{Combination, memory, output, sample, x0};
use super::plan::{Definition, Plan, Setup, predict_x0};
use super::solver::{Differences, FinalLevel, Level, Path};
use super::step::{Clip, History, Noise, Step, Update};
use crate::schedule::{BetaOptions, PredictionType, SolverType, ZeroTerminalSnr};

pub(super) const DEFINITION: Definition = Definition {
    name: "unipc",
    label: "UniPC",
    aliases: &["uni_pc", "UniPCMultistep"],
    class: "UniPCMultistepScheduler",
    order: 1,
    has_noise_schedule: true,
    has_timestep_spacing: true,
    has_eta: false,
    plan,
};

const DIFFERENCES: Differences = Differences {
    betas: BetaOptions { zero_terminal_snr: ZeroTerminalSnr::Finite, ..BetaOptions::DDPM },
    clips_lambda: false,
    has_timestep_spacing: true,
    has_lu_lambdas: false,
    cuts_cosine: false,
    final_level: FinalLevel::ConfiguredLast,
};

/// The corrected sample of the last step.
const LAST_SAMPLE: usize = 0;
const FIRST_PREDICTION: usize = 1;

fn plan(setup: &Setup) -> Result<Plan, SamplerError> {
    let order = setup.solver_order()?;
    let path = Path::new(setup, &DIFFERENCES)?;
    let method = Method::new(setup);
    let uncorrected = setup.config.disable_corrector.as_deref().unwrap_or_default();
    let lowers = setup.config.lower_order_final.unwrap_or(true);
    let mut predictions = History::new(FIRST_PREDICTION, order);
    let mut last_order = 0;
    let mut steps = Vec::new();
    for i in setup.begin..path.timesteps.len() {
        let level = path.levels[i];
        let prediction = method.prediction(level);
        let corrects = last_order > 0 && !uncorrected.contains(&(i - 1));
        let corrected = if corrects {
            let levels = Levels { to: level, from: path.levels[i - 1], before: before(&path, i - 1, last_order) };
            method.correct(&levels, &predictions, prediction.clone())
        } else {
            sample()
        };
        let left = if lowers { path.steps_left(i) } else { order };
        let this_order = order.min(predictions.len() + 1).min(left);
        let levels = Levels { to: path.levels[i + 1], from: level, before: before(&path, i, this_order) };
        steps.push(Step {
            call: path.call(i),
            noising: level.noising(),
            update: Update {
                x0: predict_x0(setup.prediction_type(), level.alpha, level.sigma),
                clip: method.clip,
                next: method.predict(&levels, &predictions, corrected.clone(), prediction.clone()),
                memory: vec![(LAST_SAMPLE, corrected), predictions.push(prediction)],
                noise: Noise::None,
            },
        });
        last_order = this_order;
    }
    Ok(Plan { initial_noise_scale: 1.0, steps })
}

/// The levels before step `i` that a method of the given order looks at, the latest first.
fn before(path: &Path, i: usize, order: usize) -> Vec<Level> {
    (1..order).map(|back| path.levels[i - back]).collect()
}

/// A step from one level to another, and the levels of the steps before it.
struct Levels {
    to: Level,
    from: Level,
    before: Vec<Level>,
}

/// The configured variant.
struct Method {
    prediction_type: PredictionType,
    /// Whether the solver extrapolates predictions of x₀ or of the noise.
    predicts_x0: bool,
    solver_type: SolverType,
    clip: Clip,
}

impl Method {
    fn new(setup: &Setup) -> Self {
        let predicts_x0 = setup.config.predict_x0.unwrap_or(true);
        Self {
            prediction_type: setup.prediction_type(),
            predicts_x0,
            solver_type: match setup.config.solver_type {
                Some(SolverType::Bh1) => SolverType::Bh1,
                None | Some(SolverType::Bh2 | SolverType::Midpoint | SolverType::Heun | SolverType::Logrho) => {
                    SolverType::Bh2
                }
            },
            clip: if predicts_x0 { setup.threshold() } else { Clip::None },
        }
    }

    fn prediction(&self, level: Level) -> Combination {
        if self.predicts_x0 {
            return x0();
        }
        match self.prediction_type {
            PredictionType::Epsilon => output(),
            PredictionType::Sample => (sample() - output() * level.alpha) / level.sigma,
            PredictionType::VPrediction => output() * level.alpha + sample() * level.sigma,
        }
    }

    /// diffusers' `multistep_uni_p_bh_update`: from the step's start with the prediction there and the ones before it.
    fn predict(&self, levels: &Levels, past: &History, start: Combination, prediction: Combination) -> Combination {
        let basis = Basis::new(self, levels);
        let count = levels.before.len();
        let weights = match count {
            // The equations have more unknowns than the two-step method: diffusers and the paper take one half.
            1 => vec![0.5],
            _ => solve(basis.equations(count)),
        };
        let mut correction = Combination::default();
        for (back, (weight, ratio)) in weights.into_iter().zip(&basis.ratios).enumerate() {
            correction = correction + (past.recall(back + 1) - prediction.clone()) * (weight / ratio);
        }
        basis.advance(start, prediction, correction)
    }

    /// diffusers' `multistep_uni_c_bh_update`: the same step again, with the prediction at its end.
    fn correct(&self, levels: &Levels, past: &History, prediction: Combination) -> Combination {
        let basis = Basis::new(self, levels);
        let count = levels.before.len();
        let weights = match count {
            0 => vec![0.5],
            _ => solve(basis.equations(count + 1)),
        };
        let start_prediction = past.recall(1);
        let mut correction = (prediction - start_prediction.clone()) * weights[count];
        for (back, (weight, ratio)) in weights.into_iter().zip(&basis.ratios).take(count).enumerate() {
            correction = correction + (past.recall(back + 2) - start_prediction.clone()) * (weight / ratio);
        }
        basis.advance(memory(LAST_SAMPLE), start_prediction, correction)
    }
}

/// The coefficients of a step; the names are those of the paper's section 3.
struct Basis {
    /// Factors of the start's sample, of the start's prediction, and of the correction.
    scale: f32,
    prediction_factor: f32,
    correction_factor: f32,
    /// r: where the levels before the start lie, and the end, which is at one.
    ratios: Vec<f32>,
    /// b: the right sides of the equations.
    targets: Vec<f32>,
}

impl Basis {
    fn new(method: &Method, levels: &Levels) -> Self {
        let (to, from) = (levels.to, levels.from);
        let h = to.lambda - from.lambda;
        let signed_h = if method.predicts_x0 { -h } else { h };
        let phi_1 = signed_h.exp_m1();
        let b_h = if method.solver_type == SolverType::Bh1 { signed_h } else { phi_1 };
        let mut ratios: Vec<f32> = levels.before.iter().map(|level| (level.lambda - from.lambda) / h).collect();
        ratios.push(1.0);

        let mut targets = Vec::new();
        let mut phi = phi_1 / signed_h - 1.0;
        let mut factorial = 1.0;
        for i in 1..=ratios.len() {
            targets.push(phi * factorial / b_h);
            factorial *= (i + 1) as f32;
            phi = phi / signed_h - 1.0 / factorial;
        }
        let (scale, outer) = match method.predicts_x0 {
            true => (to.sigma / from.sigma, to.alpha),
            false => (to.alpha / from.alpha, to.sigma),
        };
        Self { scale, prediction_factor: outer * phi_1, correction_factor: outer * b_h, ratios, targets }
    }

    /// The first `count` rows and columns of R ρ = b, each row with its right side.
    fn equations(&self, count: usize) -> Vec<Vec<f64>> {
        let row = |i: usize| {
            let powers = self.ratios.iter().take(count).map(|ratio| f64::from(ratio.powi(i as i32)));
            powers.chain([f64::from(self.targets[i])]).collect()
        };
        (0..count).map(row).collect()
    }

    fn advance(&self, start: Combination, prediction: Combination, correction: Combination) -> Combination {
        let advanced = start * self.scale - prediction * self.prediction_factor;
        // A step to no noise at all is of first order and has no correction, whose factor may then be infinite.
        if correction.terms().is_empty() { advanced } else { advanced - correction * self.correction_factor }
    }
}

/// Gauss elimination with the largest pivot of each column; no solution gives numbers that are not finite.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f32> {
    let count = rows.len();
    for column in 0..count {
        let pivot = (column..count).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()));
        rows.swap(column, pivot.unwrap_or(column));
        let pivot_row = rows[column].clone();
        for row in (0..count).filter(|row| *row != column) {
            let factor = rows[row][column] / pivot_row[column];
            for (value, pivot_value) in rows[row].iter_mut().zip(&pivot_row) {
                *value -= factor * pivot_value;
            }
        }
    }
    rows.iter().enumerate().map(|(i, row)| (row[count] / row[i]) as f32).collect()
}
