//! `x0.json`: what diffusers' files have no place for.

use serde::Deserialize;

use crate::error::LoadError;
use crate::folder::Folder;
use crate::schedule::PredictionType;

const FILE: &str = "x0.json";
const MAX_CLASSES: usize = 100_000;

/// A model's own file for x0, beside `model_index.json`. Every key may be absent, and so may the file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Description {
    /// A sentence for people.
    pub(crate) description: Option<String>,
    /// SPDX identifier of the weights' licence.
    pub(crate) license: Option<String>,
    /// Whose work the weights rest on.
    pub(crate) attribution: Option<String>,
    /// Names of the classes in label order.
    pub(crate) classes: Option<Vec<String>>,
    /// The label that stands for no class, which guidance needs. It comes after those of the classes.
    pub(crate) null_class: Option<u32>,
    /// Pixels to cut off each side of the pictures, for models that were trained with a border.
    pub(crate) crop: u32,
    /// What the network predicts, where the model's other files do not say it or are wrong.
    pub(crate) prediction_type: Option<PredictionType>,
    /// Prompts or class names to show a newcomer.
    pub(crate) examples: Vec<String>,
    pub(crate) defaults: DescribedDefaults,
}

/// What a request gets that does not say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DescribedDefaults {
    pub(crate) steps: Option<u32>,
    pub(crate) guidance_scale: Option<f64>,
    /// By name, as in a request.
    pub(crate) sampler: Option<String>,
}

impl Description {
    /// Reads the model folder's `x0.json`; a folder without one has the empty description.
    ///
    /// # Errors
    /// If a key is unknown or a value unusable; the message has the key.
    pub(crate) fn read(folder: &Folder) -> Result<Self, LoadError> {
        Self::read_file(folder, FILE)
    }

    /// Reads another file of the same kind: a checkpoint `name.safetensors` may have a `name.x0.json` beside it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_file(folder: &Folder, file: &str) -> Result<Self, LoadError> {
        let description: Self = folder.json_if_exists(file)?.unwrap_or_default();
        description.check().map_err(|message| LoadError::Config { path: folder.path_of(file), message })?;
        Ok(description)
    }

    /// An error in the file.
    pub(crate) fn error(folder: &Folder, message: String) -> LoadError {
        LoadError::Config { path: folder.path_of(FILE), message }
    }

    fn check(&self) -> Result<(), String> {
        if let Some(classes) = &self.classes {
            if !(1..=MAX_CLASSES).contains(&classes.len()) {
                return Err(format!("`classes` has {} names, not 1 to {MAX_CLASSES}", classes.len()));
            }
            let mut sorted: Vec<_> = classes.iter().map(|name| name.to_lowercase()).collect();
            sorted.sort_unstable();
            if let Some(pair) = sorted.array_windows().find(|[a, b]| a == b || a.is_empty()) {
                return Err(format!("`classes` has {:?} twice, or an empty name", pair[0]));
            }
        }
        if self.defaults.steps == Some(0) {
            return Err("`defaults.steps` must be at least 1".into());
        }
        if self.defaults.guidance_scale.is_some_and(|scale| !scale.is_finite()) {
            return Err("`defaults.guidance_scale` must be finite".into());
        }
        Ok(())
    }
}
