//! `unet/config.json` of a `UNet2DModel`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::Value;
use x0_kernels::Activation;

use crate::error::LoadError;
use crate::folder::Folder;
use crate::nn::TimeScaleShift;

const FILE: &str = "config.json";
const MAX_BLOCKS: usize = 16;
const MAX_LAYERS: usize = 64;
/// Largest width and height in pixels, and largest number of channels anywhere.
const MAX_SIZE: usize = 1 << 14;

/// A `UNet2DModel`'s shape, checked: only [`Self::read`] makes one. Fields are named as in diffusers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct UNet2DConfig {
    /// Without it the caller would have to choose, and nothing says which sizes the network was trained for.
    pub(crate) sample_size: Option<SampleSize>,
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    /// Whether the input is taken to `2x - 1` first.
    pub(crate) center_input_sample: bool,
    pub(crate) time_embedding_type: TimeEmbeddingType,
    /// Size of the time embedding; four times the first block's channels unless given.
    pub(crate) time_embedding_dim: Option<usize>,
    pub(crate) freq_shift: f64,
    pub(crate) flip_sin_to_cos: bool,
    pub(crate) down_block_types: Vec<BlockType>,
    /// Whether there is a middle block.
    #[serde(rename = "mid_block_type", deserialize_with = "mid_block")]
    pub(crate) mid_block: bool,
    pub(crate) up_block_types: Vec<BlockType>,
    pub(crate) block_out_channels: Vec<usize>,
    pub(crate) layers_per_block: usize,
    pub(crate) mid_block_scale_factor: f64,
    /// 0 stands for one row below and one column to the right.
    pub(crate) downsample_padding: usize,
    pub(crate) downsample_type: ResampleType,
    pub(crate) upsample_type: ResampleType,
    #[serde(deserialize_with = "activation")]
    pub(crate) act_fn: Activation,
    /// Channels of each attention head; one head of all channels unless given.
    pub(crate) attention_head_dim: Option<usize>,
    pub(crate) norm_num_groups: usize,
    /// Groups of the middle block's attention.
    pub(crate) attn_norm_num_groups: Option<usize>,
    pub(crate) norm_eps: f64,
    #[serde(deserialize_with = "time_scale_shift")]
    pub(crate) resnet_time_scale_shift: TimeScaleShift,
    /// Whether the middle block has attention.
    pub(crate) add_attention: bool,
    pub(crate) class_embed_type: ClassEmbedType,
    /// Size of the table of class embeddings.
    pub(crate) num_class_embeds: Option<usize>,
    /// Size of the table of learned time embeddings.
    pub(crate) num_train_timesteps: Option<usize>,
    /// Means nothing to a trained network.
    dropout: f64,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// Height and width in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrTwo")]
pub(crate) struct SampleSize {
    pub(crate) height: usize,
    pub(crate) width: usize,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrTwo {
    Square(usize),
    Rectangle([usize; 2]),
}

/// Whether a block has attention after each residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockType {
    /// `DownBlock2D`, `UpBlock2D`
    Plain,
    /// `AttnDownBlock2D`, `AttnUpBlock2D`
    Attention,
}

/// How blocks with attention change their size; those without always convolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResampleType {
    Conv,
    /// By a residual block.
    Resnet,
}

/// What becomes of a timestep before the embedding's linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TimeEmbeddingType {
    /// Sinusoids.
    Positional,
    /// Sinusoids of its logarithm with frequencies from the weights.
    Fourier,
    /// A row of a table.
    Learned,
}

/// What becomes of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Option<NamedClassEmbedType>")]
pub(crate) enum ClassEmbedType {
    /// A row of a table, if `num_class_embeds` is given; otherwise the network is unconditional.
    #[default]
    Table,
    /// The label is embedded like a timestep.
    Timestep,
    /// The condition is itself an embedding.
    Identity,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum NamedClassEmbedType {
    Timestep,
    Identity,
}

impl Default for UNet2DConfig {
    /// diffusers' defaults.
    fn default() -> Self {
        Self {
            sample_size: None,
            in_channels: 3,
            out_channels: 3,
            center_input_sample: false,
            time_embedding_type: TimeEmbeddingType::Positional,
            time_embedding_dim: None,
            freq_shift: 0.0,
            flip_sin_to_cos: true,
            down_block_types: vec![BlockType::Plain, BlockType::Attention, BlockType::Attention, BlockType::Attention],
            mid_block: true,
            up_block_types: vec![BlockType::Attention, BlockType::Attention, BlockType::Attention, BlockType::Plain],
            block_out_channels: vec![224, 448, 672, 896],
            layers_per_block: 2,
            mid_block_scale_factor: 1.0,
            downsample_padding: 1,
            downsample_type: ResampleType::Conv,
            upsample_type: ResampleType::Conv,
            act_fn: Activation::Silu,
            attention_head_dim: Some(8),
            norm_num_groups: 32,
            attn_norm_num_groups: None,
            norm_eps: 1e-5,
            resnet_time_scale_shift: TimeScaleShift::Default,
            add_attention: true,
            class_embed_type: ClassEmbedType::Table,
            num_class_embeds: None,
            num_train_timesteps: None,
            dropout: 0.0,
            rest: BTreeMap::new(),
        }
    }
}

impl UNet2DConfig {
    /// Reads and checks `config.json` of a `unet` folder.
    ///
    /// # Errors
    /// If a value is not one that diffusers knows, is not supported here, or does not fit the others, or there is a key that is
    /// not known here; the message has the key.
    pub fn read(folder: &Folder) -> Result<Self, LoadError> {
        let config: Self = folder.json(FILE)?;
        config.check().map_err(|message| LoadError::Config { path: folder.path_of(FILE), message })?;
        Ok(config)
    }

    /// Width and height must be multiples of it: each block but the last halves them.
    pub fn size_multiple(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// [`Self::sample_size`], or the smallest possible one.
    fn size(&self) -> SampleSize {
        self.sample_size.unwrap_or(SampleSize { height: self.size_multiple(), width: self.size_multiple() })
    }

    /// Size of the embedding of a timestep and a class.
    pub fn time_embed_dim(&self) -> usize {
        self.time_embedding_dim.unwrap_or(4 * self.block_out_channels[0])
    }

    /// Whether the network takes a class.
    pub fn takes_class(&self) -> bool {
        match self.class_embed_type {
            ClassEmbedType::Table => self.num_class_embeds.is_some(),
            ClassEmbedType::Timestep | ClassEmbedType::Identity => true,
        }
    }

    /// Heads of an attention on `channels`.
    pub(super) fn heads(&self, channels: usize) -> usize {
        self.attention_head_dim.map_or(1, |size| channels / size)
    }

    fn check(&self) -> Result<(), String> {
        if let Some(key) = self.rest.iter().find(|(key, value)| !key.starts_with('_') && !value.is_null()) {
            return Err(format!("the key `{}` = {} is not supported", key.0, key.1));
        }
        let blocks = self.block_out_channels.len();
        if !(1..=MAX_BLOCKS).contains(&blocks) {
            return Err(format!("`block_out_channels` lists {blocks} blocks, not 1 to {MAX_BLOCKS}"));
        }
        for (key, len) in
            [("down_block_types", self.down_block_types.len()), ("up_block_types", self.up_block_types.len())]
        {
            if len != blocks {
                return Err(format!("`{key}` lists {len} blocks, `block_out_channels` {blocks}"));
            }
        }
        let SampleSize { height, width } = self.size();
        let counts = [
            ("layers_per_block", self.layers_per_block, MAX_LAYERS),
            ("in_channels", self.in_channels, MAX_SIZE),
            ("out_channels", self.out_channels, MAX_SIZE),
            ("sample_size", height, MAX_SIZE),
            ("sample_size", width, MAX_SIZE),
            ("norm_num_groups", self.norm_num_groups, MAX_SIZE),
            ("attn_norm_num_groups", self.attn_norm_num_groups.unwrap_or(1), MAX_SIZE),
            ("attention_head_dim", self.attention_head_dim.unwrap_or(1), MAX_SIZE),
            ("time_embedding_dim", self.time_embedding_dim.unwrap_or(1), MAX_SIZE),
            ("num_class_embeds", self.num_class_embeds.unwrap_or(1), u32::MAX as usize),
        ];
        for (key, value, max) in counts {
            if !(1..=max).contains(&value) {
                return Err(format!("`{key}` is {value}, not 1 to {max}"));
            }
        }
        if !height.is_multiple_of(self.size_multiple()) || !width.is_multiple_of(self.size_multiple()) {
            return Err(format!("`sample_size` must be a multiple of {} with {blocks} blocks", self.size_multiple()));
        }
        self.check_channels()?;
        if self.time_embedding_type == TimeEmbeddingType::Learned && self.num_train_timesteps.is_none() {
            return Err("`time_embedding_type` = learned needs `num_train_timesteps`".into());
        }
        Ok(())
    }

    fn check_channels(&self) -> Result<(), String> {
        let divides = |key: &str, n: usize, channels: usize| {
            let fits = (1..=MAX_SIZE).contains(&channels) && channels.is_multiple_of(n);
            if fits { Ok(()) } else { Err(format!("`{key}` = {n} does not divide the {channels} channels of a block")) }
        };
        let last = self.block_out_channels.len() - 1;
        for (i, &channels) in self.block_out_channels.iter().enumerate() {
            divides("norm_num_groups", self.norm_num_groups, channels)?;
            let attends = [self.down_block_types[i], self.up_block_types[last - i]].contains(&BlockType::Attention)
                || (i == last && self.mid_block && self.add_attention);
            if attends {
                divides("attention_head_dim", self.attention_head_dim.unwrap_or(1), channels)?;
            }
        }
        divides("attn_norm_num_groups", self.attn_norm_num_groups.unwrap_or(1), self.block_out_channels[last])
    }
}

impl From<OneOrTwo> for SampleSize {
    fn from(size: OneOrTwo) -> Self {
        match size {
            OneOrTwo::Square(n) => Self { height: n, width: n },
            OneOrTwo::Rectangle([height, width]) => Self { height, width },
        }
    }
}

impl From<Option<NamedClassEmbedType>> for ClassEmbedType {
    fn from(named: Option<NamedClassEmbedType>) -> Self {
        match named {
            None => Self::Table,
            Some(NamedClassEmbedType::Timestep) => Self::Timestep,
            Some(NamedClassEmbedType::Identity) => Self::Identity,
        }
    }
}

impl<'de> Deserialize<'de> for BlockType {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        // diffusers renamed its blocks once, and still takes the older names.
        match name.strip_prefix("UNetRes").unwrap_or(&name) {
            "DownBlock2D" | "UpBlock2D" => Ok(Self::Plain),
            "AttnDownBlock2D" | "AttnUpBlock2D" => Ok(Self::Attention),
            _ => Err(D::Error::custom(format!("the block type {name} is not supported"))),
        }
    }
}

fn mid_block<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match Option::<String>::deserialize(from)?.as_deref() {
        None => Ok(false),
        Some("UNetMidBlock2D") => Ok(true),
        Some(name) => Err(D::Error::custom(format!("`mid_block_type` = {name} is not supported"))),
    }
}

pub(crate) fn activation<'de, D: Deserializer<'de>>(from: D) -> Result<Activation, D::Error> {
    match String::deserialize(from)?.to_lowercase().as_str() {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::Gelu),
        "relu" => Ok(Activation::Relu),
        name => Err(D::Error::custom(format!("`act_fn` = {name} is not supported"))),
    }
}

pub(crate) fn time_scale_shift<'de, D: Deserializer<'de>>(from: D) -> Result<TimeScaleShift, D::Error> {
    match String::deserialize(from)?.as_str() {
        "default" => Ok(TimeScaleShift::Default),
        "scale_shift" => Ok(TimeScaleShift::ScaleShift),
        name => Err(D::Error::custom(format!("`resnet_time_scale_shift` = {name} is not supported"))),
    }
}
