//! The parts of a Stable Diffusion model by their configurations, and where their weights are.

use std::sync::Arc;

use crate::autoencoder_kl::{AutoencoderKL, AutoencoderKLConfig};
use crate::autoencoder_tiny::{AutoencoderTiny, AutoencoderTinyConfig};
use crate::clip::{ClipTextConfig, ClipTextModel};
use crate::error::LoadError;
use crate::folder::Folder;
use crate::generator::Generator;
use crate::library::Index;
use crate::library::defaults::read_scheduler;
use crate::placement::Placement;
use crate::schedule::SchedulerConfig;
use crate::stage::{Network, NetworkKind, Stage, Usual};
use crate::tokenizer::Tokenizer;
use crate::unet_2d_condition::{UNet2DConditionConfig, UNet2DConditionModel};
use crate::weights::Weights;

/// Where a model folder may have a small autoencoder for previews: a folder with an `AutoencoderTiny`, as
/// `madebyollin/taesd` and `madebyollin/taesdxl` are published.
const TINY_FOLDER: &str = "taesd";
const WEIGHTS: &str = "diffusion_pytorch_model";
/// Parts that a pipeline may have and that are not used here.
const UNUSED: [&str; 3] = ["safety_checker", "feature_extractor", "image_encoder"];

/// Everything about a model but its weights.
#[derive(Clone, Debug)]
pub(crate) struct Components {
    pub(crate) kind: Kind,
    pub(crate) unet: UNet2DConditionConfig,
    pub(crate) vae: AutoencoderConfig,
    /// One, or Stable Diffusion XL's two, of which the first may be absent.
    pub(crate) text_encoders: Vec<TextEncoderConfig>,
    pub(crate) scheduler: SchedulerConfig,
    /// For previews.
    pub(crate) tiny: Option<AutoencoderTinyConfig>,
}

/// Which pipelines serve a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Versions 1 and 2.
    StableDiffusion,
    StableDiffusionXl {
        /// Whether no negative prompt means zeros, not the embedding of the empty text.
        force_zeros_for_empty_prompt: bool,
        /// Whether the model is told an aesthetic score, as the refiner is, and not the target size.
        requires_aesthetics_score: bool,
    },
}

/// A model's own autoencoder.
#[derive(Clone, Debug)]
pub(crate) enum AutoencoderConfig {
    Kl(AutoencoderKLConfig),
    Tiny(AutoencoderTinyConfig),
}

/// A text encoder and the tokenizer that goes with it.
#[derive(Clone, Debug)]
pub(crate) struct TextEncoderConfig {
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) clip: ClipTextConfig,
}

/// The weights of each component.
#[derive(Clone, Debug)]
pub(crate) struct ComponentWeights {
    pub(crate) unet: Weights,
    pub(crate) vae: Weights,
    pub(crate) text_encoders: Vec<Weights>,
    pub(crate) tiny: Option<Weights>,
}

/// The networks with their weights.
#[derive(Debug)]
pub(crate) struct Networks {
    pub(crate) unet: UNet2DConditionModel,
    pub(crate) vae: Autoencoder,
    pub(crate) text_encoders: Vec<ClipTextModel>,
    pub(crate) tiny: Option<AutoencoderTiny>,
}

#[derive(Debug)]
pub(crate) enum Autoencoder {
    Kl(Box<AutoencoderKL>),
    Tiny(Box<AutoencoderTiny>),
}

impl Components {
    /// Reads the configurations of a diffusers folder.
    ///
    /// # Errors
    /// If a file is missing or malformed, or asks for something that is not supported; the message names the file and the key.
    pub(super) fn read(folder: &Folder, index: &Index) -> Result<Self, LoadError> {
        let refuse = |message| LoadError::Config { path: folder.path_of("model_index.json"), message };
        let kind = kind(index).map_err(refuse)?;
        let suffixes: &[&str] = match kind {
            Kind::StableDiffusion => &[""],
            Kind::StableDiffusionXl { .. } if index.class_of("text_encoder").is_some() => &["", "_2"],
            Kind::StableDiffusionXl { .. } => &["_2"],
        };
        let known = ["unet", "vae", "scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"];
        if let Some((name, class)) =
            index.components().find(|(name, _)| !known.contains(name) && !UNUSED.contains(name))
        {
            return Err(refuse(format!("a {} with the component {name} ({class}) is not supported", index.class_name)));
        }
        for suffix in suffixes {
            let classes = [
                (format!("text_encoder{suffix}"), ["CLIPTextModel", "CLIPTextModelWithProjection"]),
                (format!("tokenizer{suffix}"), ["CLIPTokenizer", "CLIPTokenizerFast"]),
            ];
            for (name, known) in classes {
                let class = index.class_of(&name).unwrap_or("null");
                if !known.contains(&class) {
                    return Err(refuse(format!("the {name} {class} is not supported")));
                }
            }
        }
        let vae = match index.class_of("vae") {
            Some("AutoencoderKL") => AutoencoderConfig::Kl(AutoencoderKLConfig::read(&folder.at("vae"))?),
            Some("AutoencoderTiny") => AutoencoderConfig::Tiny(AutoencoderTinyConfig::read(&folder.at("vae"))?),
            other => return Err(refuse(format!("the vae {} is not supported", other.unwrap_or("null")))),
        };
        let text_encoder = |suffix: &&str| {
            let clip = ClipTextConfig::read(&folder.at(&format!("text_encoder{suffix}")))?;
            let tokenizer = folder.at(&format!("tokenizer{suffix}"));
            let tokenizer = Arc::new(Tokenizer::from_folder(&tokenizer, clip.max_position_embeddings)?);
            Ok::<_, LoadError>(TextEncoderConfig { tokenizer, clip })
        };
        let scheduler = read_scheduler(&folder.at("scheduler"))?;
        let tiny = folder.at(TINY_FOLDER);
        Ok(Self {
            kind,
            unet: UNet2DConditionConfig::read(&folder.at("unet"))?,
            vae,
            text_encoders: suffixes.iter().map(text_encoder).collect::<Result<_, _>>()?,
            scheduler: match kind {
                Kind::StableDiffusion => scheduler.for_stable_diffusion(),
                Kind::StableDiffusionXl { .. } => scheduler,
            },
            tiny: if tiny.contains("config.json") { Some(AutoencoderTinyConfig::read(&tiny)?) } else { None },
        })
    }

    /// Finds the weights of a diffusers folder; their data are not read yet.
    pub(super) fn weights(&self, folder: &Folder) -> Result<ComponentWeights, LoadError> {
        let text_encoders: &[&str] = match (self.kind, self.text_encoders.len()) {
            (Kind::StableDiffusion, _) => &["text_encoder"],
            (Kind::StableDiffusionXl { .. }, 1) => &["text_encoder_2"],
            (Kind::StableDiffusionXl { .. }, _) => &["text_encoder", "text_encoder_2"],
        };
        Ok(ComponentWeights {
            unet: folder.at("unet").weights(WEIGHTS)?,
            vae: folder.at("vae").weights(WEIGHTS)?,
            text_encoders: text_encoders
                .iter()
                .map(|name| folder.at(name).weights("model"))
                .collect::<Result<_, _>>()?,
            tiny: self.tiny.as_ref().map(|_| folder.at(TINY_FOLDER).weights(WEIGHTS)).transpose()?,
        })
    }

    /// Reads the networks.
    pub(super) fn load(&self, weights: &ComponentWeights) -> Result<Networks, LoadError> {
        let text_encoder =
            |(encoder, weights): (&TextEncoderConfig, &Weights)| ClipTextModel::new(weights, &encoder.clip);
        let tiny = |(config, weights): (&AutoencoderTinyConfig, &Weights)| AutoencoderTiny::new(weights, config);
        Ok(Networks {
            unet: UNet2DConditionModel::new(&weights.unet, &self.unet)?,
            vae: match &self.vae {
                AutoencoderConfig::Kl(config) => Autoencoder::Kl(Box::new(AutoencoderKL::new(&weights.vae, config)?)),
                AutoencoderConfig::Tiny(config) => {
                    Autoencoder::Tiny(Box::new(AutoencoderTiny::new(&weights.vae, config)?))
                }
            },
            text_encoders: self
                .text_encoders
                .iter()
                .zip(&weights.text_encoders)
                .map(text_encoder)
                .collect::<Result<_, _>>()?,
            tiny: self.tiny.as_ref().zip(weights.tiny.as_ref()).map(tiny).transpose()?,
        })
    }
}

impl Components {
    /// Which networks there are to call.
    pub(super) fn stages(&self) -> Vec<Stage> {
        let text_encoders: &[Stage] = match (self.kind, self.text_encoders.len()) {
            (Kind::StableDiffusion, _) => &[Stage::TextEncoder],
            (Kind::StableDiffusionXl { .. }, 1) => &[Stage::TextEncoder2],
            (Kind::StableDiffusionXl { .. }, _) => &[Stage::TextEncoder, Stage::TextEncoder2],
        };
        text_encoders.iter().copied().chain([Stage::Unet, Stage::VaeDecode]).collect()
    }

    /// Reads one network alone, if the model has it. `size` is the model's own in pixels.
    pub(super) fn network(
        &self,
        weights: &ComponentWeights,
        stage: Stage,
        size: (usize, usize),
    ) -> Result<Option<Network>, LoadError> {
        let Some(place) = self.stages().iter().position(|own| *own == stage) else { return Ok(None) };
        let kind = match (stage, &self.vae) {
            (Stage::TextEncoder | Stage::TextEncoder2, _) => {
                let clip = &self.text_encoders[place].clip;
                NetworkKind::Text(Box::new(ClipTextModel::new(&weights.text_encoders[place], clip)?))
            }
            (Stage::Unet, _) => {
                NetworkKind::UNet2DCondition(Box::new(UNet2DConditionModel::new(&weights.unet, &self.unet)?))
            }
            (Stage::VaeDecode, AutoencoderConfig::Kl(config)) => {
                NetworkKind::Kl(Box::new(AutoencoderKL::new(&weights.vae, config)?))
            }
            (Stage::VaeDecode, AutoencoderConfig::Tiny(config)) => {
                NetworkKind::Tiny(Box::new(AutoencoderTiny::new(&weights.vae, config)?))
            }
        };
        let (scale, tokens) = (self.vae.scale(), self.text_encoders[0].tokenizer.length());
        Ok(Some(Network::new(stage, kind, Usual { size, scale, tokens })))
    }
}

impl Autoencoder {
    /// Pixels of a picture for each latent pixel, in either direction.
    pub(super) fn scale(&self) -> usize {
        match self {
            Self::Kl(vae) => vae.config().scale(),
            Self::Tiny(vae) => vae.config().scale(),
        }
    }

    /// Draws the noise that encoding a picture would draw.
    pub(super) fn skip_noise(&self, generator: &mut Generator, length: usize) {
        match self {
            Self::Kl(_) => drop(generator.draw(length)),
            Self::Tiny(_) => {}
        }
    }
}

impl ComponentWeights {
    /// The same, to be read to `placement`; the autoencoders beside it, so that no picture waits for the next step of others.
    pub(super) fn placed(self, placement: &Placement) -> Result<Self, LoadError> {
        let beside = placement.beside()?;
        Ok(Self {
            unet: self.unet.placed(placement),
            vae: self.vae.placed(&beside),
            text_encoders: self.text_encoders.into_iter().map(|weights| weights.placed(placement)).collect(),
            tiny: self.tiny.map(|weights| weights.placed(&beside)),
        })
    }

    /// Bytes of all tensors together, once they are read.
    pub(super) fn loaded_bytes(&self) -> u64 {
        let all = [&self.unet, &self.vae].into_iter().chain(&self.text_encoders).chain(&self.tiny);
        all.map(Weights::loaded_bytes).sum()
    }
}

impl AutoencoderConfig {
    /// Pixels of a picture for each latent pixel, in either direction.
    pub(crate) fn scale(&self) -> usize {
        match self {
            Self::Kl(config) => config.scale(),
            Self::Tiny(config) => config.scale(),
        }
    }

    pub(crate) fn latent_channels(&self) -> usize {
        match self {
            Self::Kl(config) => config.latent_channels,
            Self::Tiny(config) => config.latent_channels,
        }
    }

    /// Of pictures: in, out.
    pub(crate) fn picture_channels(&self) -> (usize, usize) {
        match self {
            Self::Kl(config) => (config.in_channels, config.out_channels),
            Self::Tiny(config) => (config.in_channels, config.out_channels),
        }
    }
}

fn kind(index: &Index) -> Result<Kind, String> {
    match index.class_name.as_str() {
        "StableDiffusionPipeline"
        | "StableDiffusionImg2ImgPipeline"
        | "StableDiffusionInpaintPipeline"
        | "LatentConsistencyModelPipeline" => Ok(Kind::StableDiffusion),
        "StableDiffusionXLPipeline" | "StableDiffusionXLImg2ImgPipeline" | "StableDiffusionXLInpaintPipeline" => {
            Ok(Kind::StableDiffusionXl {
                force_zeros_for_empty_prompt: index.option("force_zeros_for_empty_prompt").unwrap_or(true),
                requires_aesthetics_score: index.option("requires_aesthetics_score").unwrap_or(false),
            })
        }
        other => Err(format!("a {other} is not supported")),
    }
}
