//! `vae/config.json` of an `AutoencoderKL`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use x0_kernels::Activation;

use crate::error::LoadError;
use crate::folder::Folder;
use crate::unet_2d::{SampleSize, activation};

const FILE: &str = "config.json";
const MAX_BLOCKS: usize = 16;
const MAX_LAYERS: usize = 64;
const MAX_SIZE: usize = 1 << 14;

/// An autoencoder's shape, checked: only [`Self::read`] and [`Self::parse`] make one. Fields are named as in diffusers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct AutoencoderKLConfig {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    down_block_types: Vec<String>,
    up_block_types: Vec<String>,
    pub(crate) block_out_channels: Vec<usize>,
    pub(crate) layers_per_block: usize,
    #[serde(deserialize_with = "activation")]
    pub(super) act_fn: Activation,
    pub(crate) latent_channels: usize,
    pub(super) norm_num_groups: usize,
    /// In pixels; tiles of large pictures have this size.
    pub(super) sample_size: SampleSize,
    pub(crate) scaling_factor: f64,
    pub(crate) shift_factor: Option<f64>,
    pub(crate) latents_mean: Option<Vec<f64>>,
    pub(crate) latents_std: Option<Vec<f64>>,
    pub(super) use_quant_conv: bool,
    pub(super) use_post_quant_conv: bool,
    pub(crate) mid_block_add_attention: bool,
    /// Means nothing where all is float32.
    force_upcast: bool,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Default for AutoencoderKLConfig {
    /// diffusers' defaults.
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            down_block_types: vec!["DownEncoderBlock2D".into()],
            up_block_types: vec!["UpDecoderBlock2D".into()],
            block_out_channels: vec![64],
            layers_per_block: 1,
            act_fn: Activation::Silu,
            latent_channels: 4,
            norm_num_groups: 32,
            sample_size: SampleSize { height: 32, width: 32 },
            scaling_factor: 0.18215,
            shift_factor: None,
            latents_mean: None,
            latents_std: None,
            use_quant_conv: true,
            use_post_quant_conv: true,
            mid_block_add_attention: true,
            force_upcast: true,
            rest: BTreeMap::new(),
        }
    }
}

impl AutoencoderKLConfig {
    /// Reads `config.json` of a `vae` folder.
    ///
    /// # Errors
    /// If a value is not one that diffusers knows, is not supported here, or does not fit the others, or there is a key that is
    /// not known here; the message has the key.
    pub fn read(folder: &Folder) -> Result<Self, LoadError> {
        let config: Self = folder.json(FILE)?;
        config.check().map_err(|message| LoadError::Config { path: folder.path_of(FILE), message })?;
        Ok(config)
    }

    /// Reads a configuration that `name` stands for in messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(name: &str, json: &str) -> Result<Self, LoadError> {
        let error = |message| LoadError::Config { path: name.to_owned(), message };
        let config: Self = serde_json::from_str(json).map_err(|e| error(e.to_string()))?;
        config.check().map_err(error)?;
        Ok(config)
    }

    /// Pixels of a picture for each latent pixel, in either direction.
    pub fn scale(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// Height and width of tiles of latents.
    pub(crate) fn tile_size(&self) -> usize {
        (self.sample_size.height / self.scale()).max(1)
    }

    fn check(&self) -> Result<(), String> {
        if let Some((key, value)) = self.rest.iter().find(|(key, value)| !key.starts_with('_') && !value.is_null()) {
            return Err(format!("the key `{key}` = {value} is not supported"));
        }
        let blocks = self.block_out_channels.len();
        let types = [
            ("down_block_types", &self.down_block_types, "DownEncoderBlock2D"),
            ("up_block_types", &self.up_block_types, "UpDecoderBlock2D"),
        ];
        for (key, list, known) in types {
            if list.len() != blocks {
                return Err(format!("`{key}` lists {} blocks, `block_out_channels` {blocks}", list.len()));
            }
            if let Some(other) = list.iter().find(|name| *name != known) {
                return Err(format!("the block type {other} in `{key}` is not supported"));
            }
        }
        let sizes = [
            ("block_out_channels", blocks, MAX_BLOCKS),
            ("in_channels", self.in_channels, MAX_SIZE),
            ("out_channels", self.out_channels, MAX_SIZE),
            ("layers_per_block", self.layers_per_block, MAX_LAYERS),
            ("latent_channels", self.latent_channels, MAX_SIZE),
            ("norm_num_groups", self.norm_num_groups, MAX_SIZE),
            ("sample_size", self.sample_size.height, MAX_SIZE),
        ];
        let channels = self.block_out_channels.iter().map(|c| ("block_out_channels", *c, MAX_SIZE));
        for (key, value, max) in sizes.into_iter().chain(channels) {
            if !(1..=max).contains(&value) {
                return Err(format!("`{key}` is {value}, not 1 to {max}"));
            }
        }
        if let Some(channels) = self.block_out_channels.iter().find(|c| !c.is_multiple_of(self.norm_num_groups)) {
            let groups = self.norm_num_groups;
            return Err(format!("`norm_num_groups` = {groups} does not divide the {channels} channels of a block"));
        }
        for (key, list) in [("latents_mean", &self.latents_mean), ("latents_std", &self.latents_std)] {
            if list.as_ref().is_some_and(|list| list.len() != self.latent_channels) {
                return Err(format!("`{key}` does not have one number for each of {} channels", self.latent_channels));
            }
        }
        Ok(())
    }
}
