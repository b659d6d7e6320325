//! diffusers' `AutoencoderKL`: between pictures and latents.

mod blocks;
mod config;
mod decoder;
mod encoder;
mod operations;
mod tiling;

use candle_core::{D, DType, Device, Result, Tensor};

use crate::error::LoadError;
use crate::placement::Placement;
use crate::weights::Weights;
use decoder::Decoder;
use encoder::Encoder;
use tiling::Tiling;

pub use config::AutoencoderKLConfig;

/// The autoencoder of Stable Diffusion. It takes tensors of any device; pictures come out where it computes, latents as float32 on the
/// processor. Pictures are `(n, h, w, channels)` in -1..=1, latents `(n, h, w, latent channels)`, not
/// yet multiplied by the scaling factor.
#[derive(Debug)]
pub struct AutoencoderKL {
    encoder: Encoder,
    decoder: Decoder,
    config: AutoencoderKLConfig,
    placement: Placement,
}

/// A normal distribution with independent elements, which a picture is encoded to.
#[derive(Clone, Debug)]
pub struct DiagonalGaussian {
    pub mean: Tensor,
    /// Logarithm of the variance, within -30..=20.
    pub logvar: Tensor,
}

impl DiagonalGaussian {
    /// The value for standard normal `noise` of the mean's shape.
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        &self.mean + ((&self.logvar * 0.5)?.exp()? * noise)?
    }
}

impl AutoencoderKL {
    /// Reads the weights of `vae/diffusion_pytorch_model.safetensors`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape than the configuration says; the message has its name.
    pub fn new(weights: &Weights, config: &AutoencoderKLConfig) -> std::result::Result<Self, LoadError> {
        let (encoder, decoder) = (Encoder::new(weights, config)?, Decoder::new(weights, config)?);
        Ok(Self { encoder, decoder, config: config.clone(), placement: weights.placement().clone() })
    }

    /// Where it computes.
    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What the autoencoder was made from.
    pub fn config(&self) -> &AutoencoderKLConfig {
        &self.config
    }

    /// The distribution of a picture's latents.
    pub fn encode(&self, x: &Tensor) -> Result<DiagonalGaussian> {
        self.distribution(&self.encoder.forward(&self.placement.place(x)?)?)
    }

    /// [`Self::encode`] of one picture in tiles of the size that the autoencoder was trained for, so that memory does not grow
    /// with the picture. A picture that is no larger than a tile is encoded as a whole.
    pub fn encode_tiled(&self, x: &Tensor) -> Result<DiagonalGaussian> {
        let (latent, sample) = self.tile_sizes();
        if !larger(x, sample)? {
            return self.encode(x);
        }
        let x = self.placement.place(x)?;
        self.distribution(&Tiling::new(sample, latent).run(&x, |tile| self.encoder.forward(tile))?)
    }

    /// The pictures of latents.
    pub fn decode(&self, z: &Tensor) -> Result<Tensor> {
        self.decoder.forward(&self.placement.place(z)?)
    }

    /// [`Self::decode`] of one picture's latents in tiles, as [`Self::encode_tiled`].
    pub fn decode_tiled(&self, z: &Tensor) -> Result<Tensor> {
        let (latent, sample) = self.tile_sizes();
        if !larger(z, latent)? {
            return self.decode(z);
        }
        Tiling::new(latent, sample).run(&self.placement.place(z)?, |tile| self.decoder.forward(tile))
    }

    /// Of tiles of latents and of pictures.
    fn tile_sizes(&self) -> (usize, usize) {
        (self.config.tile_size(), self.config.sample_size.height)
    }

    fn distribution(&self, parameters: &Tensor) -> Result<DiagonalGaussian> {
        let c = self.config.latent_channels;
        let parameters = parameters.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
        let part = |at| parameters.narrow(D::Minus1, at, c)?.contiguous();
        Ok(DiagonalGaussian { mean: part(0)?, logvar: part(c)?.clamp(-30f32, 20f32)? })
    }
}

/// Whether a map is higher or wider than `size`.
fn larger(x: &Tensor, size: usize) -> Result<bool> {
    let (_, h, w, _) = x.dims4()?;
    Ok(h > size || w > size)
}
