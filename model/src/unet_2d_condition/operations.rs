//! What a network call computes, from the configuration alone.

use super::config::{Block, ClassConfig, Level, UNet2DConditionConfig};
use crate::nn::TimeScaleShift;
use crate::operations::{attention, convolution, linear, resnet};

/// Height and width.
type Size = (usize, usize);

impl UNet2DConditionConfig {
    /// Floating-point operations of a call for one row of `height` × `width` latents and a text of so many tokens. The keys and values
    /// of the text are counted, as diffusers computes them in every call.
    pub fn operations(&self, (height, width): Size, tokens: usize) -> f64 {
        let mut sizes = vec![(height, width)];
        while sizes.len() < self.levels.len() {
            sizes.push(self.halved(sizes[sizes.len() - 1]));
        }
        let last = self.levels.len() - 1;
        let walk = Walk { config: self, tokens };
        let levels = self.levels.iter().enumerate().map(|(i, level)| {
            let (before, after) = (self.levels[i.saturating_sub(1)].channels, self.levels[(i + 1).min(last)].channels);
            let mut sum = walk.down(level, before, sizes[i]) + walk.up(level, before, after, sizes[i]);
            if i < last {
                sum += convolution(area(sizes[i + 1]), 3, level.channels, level.channels);
            }
            if i > 0 {
                sum += convolution(area(sizes[i - 1]), 3, level.channels, level.channels);
            }
            sum
        });
        let (first, channels) = (area((height, width)), self.levels[0].channels);
        levels.sum::<f64>()
            + self.mid.as_ref().map_or(0.0, |mid| walk.mid(mid, sizes[last]))
            + convolution(first, self.conv_in_kernel, self.in_channels, channels)
            + convolution(first, self.conv_out_kernel, channels, self.out_channels)
            + self.embedding_operations()
            + self.encoder_hid_dim.map_or(0.0, |from| linear(tokens, from, self.levels[0].cross_attention_dim))
    }

    fn halved(&self, (height, width): Size) -> Size {
        let half = |size: usize| if self.downsample_padding == 0 { size / 2 } else { size.div_ceil(2) };
        (half(height), half(width))
    }

    fn embedding_operations(&self) -> f64 {
        let (inputs, outputs) = (self.time.inputs, self.time.outputs);
        let two_layers = |from| linear(1, from, outputs) + linear(1, outputs, outputs);
        let class = match self.class {
            ClassConfig::None | ClassConfig::Table(_) | ClassConfig::Identity => 0.0,
            ClassConfig::Timestep => two_layers(inputs),
            ClassConfig::Projection(from) => two_layers(from),
            ClassConfig::SimpleProjection(from) => linear(1, from, outputs),
        };
        let guidance = self.time.cond_proj_dim.map_or(0.0, |from| linear(1, from, inputs));
        two_layers(inputs) + class + guidance + self.added.map_or(0.0, |added| two_layers(added.inputs))
    }
}

struct Walk<'a> {
    config: &'a UNet2DConditionConfig,
    tokens: usize,
}

impl Walk<'_> {
    fn down(&self, level: &Level, before: usize, size: Size) -> f64 {
        let layer = |i| self.layer(level, &level.down, i, if i == 0 { before } else { level.channels }, size);
        (0..level.layers).map(layer).sum()
    }

    fn up(&self, level: &Level, before: usize, after: usize, size: Size) -> f64 {
        let layer = |i| {
            let from = if i == 0 { after } else { level.channels };
            let skip = if i == level.layers { before } else { level.channels };
            self.layer(level, &level.up, i, from + skip, size)
        };
        (0..=level.layers).map(layer).sum()
    }

    fn mid(&self, block: &Block, size: Size) -> f64 {
        let level = self.config.innermost();
        let first = self.layer(level, block, 0, level.channels, size);
        match block {
            Block::Plain => first,
            Block::Transformer { .. } => first + self.resnet(area(size), level.channels, level.channels),
        }
    }

    fn layer(&self, level: &Level, block: &Block, index: usize, from: usize, size: Size) -> f64 {
        let area = area(size);
        let transformer = match block {
            Block::Plain => 0.0,
            Block::Transformer { depths, only_cross_attention } => {
                self.transformer(level, area, depths[index], *only_cross_attention)
            }
        };
        self.resnet(area, from, level.channels) + transformer
    }

    fn resnet(&self, area: usize, from: usize, to: usize) -> f64 {
        let projected = match self.config.time_scale_shift {
            TimeScaleShift::Default => to,
            TimeScaleShift::ScaleShift => 2 * to,
        };
        resnet(area, from, to) + linear(1, self.config.time_channels(), projected)
    }

    fn transformer(&self, level: &Level, area: usize, depth: usize, only_cross_attention: bool) -> f64 {
        let inner = level.channels / level.heads * level.heads;
        let queries_and_output = 2.0 * linear(area, inner, inner);
        let own = queries_and_output + 2.0 * linear(area, inner, inner) + attention(area, area, inner);
        let keys_and_values = 2.0 * linear(self.tokens, level.cross_attention_dim, inner);
        let cross = queries_and_output + keys_and_values + attention(area, self.tokens, inner);
        let feed_forward = linear(area, inner, 8 * inner) + linear(area, 4 * inner, inner);
        let block = if only_cross_attention { cross } else { own } + cross + feed_forward;
        depth as f64 * block + 2.0 * linear(area, level.channels, inner)
    }
}

fn area((height, width): Size) -> usize {
    height * width
}

#[cfg(test)]
mod tests {
    use super::UNet2DConditionConfig;

    #[test]
    fn stable_diffusion_1_at_512_pixels_takes_803_gigaflop_a_row() {
        let config = UNet2DConditionConfig::parse("unet", r#"{"cross_attention_dim": 768}"#).unwrap();
        let gigaflop = |size| config.operations((size, size), 77) / 1e9;
        for (size, known) in [(64, 803.0), (48, 423.0), (32, 180.0)] {
            assert!((gigaflop(size) - known).abs() < 1.0, "{size}: {}", gigaflop(size));
        }
    }

    #[test]
    fn stable_diffusion_xl_at_1024_pixels_takes_6761_gigaflop_a_row() {
        let config = UNet2DConditionConfig::parse("unet", crate::shape::SDXL_UNET).unwrap();
        let gigaflop = config.operations((128, 128), 77) / 1e9;
        assert!((gigaflop - 6761.0).abs() < 3.0, "{gigaflop}");
    }
}
