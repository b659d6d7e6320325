//! From pictures to the parameters of their latents' distribution.

use candle_core::{Result, Tensor};
use x0_kernels::{Activation, Conv2d, Conv2dOptions};

use super::AutoencoderKLConfig;
use super::blocks::{EPS, MidBlock, Resnets};
use crate::error::LoadError;
use crate::nn::{Downsample2D, GroupNorm, conv2d};
use crate::weights::Weights;

#[derive(Debug)]
pub(super) struct Encoder {
    conv_in: Conv2d,
    down_blocks: Vec<(Resnets, Option<Downsample2D>)>,
    mid_block: MidBlock,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    quant_conv: Option<Conv2d>,
}

impl Encoder {
    /// `weights` are the whole autoencoder's.
    pub(super) fn new(weights: &Weights, config: &AutoencoderKLConfig) -> std::result::Result<Self, LoadError> {
        let encoder = weights.at("encoder");
        let channels = &config.block_out_channels;
        let (last, parameters) = (channels.len() - 1, 2 * config.latent_channels);
        let down_block = |i: usize| {
            let weights = encoder.at("down_blocks").at(i);
            let from = channels[i.saturating_sub(1)];
            let resnets = Resnets::new(&weights, config, config.layers_per_block, (from, channels[i]))?;
            let downsampler = if i < last {
                Some(Downsample2D::new(&weights.at("downsamplers.0"), channels[i], channels[i], 0)?)
            } else {
                None
            };
            Ok::<_, LoadError>((resnets, downsampler))
        };
        let conv = |name, from, to| conv2d(&encoder.at(name), from, to, 3, Conv2dOptions::padded(1));
        let norm = &encoder.at("conv_norm_out");
        Ok(Self {
            conv_in: conv("conv_in", config.in_channels, channels[0])?,
            down_blocks: (0..=last).map(down_block).collect::<std::result::Result<_, _>>()?,
            mid_block: MidBlock::new(&encoder.at("mid_block"), config)?,
            conv_norm_out: GroupNorm::new(norm, config.norm_num_groups, channels[last], EPS)?,
            conv_out: conv("conv_out", channels[last], parameters)?,
            quant_conv: if config.use_quant_conv {
                Some(conv2d(&weights.at("quant_conv"), parameters, parameters, 1, Conv2dOptions::padded(0))?)
            } else {
                None
            },
        })
    }

    /// `(n, h, w, channels)` to `(n, h / scale, w / scale, 2 * latent channels)`: means, then logarithms of variances.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.conv_in.forward(x)?;
        for (resnets, downsampler) in &self.down_blocks {
            x = resnets.forward(x)?;
            if let Some(downsampler) = downsampler {
                x = downsampler.forward(&x)?;
            }
        }
        let x = self.conv_norm_out.forward(&self.mid_block.forward(&x)?, Activation::Silu)?;
        let x = self.conv_out.forward(&x)?;
        match &self.quant_conv {
            Some(conv) => conv.forward(&x),
            None => Ok(x),
        }
    }
}
