//! `unet/config.json` of a `UNet2DConditionModel`, as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::Value;
use x0_kernels::Activation;

use crate::nn::TimeScaleShift;
use crate::unet_2d::{SampleSize, activation, time_scale_shift};

/// Keys that mean something to blocks which are refused by their names, or only while training.
const WITHOUT_MEANING: [&str; 7] = [
    "dropout",
    "upcast_attention",
    "mid_block_only_cross_attention",
    "resnet_skip_time_act",
    "resnet_out_scale_factor",
    "cross_attention_norm",
    "addition_embed_type_num_heads",
];

/// The keys and diffusers' defaults, see diffusers' `unet_2d_condition.py`.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Options {
    pub(super) sample_size: Option<SampleSize>,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    pub(super) center_input_sample: bool,
    pub(super) flip_sin_to_cos: bool,
    pub(super) freq_shift: f64,
    pub(super) down_block_types: Vec<BlockType>,
    pub(super) mid_block_type: Option<MidBlockType>,
    pub(super) up_block_types: Vec<BlockType>,
    pub(super) only_cross_attention: PerBlock<bool>,
    pub(super) block_out_channels: Vec<usize>,
    pub(super) layers_per_block: PerBlock<usize>,
    pub(super) downsample_padding: usize,
    pub(super) mid_block_scale_factor: f64,
    #[serde(deserialize_with = "activation")]
    pub(super) act_fn: Activation,
    pub(super) norm_num_groups: usize,
    pub(super) norm_eps: f64,
    pub(super) cross_attention_dim: PerBlock<usize>,
    pub(super) transformer_layers_per_block: PerBlock<Depth>,
    pub(super) reverse_transformer_layers_per_block: Option<PerBlock<Depth>>,
    pub(super) encoder_hid_dim: Option<usize>,
    encoder_hid_dim_type: Option<String>,
    /// The number of heads: diffusers keeps the misnomer, since so many files have it.
    pub(super) attention_head_dim: PerBlock<usize>,
    num_attention_heads: Option<Value>,
    dual_cross_attention: bool,
    pub(super) use_linear_projection: bool,
    pub(super) class_embed_type: Option<String>,
    pub(super) addition_embed_type: Option<String>,
    pub(super) addition_time_embed_dim: Option<usize>,
    pub(super) num_class_embeds: Option<usize>,
    #[serde(deserialize_with = "time_scale_shift")]
    pub(super) resnet_time_scale_shift: TimeScaleShift,
    pub(super) time_embedding_type: String,
    pub(super) time_embedding_dim: Option<usize>,
    #[serde(deserialize_with = "optional_activation")]
    pub(super) time_embedding_act_fn: Option<Activation>,
    #[serde(deserialize_with = "optional_activation")]
    pub(super) timestep_post_act: Option<Activation>,
    pub(super) time_cond_proj_dim: Option<usize>,
    pub(super) conv_in_kernel: usize,
    pub(super) conv_out_kernel: usize,
    pub(super) projection_class_embeddings_input_dim: Option<usize>,
    attention_type: String,
    pub(super) class_embeddings_concat: bool,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// A value for all blocks, or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum PerBlock<T> {
    Each(Vec<T>),
    Same(T),
}

/// Transformer blocks of each layer of a block.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Depth {
    Same(usize),
    PerLayer(Vec<usize>),
}

/// What a block on the way down or up consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockType {
    /// `DownBlock2D`, `UpBlock2D`
    Plain,
    /// `CrossAttnDownBlock2D`, `CrossAttnUpBlock2D`
    CrossAttention,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum MidBlockType {
    UNetMidBlock2D,
    UNetMidBlock2DCrossAttn,
}

impl Default for Options {
    fn default() -> Self {
        use BlockType::{CrossAttention, Plain};
        Self {
            sample_size: None,
            in_channels: 4,
            out_channels: 4,
            center_input_sample: false,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            down_block_types: vec![CrossAttention, CrossAttention, CrossAttention, Plain],
            mid_block_type: Some(MidBlockType::UNetMidBlock2DCrossAttn),
            up_block_types: vec![Plain, CrossAttention, CrossAttention, CrossAttention],
            only_cross_attention: PerBlock::Same(false),
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: PerBlock::Same(2),
            downsample_padding: 1,
            mid_block_scale_factor: 1.0,
            act_fn: Activation::Silu,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            cross_attention_dim: PerBlock::Same(1280),
            transformer_layers_per_block: PerBlock::Same(Depth::Same(1)),
            reverse_transformer_layers_per_block: None,
            encoder_hid_dim: None,
            encoder_hid_dim_type: None,
            attention_head_dim: PerBlock::Same(8),
            num_attention_heads: None,
            dual_cross_attention: false,
            use_linear_projection: false,
            class_embed_type: None,
            addition_embed_type: None,
            addition_time_embed_dim: None,
            num_class_embeds: None,
            resnet_time_scale_shift: TimeScaleShift::Default,
            time_embedding_type: "positional".into(),
            time_embedding_dim: None,
            time_embedding_act_fn: None,
            timestep_post_act: None,
            time_cond_proj_dim: None,
            conv_in_kernel: 3,
            conv_out_kernel: 3,
            projection_class_embeddings_input_dim: None,
            attention_type: "default".into(),
            class_embeddings_concat: false,
            rest: BTreeMap::new(),
        }
    }
}

impl Options {
    /// Names the first key whose value asks for something that is not done here.
    pub(super) fn refuse_unsupported(&self) -> Result<(), String> {
        let meaningless = |key: &str| key.starts_with('_') || WITHOUT_MEANING.contains(&key);
        if let Some((key, value)) = self.rest.iter().find(|(key, value)| !value.is_null() && !meaningless(key)) {
            return Err(format!("the key `{key}` = {value} is not supported"));
        }
        if let Some(heads) = &self.num_attention_heads {
            return Err(format!(
                "`num_attention_heads` = {heads} is not supported: `attention_head_dim` has the heads"
            ));
        }
        if self.dual_cross_attention {
            return Err("`dual_cross_attention` = true is not supported".into());
        }
        if self.attention_type != "default" {
            return Err(format!("`attention_type` = {} is not supported", self.attention_type));
        }
        match (self.encoder_hid_dim_type.as_deref(), self.encoder_hid_dim) {
            (None, _) | (Some("text_proj"), Some(_)) => Ok(()),
            (Some(other), _) => {
                Err(format!("`encoder_hid_dim_type` = {other} is not supported, or needs `encoder_hid_dim`"))
            }
        }
    }
}

impl<T: Clone> PerBlock<T> {
    /// One value for each of `blocks`.
    pub(super) fn expand(&self, blocks: usize, key: &str) -> Result<Vec<T>, String> {
        match self {
            Self::Same(value) => Ok(vec![value.clone(); blocks]),
            Self::Each(values) if values.len() == blocks => Ok(values.clone()),
            Self::Each(values) => Err(format!("`{key}` lists {} blocks, `block_out_channels` {blocks}", values.len())),
        }
    }
}

impl<'de> Deserialize<'de> for BlockType {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        // diffusers renamed its blocks once, and still takes the older names.
        match name.strip_prefix("UNetRes").unwrap_or(&name) {
            "DownBlock2D" | "UpBlock2D" => Ok(Self::Plain),
            "CrossAttnDownBlock2D" | "CrossAttnUpBlock2D" => Ok(Self::CrossAttention),
            _ => Err(D::Error::custom(format!("the block type {name} is not supported"))),
        }
    }
}

fn optional_activation<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Activation>, D::Error> {
    match Option::<String>::deserialize(from)? {
        None => Ok(None),
        Some(name) => activation(serde::de::value::StringDeserializer::new(name)).map(Some),
    }
}
