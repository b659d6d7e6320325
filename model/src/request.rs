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
    /// Over 0 and at most 1: which share of the steps is done.
    pub strength: f64,
}

/// A request of one or more images. Image `i` uses the seed `seed + i`.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub conditioning: Conditioning,
    pub seed: u64,
    /// Whose random numbers the noise is made of.
    pub noise_source: NoiseSource,
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
}

/// What a request costs, and with whom it may share model calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Model calls for each image.
    pub calls: u32,
    /// Rows of each call that each image takes.
    pub rows: u32,
    /// Height and width of the tensor that is denoised.
    pub tensor_height: u32,
    pub tensor_width: u32,
    /// Tokens of the text that each row is conditioned on; 0 without text. Rows of one call have as many.
    pub context: u32,
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
            SamplerError::OutputLength { .. } | SamplerError::Finished => "sampler",
        };
        Self { field, message: error.to_string() }
    }
}
