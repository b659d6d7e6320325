//! From latents to pictures.

use candle_core::{Result, Tensor};
use x0_kernels::{Activation, Conv2d, Conv2dOptions};

use super::AutoencoderKLConfig;
use super::blocks::{EPS, MidBlock, Resnets};
use crate::error::LoadError;
use crate::nn::{GroupNorm, Upsample2D, conv2d};
use crate::weights::Weights;

#[derive(Debug)]
pub(super) struct Decoder {
    post_quant_conv: Option<Conv2d>,
    conv_in: Conv2d,
    mid_block: MidBlock,
    up_blocks: Vec<(Resnets, Option<Upsample2D>)>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Decoder {
    /// `weights` are the whole autoencoder's.
    pub(super) fn new(weights: &Weights, config: &AutoencoderKLConfig) -> std::result::Result<Self, LoadError> {
        let decoder = weights.at("decoder");
        let channels: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let (last, latent) = (channels.len() - 1, config.latent_channels);
        let up_block = |i: usize| {
            let weights = decoder.at("up_blocks").at(i);
            let from = channels[i.saturating_sub(1)];
            let resnets = Resnets::new(&weights, config, config.layers_per_block + 1, (from, channels[i]))?;
            let upsampler = if i < last {
                Some(Upsample2D::new(&weights.at("upsamplers.0"), channels[i], channels[i])?)
            } else {
                None
            };
            Ok::<_, LoadError>((resnets, upsampler))
        };
        let conv = |name, from, to| conv2d(&decoder.at(name), from, to, 3, Conv2dOptions::padded(1));
        let norm = &decoder.at("conv_norm_out");
        Ok(Self {
            post_quant_conv: if config.use_post_quant_conv {
                Some(conv2d(&weights.at("post_quant_conv"), latent, latent, 1, Conv2dOptions::padded(0))?)
            } else {
                None
            },
            conv_in: conv("conv_in", latent, channels[0])?,
            mid_block: MidBlock::new(&decoder.at("mid_block"), config)?,
            up_blocks: (0..=last).map(up_block).collect::<std::result::Result<_, _>>()?,
            conv_norm_out: GroupNorm::new(norm, config.norm_num_groups, channels[last], EPS)?,
            conv_out: conv("conv_out", channels[last], config.out_channels)?,
        })
    }

    /// `(n, h, w, latent channels)` to `(n, scale * h, scale * w, channels)`.
    pub(super) fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let z = match &self.post_quant_conv {
            Some(conv) => &conv.forward(z)?,
            None => z,
        };
        let mut x = self.mid_block.forward(&self.conv_in.forward(z)?)?;
        for (resnets, upsampler) in &self.up_blocks {
            x = resnets.forward(x)?;
            if let Some(upsampler) = upsampler {
                x = upsampler.forward(&x)?;
            }
        }
        self.conv_out.forward(&self.conv_norm_out.forward(&x, Activation::Silu)?)
    }
}
