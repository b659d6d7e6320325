//! What a model's configuration files say: everything but its weights.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::INDEX;
use super::description::Description;
use crate::error::LoadError;
use crate::folder::Folder;
use crate::info::ModelInfo;
use crate::model::PreviewDecoder;
use crate::pixel::PixelBlueprint;
use crate::placement::Placement;
use crate::request::{Cost, Request, RequestError};
use crate::shape::Shape;
use crate::stable_diffusion::{Source, StableDiffusionBlueprint};
use crate::stage::{Network, Stage};

/// A model without its weights, of one of the kinds that can be served. A clone is another handle to it.
#[derive(Clone, Debug)]
pub(crate) enum Blueprint {
    Pixel(Arc<PixelBlueprint>),
    StableDiffusion(Arc<StableDiffusionBlueprint>),
}

/// `model_index.json`: the components, each with its library and class; a null class is an absent component.
#[derive(Debug, Deserialize)]
pub(crate) struct Index {
    #[serde(rename = "_class_name")]
    pub(crate) class_name: String,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Index {
    /// Names and classes of the components that the folder has.
    pub(crate) fn components(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rest.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_array()?.get(1)?.as_str()?)))
    }

    /// The class of a component, if the folder has it.
    pub(crate) fn class_of(&self, component: &str) -> Option<&str> {
        self.components().find(|(name, _)| *name == component).map(|(_, class)| class)
    }

    /// Whether an option of the pipeline is set; none if the file does not say.
    pub(crate) fn option(&self, key: &str) -> Option<bool> {
        self.rest.get(key)?.as_bool()
    }
}

impl Blueprint {
    /// Reads a model folder's configurations.
    ///
    /// # Errors
    /// If a file is missing or malformed, or asks for something that is not supported; the message names the file and the key.
    pub(crate) fn read(
        name: &str,
        folder: &Folder,
        embedded: bool,
        memory_limit: Option<u64>,
    ) -> Result<Self, LoadError> {
        let index: Index = folder.json(INDEX)?;
        let refuse = |message| Err(LoadError::Config { path: folder.path_of(INDEX), message });
        match index.components().find(|(name, _)| *name == "unet") {
            Some((_, "UNet2DModel")) => {
                if let Some((other, class)) = index.components().find(|(name, _)| !["unet", "scheduler"].contains(name))
                {
                    return refuse(format!(
                        "a {} with the component {other} ({class}) is not supported",
                        index.class_name
                    ));
                }
                let blueprint = PixelBlueprint::read(name, folder, Description::read(folder)?, embedded)?;
                Ok(Self::Pixel(Arc::new(blueprint)))
            }
            Some((_, "UNet2DConditionModel")) => {
                let description = Description::read(folder)?;
                let source = Source::Folder(folder.clone());
                let blueprint = StableDiffusionBlueprint::read(name, source, Some(&index), description, memory_limit)?;
                Ok(Self::StableDiffusion(Arc::new(blueprint)))
            }
            Some((_, class)) => refuse(format!("a {} whose unet is a {class} is not supported", index.class_name)),
            None => refuse(format!("a {} without a unet is not supported", index.class_name)),
        }
    }

    /// Reads the header of a single-file checkpoint `name.safetensors`, and a `name.x0.json` beside it.
    ///
    /// # Errors
    /// If it is no checkpoint that can be served; the message names the tensor.
    pub(crate) fn read_checkpoint(name: &str, path: &Path, memory_limit: Option<u64>) -> Result<Self, LoadError> {
        let beside = Folder::OnDisk(path.parent().unwrap_or(Path::new("")).to_owned());
        let description = Description::read_file(&beside, &format!("{name}.x0.json"))?;
        let source = Source::SingleFile(path.to_owned());
        let blueprint = StableDiffusionBlueprint::read(name, source, None, description, memory_limit)?;
        Ok(Self::StableDiffusion(Arc::new(blueprint)))
    }

    /// A published configuration with random weights.
    ///
    /// # Errors
    /// Only if what is part of the program is wrong.
    pub(crate) fn of_shape(shape: Shape, memory_limit: Option<u64>) -> Result<Self, LoadError> {
        let (source, description) = (Source::Shape(shape), Description::default());
        let blueprint = StableDiffusionBlueprint::read(shape.name(), source, None, description, memory_limit)?;
        Ok(Self::StableDiffusion(Arc::new(blueprint)))
    }

    pub(crate) fn info(&self) -> &ModelInfo {
        match self {
            Self::Pixel(blueprint) => blueprint.info(),
            Self::StableDiffusion(blueprint) => blueprint.info(),
        }
    }

    /// See [`super::Library::plan`].
    pub(crate) fn plan(&self, request: &Request) -> Result<Cost, RequestError> {
        match self {
            Self::Pixel(blueprint) => blueprint.plan(request),
            Self::StableDiffusion(blueprint) => blueprint.plan(request),
        }
    }

    /// See [`super::Library::preview_decoders`].
    pub(crate) fn preview_decoders(&self) -> &'static [PreviewDecoder] {
        match self {
            Self::Pixel(_) => &[PreviewDecoder::Full],
            Self::StableDiffusion(blueprint) => blueprint.preview_decoders(),
        }
    }

    /// See [`super::Library::auto_preview`].
    pub(crate) fn auto_preview(&self, request: &Request) -> PreviewDecoder {
        match self {
            Self::Pixel(_) => PreviewDecoder::Full,
            Self::StableDiffusion(blueprint) => blueprint.auto_preview(request),
        }
    }

    /// See [`super::Library::warnings`].
    pub(crate) fn warnings(&self, request: &Request) -> Vec<String> {
        match self {
            Self::Pixel(_) => Vec::new(),
            Self::StableDiffusion(blueprint) => blueprint.warnings(request),
        }
    }

    /// See [`super::Library::stages`].
    pub(crate) fn stages(&self) -> Vec<Stage> {
        match self {
            Self::Pixel(_) => vec![Stage::Unet],
            Self::StableDiffusion(blueprint) => blueprint.stages(),
        }
    }

    /// See [`super::Library::network`].
    pub(crate) fn network(&self, stage: Stage, placement: &Placement) -> Result<Option<Network>, LoadError> {
        match self {
            Self::Pixel(blueprint) => (stage == Stage::Unet).then(|| blueprint.network(placement)).transpose(),
            Self::StableDiffusion(blueprint) => blueprint.network(stage, placement),
        }
    }
}
