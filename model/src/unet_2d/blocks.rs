//! The blocks on the way down, in the middle and on the way up.

use candle_core::{Result, Tensor};

use super::config::ResampleType;
use super::{BlockType, UNet2DConfig, concat};
use crate::error::LoadError;
use crate::nn::{
    Attention, AttentionConfig, Downsample2D, Resample, ResnetBlock2D, ResnetConfig, TimeScaleShift, Upsample2D,
};
use crate::weights::Weights;

type Loaded<T> = std::result::Result<T, LoadError>;

/// `DownBlock2D` and `AttnDownBlock2D`.
#[derive(Debug)]
pub(super) struct DownBlock {
    layers: Vec<Layer>,
    downsampler: Option<Downsampler>,
}

/// `UNetMidBlock2D`.
#[derive(Debug)]
pub(super) struct MidBlock {
    first: Layer,
    last: ResnetBlock2D,
}

/// `UpBlock2D` and `AttnUpBlock2D`.
#[derive(Debug)]
pub(super) struct UpBlock {
    layers: Vec<Layer>,
    upsampler: Option<Upsampler>,
}

/// Channels that meet in a block on the way up.
#[derive(Clone, Copy)]
pub(super) struct UpChannels {
    /// Of the block before.
    pub(super) previous: usize,
    /// Of the last skip connection that it takes; the others have `out`.
    pub(super) skip: usize,
    pub(super) out: usize,
}

/// A residual block, and attention after it.
#[derive(Debug)]
struct Layer {
    resnet: ResnetBlock2D,
    attention: Option<Attention>,
}

#[derive(Debug)]
enum Downsampler {
    Conv(Downsample2D),
    Resnet(Box<ResnetBlock2D>),
}

#[derive(Debug)]
enum Upsampler {
    Conv(Upsample2D),
    Resnet(Box<ResnetBlock2D>),
}

impl DownBlock {
    pub(super) fn new(
        weights: &Weights,
        config: &UNet2DConfig,
        block_type: BlockType,
        (from, to): (usize, usize),
        downsample: bool,
    ) -> Loaded<Self> {
        let layer = |i| Layer::new(weights, i, if i == 0 { from } else { to }, to, config, block_type);
        let layers = (0..config.layers_per_block).map(layer).collect::<Loaded<_>>()?;
        let weights = weights.at("downsamplers").at(0);
        let downsampler = match (downsample, block_type, config.downsample_type) {
            (false, ..) => None,
            (true, BlockType::Attention, ResampleType::Resnet) => {
                let config = ResnetConfig { resample: Resample::Down, ..resnet(config) };
                Some(Downsampler::Resnet(Box::new(ResnetBlock2D::new(&weights, to, to, config)?)))
            }
            (true, BlockType::Plain, _) | (true, BlockType::Attention, ResampleType::Conv) => {
                Some(Downsampler::Conv(Downsample2D::new(&weights, to, to, config.downsample_padding)?))
            }
        };
        Ok(Self { layers, downsampler })
    }

    /// Pushes what the way up will need onto `skips`.
    pub(super) fn forward(&self, mut x: Tensor, time: &Tensor, skips: &mut Vec<Tensor>) -> Result<Tensor> {
        for layer in &self.layers {
            x = layer.forward(&x, time)?;
            skips.push(x.clone());
        }
        if let Some(downsampler) = &self.downsampler {
            x = match downsampler {
                Downsampler::Conv(conv) => conv.forward(&x)?,
                Downsampler::Resnet(resnet) => resnet.forward(&x, Some(time))?,
            };
            skips.push(x.clone());
        }
        Ok(x)
    }
}

impl MidBlock {
    pub(super) fn new(weights: &Weights, config: &UNet2DConfig) -> Loaded<Self> {
        let channels = config.block_out_channels[config.block_out_channels.len() - 1];
        let scaled = ResnetConfig { output_scale_factor: config.mid_block_scale_factor, ..resnet(config) };
        let resnet = |i: usize| ResnetBlock2D::new(&weights.at("resnets").at(i), channels, channels, scaled);
        // Unless groups are given, a block whose residual blocks scale and shift does not normalise before its attention.
        let groups = config.attn_norm_num_groups.or(match config.resnet_time_scale_shift {
            TimeScaleShift::Default => Some(config.norm_num_groups),
            TimeScaleShift::ScaleShift => None,
        });
        let attention = if config.add_attention {
            let rescaled = AttentionConfig {
                heads: config.heads(channels),
                groups,
                eps: config.norm_eps,
                rescale_output_factor: config.mid_block_scale_factor,
            };
            Some(Attention::new(&weights.at("attentions").at(0), channels, rescaled)?)
        } else {
            None
        };
        Ok(Self { first: Layer { resnet: resnet(0)?, attention }, last: resnet(1)? })
    }

    pub(super) fn forward(&self, x: &Tensor, time: &Tensor) -> Result<Tensor> {
        self.last.forward(&self.first.forward(x, time)?, Some(time))
    }
}

impl UpBlock {
    pub(super) fn new(
        weights: &Weights,
        config: &UNet2DConfig,
        block_type: BlockType,
        channels: UpChannels,
        upsample: bool,
    ) -> Loaded<Self> {
        let UpChannels { previous, skip, out } = channels;
        let layer = |i| {
            let before = if i == 0 { previous } else { out };
            let skipped = if i == config.layers_per_block { skip } else { out };
            Layer::new(weights, i, before + skipped, out, config, block_type)
        };
        // One more than on the way down: it takes the skip connection of the block's beginning, too.
        let layers = (0..=config.layers_per_block).map(layer).collect::<Loaded<_>>()?;
        let weights = weights.at("upsamplers").at(0);
        let upsampler = match (upsample, block_type, config.upsample_type) {
            (false, ..) => None,
            (true, BlockType::Attention, ResampleType::Resnet) => {
                let config = ResnetConfig { resample: Resample::Up, ..resnet(config) };
                Some(Upsampler::Resnet(Box::new(ResnetBlock2D::new(&weights, out, out, config)?)))
            }
            (true, BlockType::Plain, _) | (true, BlockType::Attention, ResampleType::Conv) => {
                Some(Upsampler::Conv(Upsample2D::new(&weights, out, out)?))
            }
        };
        Ok(Self { layers, upsampler })
    }

    /// Pops one of the `skips` for each layer.
    pub(super) fn forward(&self, mut x: Tensor, time: &Tensor, skips: &mut Vec<Tensor>) -> Result<Tensor> {
        for layer in &self.layers {
            let Some(skip) = skips.pop() else { candle_core::bail!("a block lacks its skip connection") };
            x = layer.forward(&concat(&x, &skip)?, time)?;
        }
        match &self.upsampler {
            None => Ok(x),
            Some(Upsampler::Conv(conv)) => conv.forward(&x),
            Some(Upsampler::Resnet(resnet)) => resnet.forward(&x, Some(time)),
        }
    }
}

impl Layer {
    fn new(
        weights: &Weights,
        index: usize,
        from: usize,
        to: usize,
        config: &UNet2DConfig,
        block_type: BlockType,
    ) -> Loaded<Self> {
        let attention = match block_type {
            BlockType::Plain => None,
            BlockType::Attention => {
                let attention = AttentionConfig {
                    heads: config.heads(to),
                    groups: Some(config.norm_num_groups),
                    eps: config.norm_eps,
                    rescale_output_factor: 1.0,
                };
                Some(Attention::new(&weights.at("attentions").at(index), to, attention)?)
            }
        };
        Ok(Self { resnet: ResnetBlock2D::new(&weights.at("resnets").at(index), from, to, resnet(config))?, attention })
    }

    fn forward(&self, x: &Tensor, time: &Tensor) -> Result<Tensor> {
        let x = self.resnet.forward(x, Some(time))?;
        match &self.attention {
            Some(attention) => attention.forward(&x),
            None => Ok(x),
        }
    }
}

/// The residual blocks that neither scale their answer nor change its size.
fn resnet(config: &UNet2DConfig) -> ResnetConfig {
    ResnetConfig {
        time_channels: Some(config.time_embed_dim()),
        time_scale_shift: config.resnet_time_scale_shift,
        groups: config.norm_num_groups,
        eps: config.norm_eps,
        activation: config.act_fn,
        output_scale_factor: 1.0,
        resample: Resample::None,
    }
}
