//! Where an image starts: from noise, from a picture, or from a picture with a hole. The random numbers are drawn in the order of
//! diffusers' pipelines, which later steps depend on, too.

use candle_core::{D, Device, Result, Tensor};
use x0_kernels::restore;

use super::components::Networks;
use super::latents::{Codec, Normalization};
use super::maps::picture_map;
use crate::error::StepError;
use crate::generator::Generator;
use crate::noise::Seeds;
use crate::picture::Picture;
use crate::request::MaskFill;
use crate::sampler::{Noising, Sampler, SamplerState};

/// What a request starts from, in the request's size.
#[derive(Debug)]
pub(super) enum StartFrom {
    Noise,
    Picture(Tensor),
    /// A picture whose masked parts are made anew.
    Masked(MaskedPicture),
}

/// A picture with a hole.
#[derive(Debug)]
pub(super) struct MaskedPicture {
    pub(super) picture: Tensor,
    pub(super) mask: Mask,
    /// Whether the network sees the mask and the rest of the picture; otherwise the rest is put back after every step.
    pub(super) seen: bool,
    /// At full strength the first sample is noise alone.
    pub(super) full_strength: bool,
    pub(super) fill: MaskFill,
}

/// Which pixels are made anew: 1 there, 0 elsewhere.
#[derive(Debug)]
pub(super) struct Mask {
    pixels: Vec<f32>,
    width: usize,
    height: usize,
}

/// The first sample of an image, and what an inpainted one needs at every step.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) state: SamplerState,
    /// Further channels of the network's input, `(1, height, width, further)`: mask and latents of the masked picture.
    pub(super) input: Option<Tensor>,
    pub(super) kept: Option<Kept>,
}

/// The part of a picture that is not made anew.
#[derive(Debug)]
pub(super) struct Kept {
    /// `(1, height, width, 1)`: 1 where the picture is made anew.
    mask: Tensor,
    latents: Tensor,
    noise: Tensor,
}

impl StartFrom {
    pub(super) fn begin(
        &self,
        networks: &Networks,
        codec: Codec,
        sampler: Sampler,
        seeds: Seeds,
        generator: &mut Generator,
    ) -> std::result::Result<Start, StepError> {
        let placement = networks.unet.placement();
        let draw = |generator: &mut Generator| {
            placement.place_float32(&codec.shape.map(&seeds.draw(generator, codec.shape.sides()))?)
        };
        match self {
            Self::Noise => {
                let state = SamplerState::from_noise(sampler, &draw(generator)?)?;
                Ok(Start { state, input: None, kept: None })
            }
            Self::Picture(picture) => {
                let latents = codec.encode(networks, picture, generator, Normalization::Full)?;
                let latents = placement.place_float32(&latents)?;
                let state = SamplerState::from_image(sampler, &latents, &draw(generator)?)?;
                Ok(Start { state, input: None, kept: None })
            }
            Self::Masked(masked) => masked.begin(networks, codec, sampler, seeds, generator),
        }
    }
}

impl MaskedPicture {
    fn begin(
        &self,
        networks: &Networks,
        codec: Codec,
        sampler: Sampler,
        seeds: Seeds,
        generator: &mut Generator,
    ) -> std::result::Result<Start, StepError> {
        let (shape, placement) = (codec.shape, networks.unet.placement());
        let encode = |picture: &Tensor, generator: &mut Generator| {
            codec.encode(networks, picture, generator, Normalization::ScalingFactor)
        };
        let latents = if self.seen && self.full_strength { None } else { Some(encode(&self.picture, generator)?) };
        let noise = placement.place_float32(&shape.map(&seeds.draw(generator, shape.sides()))?)?;
        let mask = self.mask.shrunk(shape.height, shape.width)?;
        let state = match &latents {
            Some(latents) if !self.full_strength => {
                let filled = placement.place_float32(&self.filled(latents, &mask, seeds, codec)?)?;
                SamplerState::from_image(sampler, &filled, &noise)?
            }
            _ => SamplerState::from_noise(sampler, &noise)?,
        };
        if self.seen {
            let hidden = encode(&self.mask.hide(&self.picture)?, generator)?;
            let input = placement.place_float32(&Tensor::cat(&[&mask, &hidden], D::Minus1)?)?;
            return Ok(Start { state, input: Some(input), kept: None });
        }
        // diffusers encodes the masked picture although this network does not see it: its noise is drawn all the same.
        networks.vae.skip_noise(generator, shape.len());
        let kept = latents.map(|latents| {
            let (mask, latents) = (placement.place_float32(&mask)?, placement.place_float32(&latents)?);
            Ok::<_, candle_core::Error>(Kept { mask, latents, noise })
        });
        Ok(Start { state, input: None, kept: kept.transpose()? })
    }
}

impl MaskedPicture {
    /// The picture's latents, and what the masked part starts from in their place.
    fn filled(&self, latents: &Tensor, mask: &Tensor, seeds: Seeds, codec: Codec) -> Result<Tensor> {
        let fill = match self.fill {
            MaskFill::Picture => return Ok(latents.clone()),
            MaskFill::Noise => codec.shape.map(&seeds.draw(&mut seeds.generator(), codec.shape.sides()))?,
            MaskFill::Nothing => latents.zeros_like()?,
        };
        restore(&fill, mask, latents, latents, (1.0, 0.0))
    }
}

impl Mask {
    /// Half white and more of a picture in the request's size means white.
    pub(super) fn new(picture: &Picture, (width, height): (u32, u32)) -> Self {
        let picture = picture.resized(width, height).to_gray();
        let white = |value: &u8| if f32::from(*value) / 255.0 < 0.5 { 0.0 } else { 1.0 };
        let pixels = picture.bytes.iter().map(white).collect();
        Self { pixels, width: picture.width as usize, height: picture.height as usize }
    }

    /// The nearest pixels of a smaller mask, as torch's `interpolate` picks them: `(1, height, width, 1)`.
    fn shrunk(&self, height: usize, width: usize) -> Result<Tensor> {
        let pick = |i: usize, to: usize, from: usize| ((i as f32 * (from as f32 / to as f32)) as usize).min(from - 1);
        let rows = (0..height).map(|y| pick(y, height, self.height) * self.width);
        let pixels = rows.flat_map(|row| (0..width).map(move |x| self.pixels[row + pick(x, width, self.width)]));
        Tensor::from_vec(pixels.collect::<Vec<f32>>(), (1, height, width, 1), &Device::Cpu)
    }

    /// A picture with middle gray where this mask is white.
    fn hide(&self, picture: &Tensor) -> Result<Tensor> {
        let visible = self.pixels.iter().map(|white| 1.0 - white).collect();
        picture.broadcast_mul(&Tensor::from_vec(visible, (1, self.height, self.width, 1), picture.device())?)
    }
}

impl Kept {
    /// Puts the picture, at the noise level of the next step, back where it is kept. After the last step there is no noise.
    pub(super) fn restore(&self, sample: &Tensor, noising: Option<Noising>) -> Result<Tensor> {
        let Noising { original, noise } = noising.unwrap_or(Noising { original: 1.0, noise: 0.0 });
        restore(sample, &self.mask, &self.latents, &self.noise, (original, noise))
    }
}

/// A picture in the request's size, as a map.
pub(super) fn picture_in_size(picture: &Picture, (width, height): (u32, u32)) -> Result<Tensor> {
    picture_map(&picture.resized(width, height).to_rgb())
}
