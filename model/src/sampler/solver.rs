//! What the multistep solvers share: DPM-Solver++, UniPC, DEIS. They look at the sample as α x₀ + σ ε with α² + σ² = 1, and
//! measure steps in λ = ln(α / σ).

use super::SamplerError;
use super::plan::Setup;
use super::step::{ModelCall, Noising};
use crate::schedule::{
    BetaOptions, BetaSchedule, ConfigError, FinalSigma, NoiseSchedule, SigmaTable, TimestepSpacing, TrainingSchedule,
    solver_timesteps,
};

/// A place on the way from noise to picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// σ / α, the noise level in the other samplers' terms.
    pub(super) ratio: f32,
    pub(super) alpha: f32,
    pub(super) sigma: f32,
    /// Infinite at the end of a schedule that goes to zero noise.
    pub(super) lambda: f32,
}

impl Level {
    fn new(ratio: f32) -> Self {
        let alpha = (ratio * ratio + 1.0).sqrt().recip();
        let sigma = ratio * alpha;
        Self { ratio, alpha, sigma, lambda: alpha.ln() - sigma.ln() }
    }

    pub(super) fn noising(&self) -> Noising {
        Noising { original: self.alpha, noise: self.sigma }
    }
}

/// The steps' timesteps and levels, from the noisiest down; there is one level more.
pub(super) struct Path {
    pub(super) timesteps: Vec<i64>,
    pub(super) levels: Vec<Level>,
}

/// The parts of the construction in which the classes of diffusers differ.
pub(super) struct Differences {
    pub(super) betas: BetaOptions,
    /// Whether the class knows `lambda_min_clipped`, which leaves out the noisiest timesteps.
    pub(super) clips_lambda: bool,
    /// Whether `timestep_spacing` has a say; otherwise it is `linspace`.
    pub(super) has_timestep_spacing: bool,
    /// Timesteps found from Karras noise levels are rounded and others cut to whole numbers; here, whether those of the β
    /// schedule `squaredcos_cap_v2` are always cut.
    pub(super) cuts_cosine: bool,
    pub(super) final_level: FinalLevel,
    /// Whether the class knows `use_lu_lambdas`.
    pub(super) has_lu_lambdas: bool,
}

/// Where the last step goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FinalLevel {
    /// `final_sigmas_type`: to zero, or to the training's lowest noise level.
    Configured,
    /// `final_sigmas_type`: to zero, or, with a noise schedule, to the lowest level of that.
    ConfiguredLast,
    /// Always the lowest level.
    Last,
}

impl Path {
    pub(super) fn new(setup: &Setup, differences: &Differences) -> Result<Self, SamplerError> {
        let training = TrainingSchedule::new(&setup.config, differences.betas)?;
        let table = SigmaTable::new(&training);
        let spacing = match differences.has_timestep_spacing {
            true => setup.spacing(TimestepSpacing::Linspace),
            false => TimestepSpacing::Linspace,
        };
        let last = if differences.clips_lambda { last_timestep(setup, &training)? } else { setup.train_timesteps() };
        let timesteps = solver_timesteps(spacing, setup.train_timesteps(), last, setup.steps, setup.steps_offset());

        let spaced = spaced_sigmas(setup, differences, &table)?;
        let (timesteps, mut sigmas) = match &spaced {
            None => {
                let sigmas = timesteps.iter().map(|timestep| table.at(*timestep as f64)).collect();
                (timesteps, sigmas)
            }
            Some((sigmas, rounds)) => {
                let timestep = |sigma: &f64| table.timestep(*sigma);
                let round = |t: f64| if *rounds { t.round_ties_even() } else { t };
                (sigmas.iter().map(timestep).map(|t| round(t) as i64).collect(), sigmas.clone())
            }
        };
        sigmas.push(final_sigma(setup, differences, &table, spaced.and_then(|(sigmas, _)| sigmas.last().copied())));
        Ok(Self { timesteps, levels: sigmas.into_iter().map(|sigma| Level::new(sigma as f32)).collect() })
    }

    pub(super) fn call(&self, i: usize) -> ModelCall {
        ModelCall { timestep: self.timesteps[i] as f32, sigma: self.levels[i].ratio, input_scale: 1.0 }
    }

    /// How many steps are left from step `i` on, with it.
    pub(super) fn steps_left(&self, i: usize) -> usize {
        self.timesteps.len() - i
    }

    /// Whether few enough steps are made in all that the last ones need a lower order to be stable.
    pub(super) fn is_short(&self) -> bool {
        self.timesteps.len() < 15
    }
}

/// The noise levels of the configured schedule, if there is one, and whether their timesteps are rounded.
fn spaced_sigmas(
    setup: &Setup,
    differences: &Differences,
    table: &SigmaTable,
) -> Result<Option<(Vec<f64>, bool)>, SamplerError> {
    let is_cosine = setup.config.beta_schedule == Some(BetaSchedule::SquaredCosine);
    let rounds = !(is_cosine && differences.cuts_cosine);
    let schedule = setup.config.noise_schedule()?;
    let uses_lu = differences.has_lu_lambdas && setup.config.use_lu_lambdas.unwrap_or(false);
    if schedule != NoiseSchedule::Karras && uses_lu {
        // Lu et al. 2022 ("DPM-Solver++"), with an exponent of one: evenly in ln σ.
        let (low, high) = table.log_range();
        let sigmas = NoiseSchedule::Exponential.space(f64::from(high).exp(), f64::from(low).exp(), setup.steps);
        return Ok(sigmas.map(|sigmas| (sigmas, rounds)));
    }
    let max = setup.config.sigma_max.unwrap_or(table.max().into());
    let min = setup.config.sigma_min.unwrap_or(table.min().into());
    let sigmas = schedule.space(max, min, setup.steps);
    Ok(sigmas.map(|sigmas| (sigmas, rounds && schedule == NoiseSchedule::Karras)))
}

fn final_sigma(setup: &Setup, differences: &Differences, table: &SigmaTable, last_spaced: Option<f64>) -> f64 {
    let lowest = f64::from(table.min());
    let configured = setup.config.final_sigmas_type.unwrap_or_default();
    match (differences.final_level, configured) {
        (FinalLevel::Configured | FinalLevel::ConfiguredLast, FinalSigma::Zero) => 0.0,
        (FinalLevel::Configured, FinalSigma::SigmaMin) => lowest,
        (FinalLevel::ConfiguredLast, FinalSigma::SigmaMin)
        | (FinalLevel::Last, FinalSigma::Zero | FinalSigma::SigmaMin) => last_spaced.unwrap_or(lowest),
    }
}

/// The number of training timesteps whose λ is at least `lambda_min_clipped`.
fn last_timestep(setup: &Setup, training: &TrainingSchedule) -> Result<usize, ConfigError> {
    let Some(lowest) = setup.config.lambda_min_clipped else { return Ok(setup.train_timesteps()) };
    let lambda = |alpha_bar: &f32| alpha_bar.sqrt().ln() - (1.0 - alpha_bar).sqrt().ln();
    let kept = training.alphas_cumprod().iter().filter(|alpha_bar| f64::from(lambda(alpha_bar)) >= lowest).count();
    if kept == 0 {
        return Err(ConfigError::new("lambda_min_clipped", format!("{lowest} leaves no timestep")));
    }
    Ok(kept)
}
