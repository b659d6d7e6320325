//! From a model's `scheduler_config.json` and a request to the list of steps.

use super::combination::{Combination, output, sample};
use super::kind::SamplerKind;
use super::step::{Clip, Step};
use super::{SamplerError, SamplerSpec};
use crate::schedule::{ConfigError, NoiseSchedule, PredictionType, SchedulerConfig, TimestepSpacing};

/// What a sampler is called, what can be chosen, and how its steps are found.
pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) aliases: &'static [&'static str],
    /// The class of diffusers that defines the sampler.
    pub(super) class: &'static str,
    /// How many model calls image-to-image skips for each step left out: `order` of the class.
    pub(super) order: usize,
    pub(super) has_noise_schedule: bool,
    pub(super) has_timestep_spacing: bool,
    pub(super) has_eta: bool,
    pub(super) plan: fn(&Setup) -> Result<Plan, SamplerError>,
}

/// What a plan is made from: the configuration is the model's with the request's options written over it, as diffusers'
/// `Class.from_config(config, **options)` does.
pub(super) struct Setup {
    pub(super) kind: SamplerKind,
    pub(super) config: SchedulerConfig,
    pub(super) steps: usize,
    /// The model calls to leave out, for image-to-image.
    pub(super) begin: usize,
    pub(super) eta: f64,
}

/// All steps of a generation.
pub(super) struct Plan {
    /// The first sample is standard normal noise times this.
    pub(super) initial_noise_scale: f32,
    pub(super) steps: Vec<Step>,
}

impl Setup {
    pub(super) fn new(config: &SchedulerConfig, spec: &SamplerSpec, steps: usize) -> Result<Self, SamplerError> {
        let kind = spec.kind;
        let definition = kind.definition();
        for (given, known, option) in [
            (spec.noise_schedule != NoiseSchedule::Default, definition.has_noise_schedule, "noise_schedule"),
            (spec.timestep_spacing.is_some(), definition.has_timestep_spacing, "timestep_spacing"),
            (spec.eta.is_some(), definition.has_eta, "eta"),
        ] {
            if given && !known {
                return Err(SamplerError::Unsupported { sampler: kind, option });
            }
        }
        let eta = spec.eta.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&eta) {
            return Err(SamplerError::Eta { eta });
        }
        let mut config = config.clone().with_noise_schedule(spec.noise_schedule);
        config.timestep_spacing = spec.timestep_spacing.or(config.timestep_spacing);
        check(&config)?;
        let setup = Self { kind, config, steps, begin: 0, eta };
        let max = setup.train_timesteps();
        if steps == 0 || steps > max { Err(SamplerError::Steps { sampler: kind, steps, max }) } else { Ok(setup) }
    }

    /// The setup for image-to-image, which begins as the `get_timesteps` of diffusers' pipelines does.
    pub(super) fn with_strength(self, strength: f64) -> Result<Self, SamplerError> {
        let done = (self.steps as f64 * strength) as usize;
        if !(0.0..=1.0).contains(&strength) || done == 0 {
            return Err(SamplerError::Strength { strength, steps: self.steps });
        }
        Ok(Self { begin: (self.steps - done) * self.kind.definition().order, ..self })
    }

    pub(super) fn train_timesteps(&self) -> usize {
        self.config.num_train_timesteps.unwrap_or(1000)
    }

    pub(super) fn prediction_type(&self) -> PredictionType {
        self.config.prediction_type.unwrap_or_default()
    }

    /// The prediction type, for a sampler that takes no `sample` prediction.
    pub(super) fn prediction_type_but_sample(&self) -> Result<PredictionType, ConfigError> {
        match self.prediction_type() {
            PredictionType::Sample => {
                Err(ConfigError::new("prediction_type", format!("{} does not take sample", self.kind)))
            }
            prediction @ (PredictionType::Epsilon | PredictionType::VPrediction) => Ok(prediction),
        }
    }

    pub(super) fn spacing(&self, default: TimestepSpacing) -> TimestepSpacing {
        self.config.timestep_spacing.unwrap_or(default)
    }

    pub(super) fn steps_offset(&self) -> i64 {
        self.config.steps_offset.unwrap_or(0)
    }

    /// The order of a multistep solver: 1, 2 or 3.
    pub(super) fn solver_order(&self) -> Result<usize, ConfigError> {
        let order = self.config.solver_order.unwrap_or(2);
        if (1..=3).contains(&order) {
            Ok(order)
        } else {
            Err(ConfigError::new("solver_order", format!("{order} is not between 1 and 3")))
        }
    }

    /// Dynamic thresholding, if the configuration asks for it.
    pub(super) fn threshold(&self) -> Clip {
        if self.config.thresholding.unwrap_or(false) {
            let (ratio, max) = threshold_bounds(&self.config);
            Clip::Threshold { ratio, max }
        } else {
            Clip::None
        }
    }

    /// Clipping to a range, if the configuration asks for it.
    pub(super) fn clip(&self, default: bool) -> Clip {
        if self.config.clip_sample.unwrap_or(default) { Clip::Range(clip_range(&self.config)) } else { Clip::None }
    }

    /// Thresholding goes before clipping.
    pub(super) fn threshold_or_clip(&self, clip_default: bool) -> Clip {
        match self.threshold() {
            Clip::None => self.clip(clip_default),
            threshold @ (Clip::Range(_) | Clip::Threshold { .. }) => threshold,
        }
    }
}

fn clip_range(config: &SchedulerConfig) -> f32 {
    config.clip_sample_range.unwrap_or(1.0)
}

fn threshold_bounds(config: &SchedulerConfig) -> (f32, f32) {
    (config.dynamic_thresholding_ratio.unwrap_or(0.995), config.sample_max_value.unwrap_or(1.0))
}

/// That the configuration has nothing that no sampler can serve.
fn check(config: &SchedulerConfig) -> Result<(), ConfigError> {
    let (ratio, max) = threshold_bounds(config);
    let range = clip_range(config);
    if config.num_train_timesteps == Some(0) {
        Err(ConfigError::new("num_train_timesteps", "it must be at least 1"))
    } else if config.use_flow_sigmas.unwrap_or(false) {
        Err(ConfigError::new("use_flow_sigmas", "flow matching is not supported"))
    } else if !(0.0..=1.0).contains(&ratio) {
        Err(ConfigError::new("dynamic_thresholding_ratio", format!("{ratio} is not between 0 and 1")))
    } else if max.is_nan() || max <= 0.0 {
        Err(ConfigError::new("sample_max_value", format!("{max} is not over 0")))
    } else if range.is_nan() || range <= 0.0 {
        Err(ConfigError::new("clip_sample_range", format!("{range} is not over 0")))
    } else {
        Ok(())
    }
}

/// x₀ where the sample is α x₀ + σ ε with α² + σ² = 1.
pub(super) fn predict_x0(prediction: PredictionType, alpha: f32, sigma: f32) -> Combination {
    match prediction {
        PredictionType::Epsilon => (sample() - output() * sigma) / alpha,
        PredictionType::Sample => output(),
        PredictionType::VPrediction => sample() * alpha - output() * sigma,
    }
}

/// x₀ where the sample is x₀ + σ ε.
pub(super) fn predict_x0_from_sigma(prediction: PredictionType, sigma: f32) -> Combination {
    let variance = sigma * sigma + 1.0;
    match prediction {
        PredictionType::Epsilon => sample() - output() * sigma,
        PredictionType::Sample => output(),
        PredictionType::VPrediction => output() * (-sigma / variance.sqrt()) + sample() / variance,
    }
}
