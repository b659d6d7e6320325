//! Where a model's configurations and weights come from.

use std::path::PathBuf;

use super::components::{ComponentWeights, Components};
use crate::error::LoadError;
use crate::folder::Folder;
use crate::library::Index;
use crate::library::description::Description;
use crate::shape::Shape;
use crate::single_file::SingleFile;

/// The two layouts that models come in, and models that are made up.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// diffusers'.
    Folder(Folder),
    /// A checkpoint of the LDM code.
    SingleFile(PathBuf),
    /// A published configuration with random weights.
    Shape(Shape),
}

impl Source {
    /// Reads the configurations, and finds the weights; their data are not read yet.
    pub(super) fn read(
        &self,
        index: Option<&Index>,
        description: &Description,
    ) -> Result<(Components, ComponentWeights), LoadError> {
        let (mut components, weights) = match (self, index) {
            (Self::Folder(folder), Some(index)) => {
                let components = Components::read(folder, index)?;
                let weights = components.weights(folder)?;
                (components, weights)
            }
            (Self::Folder(folder), None) => {
                let message = "has no model_index.json".into();
                return Err(LoadError::Format { path: folder.path_of(""), message });
            }
            (Self::SingleFile(path), _) => {
                let file = SingleFile::open(path)?;
                let components = file.components(description.prediction_type)?;
                let weights = file.component_weights(&components)?;
                (components, weights)
            }
            (Self::Shape(shape), _) => (shape.components()?, shape.weights()),
        };
        if description.prediction_type.is_some() {
            components.scheduler.prediction_type = description.prediction_type;
        }
        Ok((components, weights))
    }

    /// Finds the weights of configurations that were read before.
    pub(super) fn weights(&self, components: &Components) -> Result<ComponentWeights, LoadError> {
        match self {
            Self::Folder(folder) => components.weights(folder),
            Self::SingleFile(path) => SingleFile::open(path)?.component_weights(components),
            Self::Shape(shape) => Ok(shape.weights()),
        }
    }

    /// The model as a folder, for messages.
    pub(super) fn folder(&self) -> Folder {
        match self {
            Self::Folder(folder) => folder.clone(),
            Self::SingleFile(path) => Folder::OnDisk(path.clone()),
            Self::Shape(_) => Folder::embedded(&[]),
        }
    }
}
