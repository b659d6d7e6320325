//! The blocks on the way down, in the middle and on the way up.

use candle_core::{Result, Tensor};
use x0_kernels::concatenate;

use super::condition::{KeysValues, Rows};
use super::config::{Block, Level, UNet2DConditionConfig};
use super::transformer::{Transformer2D, TransformerConfig};
use crate::error::LoadError;
use crate::nn::{Downsample2D, Resample, ResnetBlock2D, ResnetConfig, Upsample2D};
use crate::weights::Weights;

type Loaded<T> = std::result::Result<T, LoadError>;

/// `DownBlock2D` and `CrossAttnDownBlock2D`.
#[derive(Debug)]
pub(super) struct DownBlock {
    layers: Vec<Layer>,
    downsampler: Option<Downsample2D>,
}

/// `UNetMidBlock2DCrossAttn`, and `UNetMidBlock2D`, which is a single residual block here.
#[derive(Debug)]
pub(super) struct MidBlock {
    first: Layer,
    last: Option<ResnetBlock2D>,
}

/// `UpBlock2D` and `CrossAttnUpBlock2D`.
#[derive(Debug)]
pub(super) struct UpBlock {
    layers: Vec<Layer>,
    upsampler: Option<Upsample2D>,
}

/// A residual block, and transformer blocks after it.
#[derive(Debug)]
struct Layer {
    resnet: ResnetBlock2D,
    transformer: Option<Transformer2D>,
}

/// Reads blocks in the order in which the network runs them, so that it can number the cross-attentions.
pub(super) struct Builder<'a> {
    pub(super) config: &'a UNet2DConditionConfig,
    /// The place of the next cross-attention.
    pub(super) next: usize,
}

impl Builder<'_> {
    pub(super) fn down(&mut self, weights: &Weights, index: usize) -> Loaded<DownBlock> {
        let levels = &self.config.levels;
        let level = &levels[index];
        let before = levels[index.saturating_sub(1)].channels;
        let layer = |i| self.layer(weights, i, if i == 0 { before } else { level.channels }, level, &level.down);
        let layers = (0..level.layers).map(layer).collect::<Loaded<_>>()?;
        let downsampler = if index + 1 < levels.len() {
            let weights = weights.at("downsamplers.0");
            Some(Downsample2D::new(&weights, level.channels, level.channels, self.config.downsample_padding)?)
        } else {
            None
        };
        Ok(DownBlock { layers, downsampler })
    }

    pub(super) fn mid(&mut self, weights: &Weights, block: &Block) -> Loaded<MidBlock> {
        let level = self.config.innermost();
        let scaled = ResnetConfig { output_scale_factor: self.config.mid_block_scale_factor, ..self.resnet() };
        let resnet = |i| ResnetBlock2D::new(&weights.at("resnets").at(i), level.channels, level.channels, scaled);
        let first = Layer { resnet: resnet(0)?, transformer: self.transformer(weights, 0, level, block)? };
        let last = match block {
            Block::Plain => None,
            Block::Transformer { .. } => Some(resnet(1)?),
        };
        Ok(MidBlock { first, last })
    }

    /// `index` counts on the way up.
    pub(super) fn up(&mut self, weights: &Weights, index: usize) -> Loaded<UpBlock> {
        let levels = &self.config.levels;
        let at = levels.len() - 1 - index;
        let level = &levels[at];
        let previous = levels[(at + 1).min(levels.len() - 1)].channels;
        let skipped = levels[at.saturating_sub(1)].channels;
        let layer = |i| {
            let from = if i == 0 { previous } else { level.channels };
            let skip = if i == level.layers { skipped } else { level.channels };
            self.layer(weights, i, from + skip, level, &level.up)
        };
        // One more than on the way down: it takes the skip connection of the block's beginning, too.
        let layers = (0..=level.layers).map(layer).collect::<Loaded<_>>()?;
        let upsampler = if at > 0 {
            Some(Upsample2D::new(&weights.at("upsamplers.0"), level.channels, level.channels)?)
        } else {
            None
        };
        Ok(UpBlock { layers, upsampler })
    }

    fn layer(&mut self, weights: &Weights, index: usize, from: usize, level: &Level, block: &Block) -> Loaded<Layer> {
        let resnet = ResnetBlock2D::new(&weights.at("resnets").at(index), from, level.channels, self.resnet())?;
        Ok(Layer { resnet, transformer: self.transformer(weights, index, level, block)? })
    }

    fn transformer(
        &mut self,
        weights: &Weights,
        index: usize,
        level: &Level,
        block: &Block,
    ) -> Loaded<Option<Transformer2D>> {
        let Block::Transformer { depths, only_cross_attention } = block else { return Ok(None) };
        let config = TransformerConfig {
            channels: level.channels,
            heads: level.heads,
            cross_attention_dim: level.cross_attention_dim,
            only_cross_attention: *only_cross_attention,
            groups: self.config.norm_num_groups,
            use_linear_projection: self.config.use_linear_projection,
        };
        Transformer2D::new(&weights.at("attentions").at(index), config, depths[index], &mut self.next).map(Some)
    }

    fn resnet(&self) -> ResnetConfig {
        ResnetConfig {
            time_channels: Some(self.config.time_channels()),
            time_scale_shift: self.config.time_scale_shift,
            groups: self.config.norm_num_groups,
            eps: self.config.norm_eps,
            activation: self.config.activation,
            output_scale_factor: 1.0,
            resample: Resample::None,
        }
    }
}

impl DownBlock {
    /// Pushes what the way up will need onto `skips`.
    pub(super) fn forward(
        &self,
        mut x: Tensor,
        time: &Tensor,
        rows: &Rows<'_>,
        skips: &mut Vec<Tensor>,
    ) -> Result<Tensor> {
        for layer in &self.layers {
            x = layer.forward(&x, time, rows)?;
            skips.push(x.clone());
        }
        if let Some(downsampler) = &self.downsampler {
            x = downsampler.forward(&x)?;
            skips.push(x.clone());
        }
        Ok(x)
    }

    pub(super) fn keys_values(&self, text: &Tensor, to: &mut Vec<KeysValues>) -> Result<()> {
        self.layers.iter().try_for_each(|layer| layer.keys_values(text, to))
    }
}

impl MidBlock {
    pub(super) fn forward(&self, x: &Tensor, time: &Tensor, rows: &Rows<'_>) -> Result<Tensor> {
        let x = self.first.forward(x, time, rows)?;
        match &self.last {
            Some(resnet) => resnet.forward(&x, Some(time)),
            None => Ok(x),
        }
    }

    pub(super) fn keys_values(&self, text: &Tensor, to: &mut Vec<KeysValues>) -> Result<()> {
        self.first.keys_values(text, to)
    }
}

impl UpBlock {
    /// Pops one of the `skips` for each layer. The answer has the size of the skip connection that comes next.
    pub(super) fn forward(
        &self,
        mut x: Tensor,
        time: &Tensor,
        rows: &Rows<'_>,
        skips: &mut Vec<Tensor>,
    ) -> Result<Tensor> {
        for layer in &self.layers {
            let Some(skip) = skips.pop() else { candle_core::bail!("a block lacks its skip connection") };
            x = layer.forward(&concatenate(&x, &skip)?, time, rows)?;
        }
        match (&self.upsampler, skips.last()) {
            (Some(upsampler), Some(next)) => upsampler.forward_to(&x, (next.dim(1)?, next.dim(2)?)),
            _ => Ok(x),
        }
    }

    pub(super) fn keys_values(&self, text: &Tensor, to: &mut Vec<KeysValues>) -> Result<()> {
        self.layers.iter().try_for_each(|layer| layer.keys_values(text, to))
    }
}

impl Layer {
    fn forward(&self, x: &Tensor, time: &Tensor, rows: &Rows<'_>) -> Result<Tensor> {
        let x = self.resnet.forward(x, Some(time))?;
        match &self.transformer {
            Some(transformer) => transformer.forward(&x, rows),
            None => Ok(x),
        }
    }

    fn keys_values(&self, text: &Tensor, to: &mut Vec<KeysValues>) -> Result<()> {
        self.transformer.as_ref().map_or(Ok(()), |transformer| transformer.keys_values(text, to))
    }
}
