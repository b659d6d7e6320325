//! `scheduler/scheduler_config.json` of a diffusers model folder.

use serde::Deserialize;

use super::sigmas::NoiseSchedule;

/// The keys that the supported sampler classes know. An absent key means the default of the class that is made from the
/// file, which differs between classes; other keys are ignored.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
    /// The diffusers class that the file was written for, for example `EulerDiscreteScheduler`.
    #[serde(rename = "_class_name")]
    pub class_name: Option<String>,
    pub num_train_timesteps: Option<usize>,
    pub beta_start: Option<f64>,
    pub beta_end: Option<f64>,
    pub beta_schedule: Option<BetaSchedule>,
    /// Overrides `beta_start`, `beta_end` and `beta_schedule`.
    pub trained_betas: Option<Vec<f64>>,
    pub rescale_betas_zero_snr: Option<bool>,
    pub prediction_type: Option<PredictionType>,
    pub timestep_spacing: Option<TimestepSpacing>,
    pub timestep_type: Option<TimestepType>,
    pub steps_offset: Option<i64>,
    pub interpolation_type: Option<InterpolationType>,
    pub use_karras_sigmas: Option<bool>,
    pub use_exponential_sigmas: Option<bool>,
    pub use_beta_sigmas: Option<bool>,
    pub use_lu_lambdas: Option<bool>,
    pub use_flow_sigmas: Option<bool>,
    pub sigma_min: Option<f64>,
    pub sigma_max: Option<f64>,
    pub final_sigmas_type: Option<FinalSigma>,
    pub lambda_min_clipped: Option<f64>,
    pub clip_sample: Option<bool>,
    pub clip_sample_range: Option<f32>,
    pub thresholding: Option<bool>,
    pub dynamic_thresholding_ratio: Option<f32>,
    pub sample_max_value: Option<f32>,
    pub set_alpha_to_one: Option<bool>,
    pub variance_type: Option<VarianceType>,
    /// Of the multistep DPM solver; it decides only which sampler a file was written for.
    pub algorithm_type: Option<String>,
    pub solver_order: Option<usize>,
    pub solver_type: Option<SolverType>,
    pub lower_order_final: Option<bool>,
    pub euler_at_final: Option<bool>,
    pub predict_x0: Option<bool>,
    pub disable_corrector: Option<Vec<usize>>,
    pub original_inference_steps: Option<usize>,
    pub timestep_scaling: Option<f32>,
}

/// A key of `scheduler_config.json` with a value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct ConfigError {
    /// The key, as it is spelled in the file.
    pub key: String,
    pub message: String,
}

impl ConfigError {
    pub(crate) fn new(key: &str, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), message: message.into() }
    }
}

impl SchedulerConfig {
    /// Reads the text of `scheduler_config.json`.
    ///
    /// # Errors
    /// Text that is not JSON, and a value of a wrong type or an unknown name, with the key.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        // Python writes the default of `lambda_min_clipped` in a way that is not JSON.
        let text = text.replace("-Infinity", "null");
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| ConfigError::new(&error.path().to_string(), error.inner().to_string()))
    }

    /// The file with the two corrections that `StableDiffusionPipeline` and its image-to-image and inpainting variants
    /// (not those of Stable Diffusion XL) make to outdated files.
    #[must_use]
    pub fn for_stable_diffusion(self) -> Self {
        Self { steps_offset: Some(1), clip_sample: Some(false), ..self }
    }

    /// The noise schedule that the file asks for.
    ///
    /// # Errors
    /// More than one of them.
    pub(crate) fn noise_schedule(&self) -> Result<NoiseSchedule, ConfigError> {
        let choices = [
            (self.use_karras_sigmas, NoiseSchedule::Karras),
            (self.use_exponential_sigmas, NoiseSchedule::Exponential),
            (self.use_beta_sigmas, NoiseSchedule::Beta),
        ];
        let mut chosen = choices.into_iter().filter(|(used, _)| used.unwrap_or(false)).map(|(_, schedule)| schedule);
        match (chosen.next(), chosen.next()) {
            (None, _) => Ok(NoiseSchedule::Default),
            (Some(schedule), None) => Ok(schedule),
            (Some(_), Some(_)) => Err(ConfigError::new(
                "use_karras_sigmas",
                "only one of use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas may be true",
            )),
        }
    }

    /// The file with this noise schedule instead of its own. The default one leaves the file as it is.
    #[must_use]
    pub(crate) fn with_noise_schedule(self, schedule: NoiseSchedule) -> Self {
        if schedule == NoiseSchedule::Default {
            return self;
        }
        Self {
            use_karras_sigmas: Some(schedule == NoiseSchedule::Karras),
            use_exponential_sigmas: Some(schedule == NoiseSchedule::Exponential),
            use_beta_sigmas: Some(schedule == NoiseSchedule::Beta),
            use_lu_lambdas: None,
            ..self
        }
    }
}

/// How the variances β of the training's noise steps grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    Linear,
    /// Linear in √β; Stable Diffusion.
    ScaledLinear,
    /// Nichol and Dhariwal 2021, equation 17.
    #[serde(rename = "squaredcos_cap_v2")]
    SquaredCosine,
    Laplace,
    Sigmoid,
    #[serde(rename = "exp")]
    Exponential,
}

impl BetaSchedule {
    /// The name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::ScaledLinear => "scaled_linear",
            Self::SquaredCosine => "squaredcos_cap_v2",
            Self::Laplace => "laplace",
            Self::Sigmoid => "sigmoid",
            Self::Exponential => "exp",
        }
    }
}

/// What the model predicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise ε.
    #[default]
    Epsilon,
    /// The clean sample x₀.
    Sample,
    /// α ε - σ x₀; Salimans and Ho 2022, appendix D.
    VPrediction,
}

/// Which of the training's timesteps are visited; Lin et al. 2023, table 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    Linspace,
    Leading,
    Trailing,
}

/// What the Euler sampler tells the model as its timestep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepType {
    #[default]
    Discrete,
    /// ¼ ln σ, for models with v-prediction.
    Continuous,
}

/// How the Euler sampler finds noise levels between the training's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterpolationType {
    #[default]
    Linear,
    LogLinear,
}

/// The noise level that the last step goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalSigma {
    #[default]
    Zero,
    SigmaMin,
}

/// Where the variance of the noise that DDPM adds comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VarianceType {
    #[default]
    FixedSmall,
    FixedSmallLog,
    FixedLarge,
    FixedLargeLog,
    Learned,
    LearnedRange,
}

/// Variants of the multistep solvers. Each class takes the names of the others for its own default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SolverType {
    Midpoint,
    Heun,
    Logrho,
    Bh1,
    Bh2,
}
