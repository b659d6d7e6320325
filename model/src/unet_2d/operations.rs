//! What a network call computes, from the configuration alone.

use super::config::{BlockType, ClassEmbedType, ResampleType, TimeEmbeddingType, UNet2DConfig};
use crate::nn::TimeScaleShift;
use crate::operations::{attention, convolution, linear, resnet};

impl UNet2DConfig {
    /// Floating-point operations of a call for one row of `height` × `width` pixels, multiples of [`Self::size_multiple`].
    pub fn operations(&self, (height, width): (usize, usize)) -> f64 {
        let last = self.block_out_channels.len() - 1;
        let area = |level: usize| (height >> level) * (width >> level);
        let levels = self.block_out_channels.iter().enumerate().map(|(i, &channels)| {
            let before = self.block_out_channels[i.saturating_sub(1)];
            let after = self.block_out_channels[(i + 1).min(last)];
            let (down, up) = (self.down_block_types[i], self.up_block_types[last - i]);
            let on_the_way_down = (0..self.layers_per_block).map(|layer| {
                let from = if layer == 0 { before } else { channels };
                self.layer(down, area(i), from, channels)
            });
            let on_the_way_up = (0..=self.layers_per_block).map(|layer| {
                let from = if layer == 0 { after } else { channels };
                let skip = if layer == self.layers_per_block { before } else { channels };
                self.layer(up, area(i), from + skip, channels)
            });
            let mut sum: f64 = on_the_way_down.sum::<f64>() + on_the_way_up.sum::<f64>();
            if i < last {
                sum += self.resampler(down, self.downsample_type, area(i + 1), channels);
            }
            if i > 0 {
                sum += self.resampler(up, self.upsample_type, area(i - 1), channels);
            }
            sum
        });
        let (first, innermost) = (self.block_out_channels[0], self.block_out_channels[last]);
        let mid = if self.mid_block {
            let attention = if self.add_attention { self_attention(area(last), innermost) } else { 0.0 };
            2.0 * self.resnet(area(last), innermost, innermost) + attention
        } else {
            0.0
        };
        levels.sum::<f64>()
            + mid
            + convolution(area(0), 3, self.in_channels, first)
            + convolution(area(0), 3, first, self.out_channels)
            + self.embedding_operations()
    }

    fn embedding_operations(&self) -> f64 {
        let (first, outputs) = (self.block_out_channels[0], self.time_embed_dim());
        let inputs = match self.time_embedding_type {
            TimeEmbeddingType::Positional | TimeEmbeddingType::Learned => first,
            TimeEmbeddingType::Fourier => 2 * first,
        };
        let two_layers = linear(1, inputs, outputs) + linear(1, outputs, outputs);
        let class = match self.class_embed_type {
            ClassEmbedType::Table | ClassEmbedType::Identity => 0.0,
            ClassEmbedType::Timestep => two_layers,
        };
        two_layers + class
    }

    fn layer(&self, block: BlockType, area: usize, from: usize, to: usize) -> f64 {
        let attention = match block {
            BlockType::Plain => 0.0,
            BlockType::Attention => self_attention(area, to),
        };
        self.resnet(area, from, to) + attention
    }

    fn resnet(&self, area: usize, from: usize, to: usize) -> f64 {
        let projected = match self.resnet_time_scale_shift {
            TimeScaleShift::Default => to,
            TimeScaleShift::ScaleShift => 2 * to,
        };
        resnet(area, from, to) + linear(1, self.time_embed_dim(), projected)
    }

    /// `area` is the output's.
    fn resampler(&self, block: BlockType, resample: ResampleType, area: usize, channels: usize) -> f64 {
        match (block, resample) {
            (BlockType::Attention, ResampleType::Resnet) => self.resnet(area, channels, channels),
            (BlockType::Plain, _) | (BlockType::Attention, ResampleType::Conv) => {
                convolution(area, 3, channels, channels)
            }
        }
    }
}

fn self_attention(area: usize, channels: usize) -> f64 {
    4.0 * linear(area, channels, channels) + attention(area, area, channels)
}
