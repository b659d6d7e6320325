//! The second pass of an image, at a larger size.

use candle_core::Tensor;

use super::components::Networks;
use super::conditions::Conditions;
use super::interpolate::{Method, interpolate};
use super::latents::Codec;
use super::start::picture_in_size;
use crate::error::StepError;
use crate::generator::Generator;
use crate::layout::channel_first;
use crate::noise::Seeds;
use crate::picture::Picture;
use crate::request::Upscaler;
use crate::sampler::{Sampler, SamplerState};

/// What a request says about its second pass.
#[derive(Clone, Debug)]
pub(super) struct SecondPass {
    pub(super) codec: Codec,
    pub(super) sampler: Sampler,
    pub(super) upscaler: Upscaler,
}

/// The second pass of one image, until it begins.
#[derive(Debug)]
pub(super) struct Enlargement {
    pub(super) pass: SecondPass,
    pub(super) seeds: Seeds,
    pub(super) conditions: Conditions,
}

impl Enlargement {
    /// Begins the second pass with what the first one made. As in AUTOMATIC1111, the noise is the first of the same seed, at the
    /// new size.
    pub(super) fn begin(
        &self,
        networks: &Networks,
        made: &Tensor,
        codec: Codec,
    ) -> std::result::Result<(SamplerState, Generator), StepError> {
        let SecondPass { codec: larger, sampler, upscaler } = &self.pass;
        let latents = match way(*upscaler) {
            Way::Latents(method) => {
                larger.shape.map(&interpolate(&channel_first(made)?, codec.shape, larger.shape, method))?
            }
            Way::Picture(resize) => {
                let scale = networks.vae.scale() as u32;
                let (width, height) = (larger.shape.width as u32 * scale, larger.shape.height as u32 * scale);
                let picture = resize(&codec.decode(networks, made)?, width, height);
                larger.encode_mean(networks, &picture_in_size(&picture, (width, height))?)?
            }
        };
        let mut generator = self.seeds.generator();
        let noise = larger.shape.map(&self.seeds.draw(&mut generator, larger.shape.sides()))?;
        let placement = networks.unet.placement();
        let (latents, noise) = (placement.place_float32(&latents)?, placement.place_float32(&noise)?);
        let state = SamplerState::from_image(sampler.clone(), &latents, &noise)?;
        Ok((state.expecting(latents), generator))
    }
}

/// What is enlarged, and how.
enum Way {
    Latents(Method),
    /// The decoded picture, to a width and a height.
    Picture(fn(&Picture, u32, u32) -> Picture),
}

fn way(upscaler: Upscaler) -> Way {
    match upscaler {
        Upscaler::Latent => Way::Latents(Method::Linear),
        Upscaler::LatentBicubic => Way::Latents(Method::Cubic { a: -0.75, renormalized: false }),
        Upscaler::LatentBicubicAntialiased => Way::Latents(Method::Cubic { a: -0.5, renormalized: true }),
        Upscaler::LatentNearest => Way::Latents(Method::Nearest { offset: 0.0 }),
        Upscaler::LatentNearestExact => Way::Latents(Method::Nearest { offset: 0.5 }),
        Upscaler::Lanczos => Way::Picture(Picture::resized),
        Upscaler::Nearest => Way::Picture(Picture::nearest),
    }
}
