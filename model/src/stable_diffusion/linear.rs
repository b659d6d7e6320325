//! The cheapest picture of latents: each latent pixel becomes one pixel, whose colour is a linear function of its channels.

use candle_core::{Result, Tensor};
use x0_kernels::latent_colors;

use super::components::{AutoencoderConfig, Components, Networks};
use super::latents::Codec;
use super::maps::{LatentShape, picture_map};
use crate::generator::{Generator, NoiseSource};
use crate::layout::numbers;
use crate::picture::{Channels, Picture};

/// Shape of Stable Diffusion's own autoencoders.
const CHANNELS: [usize; 4] = [128, 256, 512, 512];
/// Width and height of the latents that a fit is made with.
const FIT_SIZE: usize = 16;
/// Width and height of the random colours that are enlarged to the picture of a fit.
const FIT_SPOTS: u32 = 6;

/// For each colour: a factor for each latent channel, then a constant. Colours are in -1..=1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LatentColors([Vec<f32>; 3]);

impl LatentColors {
    /// The colours of Stable Diffusion's own autoencoders, which are told by their shapes and scaling factors.
    pub(super) fn known(components: &Components) -> Option<Self> {
        let AutoencoderConfig::Kl(vae) = &components.vae else { return None };
        let own = vae.block_out_channels == CHANNELS && vae.latent_channels == 4;
        match vae.scaling_factor {
            0.18215 if own => Some(Self::stable_diffusion()),
            0.13025 if own => Some(Self::stable_diffusion_xl()),
            _ => None,
        }
    }

    /// <https://discuss.huggingface.co/t/decoding-latents-to-rgb-without-upscaling/23204>
    fn stable_diffusion() -> Self {
        Self([
            vec![0.298, 0.187, -0.158, -0.184, 0.0],
            vec![0.207, 0.286, 0.189, -0.271, 0.0],
            vec![0.208, 0.173, 0.264, -0.473, 0.0],
        ])
    }

    /// <https://huggingface.co/blog/TimothyAlexisVass/explaining-the-sdxl-latent-space>, for colours in 0..=255.
    fn stable_diffusion_xl() -> Self {
        let rows =
            [[60.0, -60.0, 25.0, -70.0, 150.0], [60.0, -5.0, 15.0, -50.0, 140.0], [60.0, 10.0, -5.0, -35.0, 130.0]];
        Self(rows.map(|row| {
            let scaled = row.map(|x: f32| x / 127.5);
            let [factors @ .., constant] = scaled;
            factors.into_iter().chain([constant - 1.0]).collect()
        }))
    }

    /// The least-squares fit to what the model's own autoencoder makes of a picture of random colours.
    pub(super) fn fit(networks: &Networks, codec: Codec) -> Result<Self> {
        let scale = networks.vae.scale();
        let size = (FIT_SIZE * scale) as u32;
        let mut spots = vec![0.0; (3 * FIT_SPOTS * FIT_SPOTS) as usize];
        Generator::new(NoiseSource::Torch, 0).fill(&mut spots);
        let picture = Picture::from_signed(&spots, FIT_SPOTS, FIT_SPOTS, Channels::Rgb).resized(size, size);
        let shape = LatentShape { height: FIT_SIZE, width: FIT_SIZE, ..codec.shape };
        let latents = Codec { shape, tiled: false, ..codec }.encode_mean(networks, &picture_map(&picture)?)?;
        let latents = numbers(&latents)?;
        let small = picture.resized(FIT_SIZE as u32, FIT_SIZE as u32);
        let colors: Vec<f64> = small.bytes.iter().map(|value| f64::from(*value) / 127.5 - 1.0).collect();
        let sample = |pixel: &[f32]| pixel.iter().map(|x| f64::from(*x)).chain([1.0]).collect();
        let samples: Vec<Vec<f64>> = latents.chunks_exact(shape.channels).map(sample).collect();
        let of_color = |color: usize| {
            let targets: Vec<f64> = colors.iter().skip(color).step_by(3).copied().collect();
            least_squares(&samples, &targets).into_iter().map(|x| x as f32).collect()
        };
        Ok(Self([of_color(0), of_color(1), of_color(2)]))
    }

    /// The colours `(1, height, width, 3)` of latents `(1, height, width, channels)`.
    pub(super) fn apply(&self, latents: &Tensor) -> Result<Tensor> {
        let rows = Tensor::from_vec(self.0.concat(), (3, self.0[0].len()), latents.device())?;
        latent_colors(latents, &rows)
    }
}

/// The factors with which `samples` come closest to `targets`, by the normal equations. Where they do not decide, a little
/// weight on the squares of the factors does.
fn least_squares(samples: &[Vec<f64>], targets: &[f64]) -> Vec<f64> {
    let n = samples.first().map_or(0, Vec::len);
    let product = |i: usize, j: usize| samples.iter().map(|sample| sample[i] * sample[j]).sum::<f64>();
    let target = |i: usize| samples.iter().zip(targets).map(|(sample, target)| sample[i] * target).sum::<f64>();
    let mut rows: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| product(i, j)).chain([target(i)]).collect()).collect();
    let weight = 1e-6 * (0..n).map(|i| rows[i][i]).sum::<f64>() / n as f64;
    (0..n).for_each(|i| rows[i][i] += weight);
    // The matrix is positive definite, so the elimination needs no exchange of rows.
    for i in 0..n {
        let pivot = rows[i].clone();
        for row in rows.iter_mut().skip(i + 1) {
            let factor = row[i] / pivot[i];
            row.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
        }
    }
    let mut factors = vec![0.0; n];
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| rows[i][j] * factors[j]).sum();
        factors[i] = (rows[i][n] - known) / rows[i][i];
    }
    factors
}

#[cfg(test)]
mod tests {
    use super::{LatentColors, LatentShape, least_squares, numbers};

    #[test]
    fn a_linear_function_is_found_again() {
        let samples: Vec<Vec<f64>> = (0..20).map(|i| vec![f64::from(i).sin(), f64::from(i * i).cos(), 1.0]).collect();
        let targets: Vec<f64> = samples.iter().map(|s| 0.5 * s[0] - 2.0 * s[1] + 0.25).collect();
        let factors = least_squares(&samples, &targets);
        for (factor, expected) in factors.iter().zip([0.5, -2.0, 0.25]) {
            assert!((factor - expected).abs() < 1e-4, "{factors:?}");
        }
    }

    #[test]
    fn colors_are_sums_over_channels() {
        let latents = LatentShape { channels: 4, height: 1, width: 2 }.map(&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let colors =
            LatentColors::stable_diffusion_xl().apply(&latents.unwrap()).and_then(|map| numbers(&map)).unwrap();
        let expected = [150.0, 140.0, 130.0, 210.0, 200.0, 190.0].map(|x| x / 127.5 - 1.0);
        assert!(colors.iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-6), "{colors:?}");
    }
}
