//! `config.json` of an `AutoencoderTiny`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use x0_kernels::Activation;

use crate::error::LoadError;
use crate::folder::Folder;
use crate::unet_2d::activation;

const FILE: &str = "config.json";
const MAX_STAGES: usize = 16;
const MAX_BLOCKS: usize = 64;
const MAX_SIZE: usize = 1 << 14;
/// Keys that only training, tiling or storing latents as bytes ask for.
const WITHOUT_MEANING: [&str; 5] =
    ["block_out_channels", "force_upcast", "latent_magnitude", "latent_shift", "shift_factor"];

/// A small autoencoder's shape, checked: only [`Self::read`] makes one. Fields are named as in diffusers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct AutoencoderTinyConfig {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) encoder_block_out_channels: Vec<usize>,
    pub(crate) decoder_block_out_channels: Vec<usize>,
    #[serde(deserialize_with = "activation")]
    pub(super) act_fn: Activation,
    upsample_fn: String,
    pub(crate) latent_channels: usize,
    upsampling_scaling_factor: usize,
    pub(crate) num_encoder_blocks: Vec<usize>,
    pub(crate) num_decoder_blocks: Vec<usize>,
    pub(crate) scaling_factor: f64,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Default for AutoencoderTinyConfig {
    /// diffusers' defaults, which are TAESD's.
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            encoder_block_out_channels: vec![64; 4],
            decoder_block_out_channels: vec![64; 4],
            act_fn: Activation::Relu,
            upsample_fn: "nearest".into(),
            latent_channels: 4,
            upsampling_scaling_factor: 2,
            num_encoder_blocks: vec![1, 3, 3, 3],
            num_decoder_blocks: vec![3, 3, 3, 1],
            scaling_factor: 1.0,
            rest: BTreeMap::new(),
        }
    }
}

impl AutoencoderTinyConfig {
    /// Reads `config.json` of a folder.
    ///
    /// # Errors
    /// If a value is not supported here, or does not fit the others, or there is a key that is not known here; the message has
    /// the key.
    pub fn read(folder: &Folder) -> Result<Self, LoadError> {
        let config: Self = folder.json(FILE)?;
        config.check().map_err(|message| LoadError::Config { path: folder.path_of(FILE), message })?;
        Ok(config)
    }

    /// Pixels of a picture for each latent pixel, in either direction.
    pub fn scale(&self) -> usize {
        1 << (self.decoder_block_out_channels.len() - 1)
    }

    fn check(&self) -> Result<(), String> {
        let meaningless = |key: &str| key.starts_with('_') || WITHOUT_MEANING.contains(&key);
        if let Some((key, value)) = self.rest.iter().find(|(key, value)| !value.is_null() && !meaningless(key)) {
            return Err(format!("the key `{key}` = {value} is not supported"));
        }
        if self.upsample_fn != "nearest" || self.upsampling_scaling_factor != 2 {
            let (how, factor) = (&self.upsample_fn, self.upsampling_scaling_factor);
            return Err(format!("`upsample_fn` = {how} with `upsampling_scaling_factor` = {factor} is not supported"));
        }
        let stages = [
            ("encoder_block_out_channels", &self.encoder_block_out_channels, &self.num_encoder_blocks),
            ("decoder_block_out_channels", &self.decoder_block_out_channels, &self.num_decoder_blocks),
        ];
        for (key, channels, blocks) in stages {
            if channels.len() != blocks.len() || channels.is_empty() || channels.len() > MAX_STAGES {
                return Err(format!(
                    "`{key}` lists {} stages, their blocks are listed for {}",
                    channels.len(),
                    blocks.len()
                ));
            }
            let sizes_fit = channels.iter().all(|c| (1..=MAX_SIZE).contains(c));
            if !sizes_fit || blocks.iter().any(|blocks| *blocks > MAX_BLOCKS) {
                return Err(format!("`{key}` or its numbers of blocks are out of range"));
            }
        }
        if self.encoder_block_out_channels.len() != self.decoder_block_out_channels.len() {
            return Err("encoder and decoder have different numbers of stages".into());
        }
        let sizes = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("latent_channels", self.latent_channels),
        ];
        match sizes.iter().find(|(_, size)| !(1..=MAX_SIZE).contains(size)) {
            Some((key, size)) => Err(format!("`{key}` is {size}, not 1 to {MAX_SIZE}")),
            None => Ok(()),
        }
    }
}
