//! A `UNet2DConditionModel`'s shape, checked.

use x0_kernels::Activation;

use super::options::Options;
use super::parse::{self, MAX_LAYERS, within};
use crate::error::LoadError;
use crate::folder::Folder;
use crate::nn::TimeScaleShift;
use crate::unet_2d::SampleSize;

const FILE: &str = "config.json";
/// Most channels anywhere.
const MAX_SIZE: usize = 1 << 14;

/// The shape of a text-conditioned network; only [`Self::read`] and [`Self::parse`] make one.
#[derive(Clone, Debug, PartialEq)]
pub struct UNet2DConditionConfig {
    /// Height and width of the latents that it was trained for.
    pub(crate) sample_size: Option<SampleSize>,
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    /// Whether the input is taken to `2x - 1` first.
    pub(crate) center_input_sample: bool,
    pub(super) time: TimeConfig,
    pub(crate) class: ClassConfig,
    /// Whether the class embedding is put beside the time embedding and not added to it.
    pub(super) class_embeddings_concat: bool,
    pub(crate) added: Option<AddedConfig>,
    /// Size of the text embeddings before a projection to `cross_attention_dim`, if there is one.
    pub(super) encoder_hid_dim: Option<usize>,
    /// From the largest maps to the smallest.
    pub(crate) levels: Vec<Level>,
    pub(crate) mid: Option<Block>,
    pub(super) mid_block_scale_factor: f64,
    pub(super) norm_num_groups: usize,
    pub(super) norm_eps: f64,
    pub(super) activation: Activation,
    pub(super) time_scale_shift: TimeScaleShift,
    pub(super) downsample_padding: usize,
    pub(super) use_linear_projection: bool,
    pub(super) conv_in_kernel: usize,
    pub(super) conv_out_kernel: usize,
}

/// One size of maps: a block on the way down and one on the way up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Level {
    pub(crate) channels: usize,
    /// Of the block on the way down; the one on the way up has one more.
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    /// Size of the text embeddings that it looks at.
    pub(crate) cross_attention_dim: usize,
    pub(crate) down: Block,
    pub(crate) up: Block,
}

/// What stands after the residual blocks of a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Block {
    Plain,
    Transformer {
        /// Transformer blocks after each residual block.
        depths: Vec<usize>,
        /// Whether the first attention, too, looks at the text.
        only_cross_attention: bool,
    },
}

/// How timesteps are embedded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TimeConfig {
    pub(super) projection: TimeProjectionConfig,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) post_activation: Option<Activation>,
    /// On the sum of all embeddings.
    pub(super) sum_activation: Option<Activation>,
    /// Size of the embedding of the guidance scale, for networks that were distilled with guidance.
    pub(super) cond_proj_dim: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TimeProjectionConfig {
    Positional { flip_sin_to_cos: bool, freq_shift: f64 },
    Fourier { flip_sin_to_cos: bool },
}

/// How a class is embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClassConfig {
    None,
    /// By a row of a table of so many.
    Table(usize),
    /// Like a timestep.
    Timestep,
    /// It is itself an embedding.
    Identity,
    /// It is a vector of that size, taken through two linear layers.
    Projection(usize),
    /// It is a vector of that size, taken through one linear layer.
    SimpleProjection(usize),
}

/// Stable Diffusion XL's `text_time` condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AddedConfig {
    pub(super) flip_sin_to_cos: bool,
    pub(super) freq_shift: f64,
    /// Size of the sinusoids of each number.
    pub(crate) time_embed_dim: usize,
    /// Size of the pooled text embedding and all sinusoids together.
    pub(crate) inputs: usize,
}

impl UNet2DConditionConfig {
    /// Reads `config.json` of a `unet` folder.
    ///
    /// # Errors
    /// If a value is not one that diffusers knows, is not supported here, or does not fit the others, or there is a key that is
    /// not known here; the message has the key.
    pub fn read(folder: &Folder) -> Result<Self, LoadError> {
        let options: Options = folder.json(FILE)?;
        Self::from_options(options).map_err(|message| LoadError::Config { path: folder.path_of(FILE), message })
    }

    /// Reads a configuration that `name` stands for in messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(name: &str, json: &str) -> Result<Self, LoadError> {
        let config = |message| LoadError::Config { path: name.to_owned(), message };
        let options = serde_json::from_str(json).map_err(|error| config(error.to_string()))?;
        Self::from_options(options).map_err(config)
    }

    /// This configuration with other blocks, which its file could not describe.
    ///
    /// # Errors
    /// If they do not fit it.
    pub(crate) fn with_blocks(mut self, name: &str, levels: Vec<Level>, mid: Block) -> Result<Self, LoadError> {
        (self.levels, self.mid) = (levels, Some(mid));
        self.check().map_err(|message| LoadError::Config { path: name.to_owned(), message })?;
        Ok(self)
    }

    /// Size of the embedding of the guidance scale that the network takes, if it does.
    pub(crate) fn time_cond_proj_dim(&self) -> Option<usize> {
        self.time.cond_proj_dim
    }

    /// Sizes of the text embeddings that the network takes.
    pub(crate) fn text_sizes(&self) -> impl Iterator<Item = usize> {
        let levels = if self.encoder_hid_dim.is_some() { &[] } else { &self.levels[..] };
        self.encoder_hid_dim.into_iter().chain(levels.iter().map(|level| level.cross_attention_dim))
    }

    /// Whether the network takes a class.
    pub(crate) fn takes_class(&self) -> bool {
        self.class != ClassConfig::None
    }

    /// Size of the embedding that the blocks see.
    pub(super) fn time_channels(&self) -> usize {
        self.time.outputs * if self.class_embeddings_concat { 2 } else { 1 }
    }

    /// Channels that the way up begins with.
    pub(crate) fn innermost(&self) -> &Level {
        &self.levels[self.levels.len() - 1]
    }

    fn from_options(options: Options) -> Result<Self, String> {
        options.refuse_unsupported()?;
        let levels = parse::levels(&options)?;
        let config = Self {
            sample_size: options.sample_size,
            in_channels: options.in_channels,
            out_channels: options.out_channels,
            center_input_sample: options.center_input_sample,
            time: parse::time(&options, levels[0].channels)?,
            class: parse::class(&options)?,
            class_embeddings_concat: options.class_embeddings_concat,
            added: parse::added(&options)?,
            encoder_hid_dim: options.encoder_hid_dim,
            mid: parse::mid(&options)?,
            levels,
            mid_block_scale_factor: options.mid_block_scale_factor,
            norm_num_groups: options.norm_num_groups,
            norm_eps: options.norm_eps,
            activation: options.act_fn,
            time_scale_shift: options.resnet_time_scale_shift,
            downsample_padding: options.downsample_padding,
            use_linear_projection: options.use_linear_projection,
            conv_in_kernel: options.conv_in_kernel,
            conv_out_kernel: options.conv_out_kernel,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let sizes = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("norm_num_groups", self.norm_num_groups),
            ("time_embedding_dim", self.time.outputs),
            ("time_cond_proj_dim", self.time.cond_proj_dim.unwrap_or(2)),
            ("encoder_hid_dim", self.encoder_hid_dim.unwrap_or(1)),
            ("projection_class_embeddings_input_dim", self.added.map_or(1, |added| added.inputs)),
            ("addition_time_embed_dim", self.added.map_or(1, |added| added.time_embed_dim)),
        ];
        for (key, size) in sizes {
            within(key, size, MAX_SIZE)?;
        }
        for (key, kernel) in [("conv_in_kernel", self.conv_in_kernel), ("conv_out_kernel", self.conv_out_kernel)] {
            if kernel > 15 || kernel % 2 == 0 {
                return Err(format!("`{key}` is {kernel}, not an odd number up to 15"));
            }
        }
        if self.added.is_some() && self.class_embeddings_concat {
            return Err("`class_embeddings_concat` and `addition_embed_type` do not fit together".into());
        }
        if self.downsample_padding > 1 {
            return Err(format!("`downsample_padding` is {}, not 0 or 1", self.downsample_padding));
        }
        for level in &self.levels {
            within("block_out_channels", level.channels, MAX_SIZE)?;
            within("layers_per_block", level.layers, MAX_LAYERS)?;
            within("cross_attention_dim", level.cross_attention_dim, MAX_SIZE)?;
            within("attention_head_dim", level.heads, level.channels)?;
            if !level.channels.is_multiple_of(self.norm_num_groups) {
                return Err(format!(
                    "`norm_num_groups` = {} does not divide the {} channels of a block",
                    self.norm_num_groups, level.channels
                ));
            }
        }
        Ok(())
    }
}
