//! What encoder and decoder have in common.

use candle_core::{Result, Tensor};

use super::AutoencoderKLConfig;
use crate::error::LoadError;
use crate::nn::{Attention, AttentionConfig, Resample, ResnetBlock2D, ResnetConfig, TimeScaleShift};
use crate::weights::Weights;

type Loaded<T> = std::result::Result<T, LoadError>;

/// Of all normalisations.
pub(super) const EPS: f64 = 1e-6;

/// `UNetMidBlock2D`: attention between two residual blocks.
#[derive(Debug)]
pub(super) struct MidBlock {
    first: ResnetBlock2D,
    attention: Option<Attention>,
    last: ResnetBlock2D,
}

impl MidBlock {
    pub(super) fn new(weights: &Weights, config: &AutoencoderKLConfig) -> Loaded<Self> {
        let channels = config.block_out_channels[config.block_out_channels.len() - 1];
        let resnet = |i| ResnetBlock2D::new(&weights.at("resnets").at(i), channels, channels, resnet(config));
        let attention = if config.mid_block_add_attention {
            let one_head = AttentionConfig {
                heads: 1,
                groups: Some(config.norm_num_groups),
                eps: EPS,
                rescale_output_factor: 1.0,
            };
            Some(Attention::new(&weights.at("attentions.0"), channels, one_head)?)
        } else {
            None
        };
        Ok(Self { first: resnet(0)?, attention, last: resnet(1)? })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.first.forward(x, None)?;
        let x = match &self.attention {
            Some(attention) => attention.forward(&x)?,
            None => x,
        };
        self.last.forward(&x, None)
    }
}

/// The residual blocks of one size of maps.
#[derive(Debug)]
pub(super) struct Resnets(Vec<ResnetBlock2D>);

impl Resnets {
    pub(super) fn new(
        weights: &Weights,
        config: &AutoencoderKLConfig,
        count: usize,
        (from, to): (usize, usize),
    ) -> Loaded<Self> {
        let weights = weights.at("resnets");
        let block = |i| ResnetBlock2D::new(&weights.at(i), if i == 0 { from } else { to }, to, resnet(config));
        (0..count).map(block).collect::<Loaded<_>>().map(Self)
    }

    pub(super) fn forward(&self, mut x: Tensor) -> Result<Tensor> {
        for block in &self.0 {
            x = block.forward(&x, None)?;
        }
        Ok(x)
    }
}

fn resnet(config: &AutoencoderKLConfig) -> ResnetConfig {
    ResnetConfig {
        time_channels: None,
        time_scale_shift: TimeScaleShift::Default,
        groups: config.norm_num_groups,
        eps: EPS,
        activation: config.act_fn,
        output_scale_factor: 1.0,
        resample: Resample::None,
    }
}
