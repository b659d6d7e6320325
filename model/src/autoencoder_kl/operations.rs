//! What decoding computes, from the configuration alone.

use super::AutoencoderKLConfig;
use crate::operations::{attention, convolution, linear, resnet};

impl AutoencoderKLConfig {
    /// Floating-point operations of decoding one picture's latents of `height` × `width`.
    pub fn decode_operations(&self, (height, width): (usize, usize)) -> f64 {
        let last = self.block_out_channels.len() - 1;
        let innermost = self.block_out_channels[last];
        let area = height * width;
        let quant = if self.use_post_quant_conv {
            convolution(area, 1, self.latent_channels, self.latent_channels)
        } else {
            0.0
        };
        let own = if self.mid_block_add_attention {
            4.0 * linear(area, innermost, innermost) + attention(area, area, innermost)
        } else {
            0.0
        };
        let mid = 2.0 * resnet(area, innermost, innermost) + own;
        let of_level = |(i, &to): (usize, &usize)| {
            let (from, area) = (self.block_out_channels[(i + 1).min(last)], area << (2 * (last - i)));
            let further = self.layers_per_block as f64 * resnet(area, to, to);
            let upsampler = if i > 0 { convolution(4 * area, 3, to, to) } else { 0.0 };
            resnet(area, from, to) + further + upsampler
        };
        let levels: f64 = self.block_out_channels.iter().enumerate().map(of_level).sum();
        let out = convolution(area << (2 * last), 3, self.block_out_channels[0], self.out_channels);
        quant + convolution(area, 3, self.latent_channels, innermost) + mid + levels + out
    }
}

#[cfg(test)]
mod tests {
    use super::AutoencoderKLConfig;
    use crate::shape::SD_VAE;

    #[test]
    fn stable_diffusion_at_512_pixels_takes_2515_gigaflop() {
        let config = AutoencoderKLConfig::parse("vae", SD_VAE).unwrap();
        for (size, known, within) in [(64, 2515.0, 1.0), (128, 10470.0, 4.0), (32, 622.0, 1.0)] {
            let gigaflop = config.decode_operations((size, size)) / 1e9;
            assert!((gigaflop - known).abs() < within, "{size}: {gigaflop}");
        }
    }
}
