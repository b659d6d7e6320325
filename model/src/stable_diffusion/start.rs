//! Where an image starts: from noise, from a picture, or from a picture with a hole. The random numbers are drawn in the order of
//! diffusers' pipelines, which later steps depend on, too.

use candle_core::{Result, Tensor};

use super::components::Networks;
use super::latents::{Codec, Normalization};
use super::maps::picture_map;
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
    /// Further channels of the network's input, pixel after pixel: mask and latents of the masked picture.
    pub(super) input: Option<Vec<f32>>,
    pub(super) kept: Option<Kept>,
}

/// The part of a picture that is not made anew.
#[derive(Debug)]
pub(super) struct Kept {
    /// One number for each latent pixel: 1 where the picture is made anew.
    mask: Vec<f32>,
    latents: Vec<f32>,
    noise: Vec<f32>,
}

impl StartFrom {
    pub(super) fn begin(
        &self,
        networks: &Networks,
        codec: Codec,
        sampler: Sampler,
        seeds: Seeds,
        generator: &mut Generator,
    ) -> Result<Start> {
        match self {
            Self::Noise => {
                let state = SamplerState::from_noise(sampler, seeds.draw(generator, codec.shape.sides()));
                Ok(Start { state, input: None, kept: None })
            }
            Self::Picture(picture) => {
                let latents = codec.encode(networks, picture, generator, Normalization::Full)?;
                let noise = seeds.draw(generator, codec.shape.sides());
                let state = SamplerState::from_image(sampler, &latents, &noise);
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
    ) -> Result<Start> {
        let (shape, encode) = (codec.shape, |picture: &Tensor, generator: &mut Generator| {
            codec.encode(networks, picture, generator, Normalization::ScalingFactor)
        });
        let latents = if self.seen && self.full_strength { None } else { Some(encode(&self.picture, generator)?) };
        let noise = seeds.draw(generator, shape.sides());
        let mask = self.mask.shrunk(shape.height, shape.width);
        let state = match &latents {
            Some(latents) if !self.full_strength => {
                SamplerState::from_image(sampler, &self.filled(latents, &mask, seeds, codec), &noise)
            }
            _ => SamplerState::from_noise(sampler, noise.clone()),
        };
        if self.seen {
            let hidden = encode(&self.mask.hide(&self.picture)?, generator)?;
            return Ok(Start { state, input: Some(seen_channels(&mask, &hidden, shape.area())), kept: None });
        }
        // diffusers encodes the masked picture although this network does not see it: its noise is drawn all the same.
        networks.vae.skip_noise(generator, shape.len());
        let kept = latents.map(|latents| Kept { mask, latents, noise });
        Ok(Start { state, input: None, kept })
    }
}

impl MaskedPicture {
    /// The picture's latents, and what the masked part starts from in their place.
    fn filled(&self, latents: &[f32], mask: &[f32], seeds: Seeds, codec: Codec) -> Vec<f32> {
        let fill = match self.fill {
            MaskFill::Picture => return latents.to_vec(),
            MaskFill::Noise => seeds.draw(&mut seeds.generator(), codec.shape.sides()),
            MaskFill::Nothing => vec![0.0; latents.len()],
        };
        let values = latents.iter().zip(fill).zip(mask.iter().cycle());
        values.map(|((latent, fill), white)| if *white == 0.0 { *latent } else { fill }).collect()
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

    /// The nearest pixels of a smaller mask, as torch's `interpolate` picks them.
    fn shrunk(&self, height: usize, width: usize) -> Vec<f32> {
        let pick = |i: usize, to: usize, from: usize| ((i as f32 * (from as f32 / to as f32)) as usize).min(from - 1);
        let rows = (0..height).map(|y| pick(y, height, self.height) * self.width);
        rows.flat_map(|row| (0..width).map(move |x| self.pixels[row + pick(x, width, self.width)])).collect()
    }

    /// A picture with middle gray where this mask is white.
    fn hide(&self, picture: &Tensor) -> Result<Tensor> {
        let visible = self.pixels.iter().map(|white| 1.0 - white).collect();
        picture.broadcast_mul(&Tensor::from_vec(visible, (1, self.height, self.width, 1), picture.device())?)
    }
}

/// The mask and the masked picture's latents, pixel after pixel.
fn seen_channels(mask: &[f32], latents: &[f32], area: usize) -> Vec<f32> {
    let pixel =
        |(i, white): (usize, &f32)| std::iter::once(*white).chain(latents.iter().skip(i).step_by(area).copied());
    mask.iter().enumerate().flat_map(pixel).collect()
}

impl Kept {
    /// Puts the picture, at the noise level of the next step, back where it is kept. After the last step there is no noise.
    pub(super) fn restore(&self, sample: &mut [f32], noising: Option<Noising>) {
        let Noising { original, noise } = noising.unwrap_or(Noising { original: 1.0, noise: 0.0 });
        for (i, value) in sample.iter_mut().enumerate() {
            if self.mask[i % self.mask.len()] == 0.0 {
                *value = original * self.latents[i] + noise * self.noise[i];
            }
        }
    }
}

/// A picture in the request's size, as a map.
pub(super) fn picture_in_size(picture: &Picture, (width, height): (u32, u32)) -> Result<Tensor> {
    picture_map(&picture.resized(width, height).to_rgb())
}
