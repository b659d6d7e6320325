//! Single-file checkpoints of Stable Diffusion 1, 2 and XL, as the LDM code writes them: which parts they have is told by the names and
//! shapes of their tensors. They have no tokenizer (OpenAI's is built in) and no scheduler configuration (that of the published model of
//! the same family is taken).

mod names;
mod text;
mod unet;
mod vae;

use std::path::Path;

use crate::error::LoadError;
use crate::schedule::{PredictionType, SchedulerConfig, TimestepSpacing};
use crate::stable_diffusion::{AutoencoderConfig, ComponentWeights, Components, Kind, TextEncoderConfig};
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;
use text::TextEncoder;
use unet::Heads;

/// The keys that the published models of all families share.
pub(crate) const SCHEDULER: &str = r#"{"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "clip_sample": false, "set_alpha_to_one": false, "steps_offset": 1}"#;
/// Numbers that Stable Diffusion XL and its refiner are told beside the pooled text.
const XL_NUMBERS: usize = 6;
const REFINER_NUMBERS: usize = 5;

/// A checkpoint of a family that is known.
#[derive(Debug)]
pub(crate) struct SingleFile {
    path: String,
    weights: Weights,
    family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V1,
    V2,
    Xl,
    XlRefiner,
}

impl SingleFile {
    /// Reads a checkpoint's header and recognises its family.
    ///
    /// # Errors
    /// If it cannot be read, is pickled, or is no Stable Diffusion 1, 2 or XL.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        let weights = Weights::open(&[path.to_owned()])?;
        let path = path.display().to_string();
        let family = Family::of(&weights).map_err(|message| LoadError::Format { path: path.clone(), message })?;
        Ok(Self { path, weights, family })
    }

    /// The configurations of the parts. A file of Stable Diffusion 2 does not say what it predicts: unless `prediction` does, it is
    /// taken for the velocity, as diffusers does.
    ///
    /// # Errors
    /// If a part is missing or has shapes that it cannot have; the message has the tensor.
    pub(crate) fn components(&self, prediction: Option<PredictionType>) -> Result<Components, LoadError> {
        let (path, weights, family) = (self.path.as_str(), &self.weights, self.family);
        let text_encoder = |encoder: &TextEncoder| {
            let tokenizer = Tokenizer::built_in(encoder.pad())?;
            Ok::<_, LoadError>(TextEncoderConfig { tokenizer, clip: encoder.config(path, weights)? })
        };
        let text_encoders = family.text_encoders().iter().map(text_encoder).collect::<Result<Vec<_>, _>>()?;
        let pooled = text_encoders.last().map_or(0, |encoder| encoder.clip.projection_dim);
        let prediction = prediction.unwrap_or_else(|| self.prediction());
        let (heads, size, scaling_factor) = match (family, prediction) {
            (Family::V1, _) => (Heads::Eight, 512, 0.18215),
            (Family::V2, PredictionType::VPrediction) => (Heads::OfSixtyFour, 768, 0.18215),
            // Of the published models, those for 512 pixels predict the noise.
            (Family::V2, PredictionType::Epsilon | PredictionType::Sample) => (Heads::OfSixtyFour, 512, 0.18215),
            (Family::Xl | Family::XlRefiner, _) => (Heads::OfSixtyFour, 1024, 0.13025),
        };
        let numbers = family.numbers().map(|numbers| (pooled, numbers));
        let vae = vae::config(path, weights, size, scaling_factor)?;
        Ok(Components {
            kind: family.kind(),
            unet: unet::config(path, weights, heads, size / vae.scale(), numbers)?,
            vae: AutoencoderConfig::Kl(vae),
            text_encoders,
            scheduler: SchedulerConfig { prediction_type: Some(prediction), ..self.scheduler()? },
            tiny: None,
        })
    }

    /// The parts' tensors by diffusers' names.
    pub(crate) fn component_weights(&self, components: &Components) -> Result<ComponentWeights, LoadError> {
        let AutoencoderConfig::Kl(vae) = &components.vae else {
            return Err(LoadError::Format { path: self.path.clone(), message: "has another autoencoder".into() });
        };
        let encoders = self.family.text_encoders().iter().zip(&components.text_encoders);
        Ok(ComponentWeights {
            unet: unet::view(&self.path, &self.weights)?,
            vae: vae::view(&self.path, &self.weights, vae)?,
            text_encoders: encoders
                .map(|(encoder, config)| encoder.view(&self.weights, &config.clip))
                .collect::<Result<_, _>>()?,
            tiny: None,
        })
    }

    fn prediction(&self) -> PredictionType {
        // Fine-tuned models of the other families that predict the velocity have a tensor to say so.
        if self.family == Family::V2 || self.weights.contains("v_pred") {
            PredictionType::VPrediction
        } else {
            PredictionType::Epsilon
        }
    }

    /// That of the published model.
    fn scheduler(&self) -> Result<SchedulerConfig, LoadError> {
        let inpaints =
            self.weights.shape("model.diffusion_model.input_blocks.0.0.weight").is_some_and(|shape| shape[1] == 9);
        let class = match self.family {
            Family::V1 if !inpaints => "PNDMScheduler",
            Family::V1 | Family::V2 => "DDIMScheduler",
            Family::Xl | Family::XlRefiner => "EulerDiscreteScheduler",
        };
        let scheduler = SchedulerConfig::from_json(SCHEDULER)
            .map_err(|error| LoadError::Config { path: self.path.clone(), message: error.to_string() })?;
        let leading = matches!(self.family, Family::Xl | Family::XlRefiner).then_some(TimestepSpacing::Leading);
        Ok(SchedulerConfig {
            class_name: Some(class.to_owned()),
            timestep_spacing: leading,
            // Another tensor of fine-tuned models.
            rescale_betas_zero_snr: self.weights.contains("ztsnr").then_some(true),
            ..scheduler
        })
    }
}

impl Family {
    fn of(weights: &Weights) -> Result<Self, String> {
        let has = |name: &str| weights.contains(name);
        if !has("model.diffusion_model.input_blocks.0.0.weight") {
            return Err("is no checkpoint of Stable Diffusion 1, 2 or XL: it has no model.diffusion_model".into());
        }
        if has("edm_mean") {
            return Err("is a checkpoint of Playground 2.5, which is not supported".into());
        }
        let open_clip = |prefix: &str| has(&format!("{prefix}.token_embedding.weight"));
        if open_clip("conditioner.embedders.1.model") {
            Ok(Self::Xl)
        } else if open_clip("conditioner.embedders.0.model") {
            Ok(Self::XlRefiner)
        } else if open_clip("cond_stage_model.model") {
            Ok(Self::V2)
        } else if weights.names().any(|name| name.starts_with("cond_stage_model.transformer.")) {
            Ok(Self::V1)
        } else {
            Err("has no text encoder: take a checkpoint that includes it".into())
        }
    }

    fn text_encoders(self) -> &'static [TextEncoder] {
        match self {
            Self::V1 => &[TextEncoder::OpenAi { prefix: "cond_stage_model.transformer" }],
            Self::V2 => &[TextEncoder::OpenClip { prefix: "cond_stage_model.model", without_last_layer: true }],
            Self::Xl => &[
                TextEncoder::OpenAi { prefix: "conditioner.embedders.0.transformer" },
                TextEncoder::OpenClip { prefix: "conditioner.embedders.1.model", without_last_layer: false },
            ],
            Self::XlRefiner => {
                &[TextEncoder::OpenClip { prefix: "conditioner.embedders.0.model", without_last_layer: false }]
            }
        }
    }

    fn numbers(self) -> Option<usize> {
        match self {
            Self::V1 | Self::V2 => None,
            Self::Xl => Some(XL_NUMBERS),
            Self::XlRefiner => Some(REFINER_NUMBERS),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::V1 | Self::V2 => Kind::StableDiffusion,
            Self::Xl => {
                Kind::StableDiffusionXl { force_zeros_for_empty_prompt: true, requires_aesthetics_score: false }
            }
            Self::XlRefiner => {
                Kind::StableDiffusionXl { force_zeros_for_empty_prompt: false, requires_aesthetics_score: true }
            }
        }
    }
}
