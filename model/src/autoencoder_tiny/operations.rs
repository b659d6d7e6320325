//! What decoding computes, from the configuration alone.

use super::AutoencoderTinyConfig;
use crate::operations::convolution;

impl AutoencoderTinyConfig {
    /// Floating-point operations of decoding one picture's latents of `height` × `width`.
    pub fn decode_operations(&self, (height, width): (usize, usize)) -> f64 {
        let last = self.decoder_block_out_channels.len() - 1;
        let area = |stage: usize| (height * width) << (2 * stage);
        let of_stage = |(i, (&channels, &blocks)): (usize, (&usize, &usize))| {
            let last_of_stage = if i == last {
                convolution(area(i), 3, channels, self.out_channels)
            } else {
                convolution(area(i + 1), 3, channels, channels)
            };
            3.0 * blocks as f64 * convolution(area(i), 3, channels, channels) + last_of_stage
        };
        let stages = self.decoder_block_out_channels.iter().zip(&self.num_decoder_blocks).enumerate();
        let first = convolution(area(0), 3, self.latent_channels, self.decoder_block_out_channels[0]);
        first + stages.map(of_stage).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::AutoencoderTinyConfig;

    #[test]
    fn taesd_at_512_pixels_takes_141_gigaflop() {
        let gigaflop = AutoencoderTinyConfig::default().decode_operations((64, 64)) / 1e9;
        assert!((gigaflop - 141.0).abs() < 1.0, "{gigaflop}");
    }
}
