//! Published models without their weights, to measure what a machine can do with models of their size.

use crate::autoencoder_kl::AutoencoderKLConfig;
use crate::clip::ClipTextConfig;
use crate::error::LoadError;
use crate::schedule::SchedulerConfig;
use crate::single_file::SCHEDULER;
use crate::stable_diffusion::{AutoencoderConfig, ComponentWeights, Components, Kind, TextEncoderConfig};
use crate::tokenizer::{Pad, Tokenizer};
use crate::unet_2d_condition::UNet2DConditionConfig;
use crate::weights::Weights;

/// A published model's configuration. Its weights are random numbers: pictures mean nothing, speed and memory are the model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Stable Diffusion 1.5.
    Sd15,
    /// Stable Diffusion XL base 1.0.
    Sdxl,
}

const SD15_UNET: &str = r#"{"sample_size": 64, "cross_attention_dim": 768}"#;
pub(crate) const SDXL_UNET: &str = r#"{"sample_size": 128, "cross_attention_dim": 2048, "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10], "attention_head_dim": [5, 10, 20], "use_linear_projection": true,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816}"#;
pub(crate) const SD_VAE: &str = r#"{"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "sample_size": 512,
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]}"#;
pub(crate) const CLIP_L: &str = r#"{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "hidden_act": "quick_gelu", "projection_dim": 768}"#;
pub(crate) const OPEN_CLIP_BIG_G: &str = r#"{"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
    "num_attention_heads": 20, "hidden_act": "gelu", "projection_dim": 1280}"#;

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 2] = [Self::Sd15, Self::Sdxl];

    /// As it is asked for on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sd15 => "sd15",
            Self::Sdxl => "sdxl",
        }
    }

    pub(crate) fn components(self) -> Result<Components, LoadError> {
        let name = self.name();
        let text_encoder = |json, pad| {
            let tokenizer = Tokenizer::built_in(pad)?;
            Ok::<_, LoadError>(TextEncoderConfig { tokenizer, clip: ClipTextConfig::parse(name, json)? })
        };
        let (kind, unet) = match self {
            Self::Sd15 => (Kind::StableDiffusion, SD15_UNET),
            Self::Sdxl => (
                Kind::StableDiffusionXl { force_zeros_for_empty_prompt: true, requires_aesthetics_score: false },
                SDXL_UNET,
            ),
        };
        let mut text_encoders = vec![text_encoder(CLIP_L, Pad::End)?];
        if self == Self::Sdxl {
            text_encoders.push(text_encoder(OPEN_CLIP_BIG_G, Pad::ExclamationMark)?);
        }
        let scheduler = SchedulerConfig::from_json(SCHEDULER)
            .map_err(|error| LoadError::Config { path: name.to_owned(), message: error.to_string() })?;
        let class = match self {
            Self::Sd15 => "PNDMScheduler",
            Self::Sdxl => "EulerDiscreteScheduler",
        };
        Ok(Components {
            kind,
            unet: UNet2DConditionConfig::parse(name, unet)?,
            vae: AutoencoderConfig::Kl(AutoencoderKLConfig::parse(name, SD_VAE)?),
            text_encoders,
            scheduler: SchedulerConfig { class_name: Some(class.to_owned()), ..scheduler },
            tiny: None,
        })
    }

    pub(crate) fn weights(self) -> ComponentWeights {
        let random = Weights::random;
        let text_encoders = match self {
            Self::Sd15 => vec![random()],
            Self::Sdxl => vec![random(), random()],
        };
        ComponentWeights { unet: random(), vae: random(), text_encoders, tiny: None }
    }
}
