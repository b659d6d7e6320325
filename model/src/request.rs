//! What one generation asks of a model: every default filled, every text tokenised.

use std::sync::Arc;

use crate::generator::NoiseSource;
use crate::picture::Picture;
use crate::prompt::Prompt;
use crate::sampler::{SamplerError, SamplerSpec};

/// What the picture shall show.
#[derive(Clone, Debug, PartialEq)]
pub enum Conditioning {
    None,
    /// A label, less than the number of the model's classes.
    Class(u32),
    Text {
        prompt: Prompt,
        negative_prompt: Prompt,
    },
}

/// Where a picture starts from, for image-to-image and inpainting.
#[derive(Clone, Debug, PartialEq)]
pub struct InitImage {
    /// In the size of the request.
    pub picture: Arc<Picture>,
    /// White (255) where the picture is to be made anew; the size of the request, gray.
    pub mask: Option<Arc<Picture>>,
    /// What the masked part starts from.
    pub fill: MaskFill,
    /// Over 0 and at most 1: which share of the steps is done.
    pub strength: f64,
}

/// What lies under the noise in the masked part of a picture, when its steps begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MaskFill {
    /// What the picture shows there.
    #[default]
    Picture,
    /// More noise: the first that is drawn from the image's seed.
    Noise,
    /// Zeros.
    Nothing,
}

/// A second seed whose noise is mixed into that of the first, along a great circle: AUTOMATIC1111's "variation seed".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variation {
    /// Image `i` uses `seed + i` here.
    pub seed: u64,
    /// Over 0, the noise of the first seed, to 1, that of this one.
    pub strength: f64,
}

/// A second pass at a larger size: the picture of the first is enlarged and denoised once more, AUTOMATIC1111's "hires fix".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Highres {
    /// In pixels, at least those of the request.
    pub width: u32,
    pub height: u32,
    /// Model steps of the second pass. They end a schedule of so many more that they are `strength` of all.
    pub steps: u32,
    /// Over 0 and at most 1.
    pub strength: f64,
    pub upscaler: Upscaler,
}

/// How a picture is enlarged between two passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Upscaler {
    /// Latents, linearly; the others of latents by the methods of torch's `interpolate`.
    #[default]
    Latent,
    LatentBicubic,
    /// With the coefficients that torch takes when it is asked for antialiasing.
    LatentBicubicAntialiased,
    LatentNearest,
    LatentNearestExact,
    /// The decoded picture, by Lanczos' filter.
    Lanczos,
    /// The decoded picture, by its nearest pixels.
    Nearest,
}

/// A request of one or more images. Image `i` uses the seed `seed + i`, or, with a [`Variation`], `seed` itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub conditioning: Conditioning,
    pub seed: u64,
    /// Whose random numbers the noise is made of.
    pub noise_source: NoiseSource,
    pub variation: Option<Variation>,
    pub width: u32,
    pub height: u32,
    pub steps: u32,
    pub guidance_scale: f64,
    /// 0 for none; Lin et al. 2023, section 3.4.
    pub guidance_rescale: f64,
    pub sampler: SamplerSpec,
    /// How many of the text encoder's last layers to leave out, as diffusers counts them.
    pub clip_skip: Option<u32>,
    pub init: Option<InitImage>,
    pub highres: Option<Highres>,
}

/// What a request costs, and with whom it may share model calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Model calls for each image, of its first pass.
    pub calls: u32,
    /// Rows of each call that each image takes.
    pub rows: u32,
    /// Height and width of the tensor that is denoised.
    pub tensor_height: u32,
    pub tensor_width: u32,
    /// Tokens of the text that each row is conditioned on; 0 without text. Rows of one call have as many.
    pub context: u32,
    /// Of a request with [`Highres`].
    pub second_pass: Option<SecondPass>,
}

/// What each image costs after its first pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondPass {
    pub calls: u32,
    pub tensor_height: u32,
    pub tensor_width: u32,
}

impl Cost {
    /// Model calls for each image, of both passes.
    pub fn all_calls(&self) -> u32 {
        self.calls + self.second_pass.map_or(0, |second| second.calls)
    }
}

/// A request that a model cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct RequestError {
    /// The request's field, as it is named on the wire.
    pub field: &'static str,
    pub message: String,
}

impl From<SamplerError> for RequestError {
    /// Names the field that has to change.
    fn from(error: SamplerError) -> Self {
        let field = match &error {
            SamplerError::UnknownSampler { .. } | SamplerError::Config(_) => "sampler",
            SamplerError::Unsupported { option, .. } => option,
            SamplerError::Eta { .. } => "eta",
            SamplerError::Strength { .. } => "strength",
            SamplerError::Steps { .. } | SamplerError::NotFinite { .. } => "steps",
            // Not about making a sampler, but about stepping it.
            SamplerError::OutputChannels { .. } | SamplerError::Finished => "sampler",
        };
        Self { field, message: error.to_string() }
    }
}
