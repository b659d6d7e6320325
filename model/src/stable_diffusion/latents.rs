//! Between pictures and the latents that the network works on, by the model's own autoencoder.

use candle_core::{Device, Result, Tensor};

use super::components::{Autoencoder, Kind, Networks};
use super::maps::{LatentShape, map_picture};
use crate::autoencoder_kl::{AutoencoderKL, AutoencoderKLConfig};
use crate::generator::Generator;
use crate::picture::Picture;

/// How the autoencoder is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Codec {
    pub(super) kind: Kind,
    pub(super) shape: LatentShape,
    /// Whether large pictures are cut into tiles, for lack of memory.
    pub(super) tiled: bool,
}

/// Which of diffusers' pipelines asks for latents: they differ in how they normalise Stable Diffusion XL's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Normalization {
    /// By mean and standard deviation, where the autoencoder states them.
    Full,
    /// By the scaling factor alone.
    ScalingFactor,
}

impl Codec {
    /// Latents of a picture, which is `(1, h, w, channels)` in -1..=1, on the processor. An `AutoencoderKL` draws noise for them.
    pub(super) fn encode(
        self,
        networks: &Networks,
        picture: &Tensor,
        generator: &mut Generator,
        normalization: Normalization,
    ) -> Result<Tensor> {
        match &networks.vae {
            Autoencoder::Tiny(vae) => vae.encode(picture)? * vae.config().scaling_factor,
            Autoencoder::Kl(vae) => {
                let distribution = if self.tiled { vae.encode_tiled(picture)? } else { vae.encode(picture)? };
                let noise = self.shape.map(&generator.draw(self.shape.len()))?;
                self.normalized(vae, &distribution.sample(&noise)?, normalization)
            }
        }
    }

    /// The most likely latents of a picture, as [`Self::encode`].
    pub(super) fn encode_mean(self, networks: &Networks, picture: &Tensor) -> Result<Tensor> {
        match &networks.vae {
            Autoencoder::Tiny(vae) => vae.encode(picture)? * vae.config().scaling_factor,
            Autoencoder::Kl(vae) => {
                let distribution = if self.tiled { vae.encode_tiled(picture)? } else { vae.encode(picture)? };
                self.normalized(vae, &distribution.mean, Normalization::Full)
            }
        }
    }

    fn normalized(self, vae: &AutoencoderKL, latents: &Tensor, normalization: Normalization) -> Result<Tensor> {
        let factor = vae.config().scaling_factor;
        match statistics(vae.config(), self.kind, latents.device())? {
            Some((mean, std)) if normalization == Normalization::Full => {
                (latents.broadcast_sub(&mean)? * factor)?.broadcast_div(&std)
            }
            _ => latents * factor,
        }
    }

    /// The picture of latents, a float32 map of any device.
    pub(super) fn decode(self, networks: &Networks, latents: &Tensor) -> Result<Picture> {
        let map = match &networks.vae {
            Autoencoder::Tiny(vae) => vae.decode(&(latents / vae.config().scaling_factor)?)?,
            Autoencoder::Kl(vae) => {
                let factor = vae.config().scaling_factor;
                let latents = match statistics(vae.config(), self.kind, latents.device())? {
                    Some((mean, std)) => (latents.broadcast_mul(&std)? / factor)?.broadcast_add(&mean)?,
                    None => (latents / factor)?,
                };
                if self.tiled { vae.decode_tiled(&latents)? } else { vae.decode(&latents)? }
            }
        };
        map_picture(&map)
    }
}

/// Mean and standard deviation of each latent channel, which the pipelines of Stable Diffusion 1 and 2 ignore.
fn statistics(config: &AutoencoderKLConfig, kind: Kind, device: &Device) -> Result<Option<(Tensor, Tensor)>> {
    let row = |values: &[f64]| {
        Tensor::from_vec(values.iter().map(|x| *x as f32).collect::<Vec<_>>(), (1, 1, 1, values.len()), device)
    };
    match (kind, &config.latents_mean, &config.latents_std) {
        (Kind::StableDiffusionXl { .. }, Some(mean), Some(std)) => Ok(Some((row(mean)?, row(std)?))),
        (Kind::StableDiffusion | Kind::StableDiffusionXl { .. }, _, _) => Ok(None),
    }
}
