//! Named tensors in a file.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use crate::error::LoadError;

/// Inputs or outputs of networks, by names as `unet.sample`; maps in torch's order, `(rows, channels, height, width)`.
#[derive(Clone, Debug, Default)]
pub struct Tensors(pub(super) HashMap<String, Tensor>);

impl Tensors {
    /// Reads a safetensors file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let error = |message: String| LoadError::Format { path: path.display().to_string(), message };
        candle_core::safetensors::load(path, &Device::Cpu).map(Self).map_err(|source| error(source.to_string()))
    }

    /// Writes a safetensors file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), LoadError> {
        Ok(candle_core::safetensors::save(&self.0, path)?)
    }

    /// Takes in the other's tensors, too.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether there is something for a stage.
    pub fn has(&self, stage: super::Stage) -> bool {
        self.0.keys().any(|name| name.split_once('.').is_some_and(|(first, _)| first == stage.name()))
    }
}
