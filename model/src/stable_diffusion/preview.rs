//! Pictures of predictions that are still latents.

use std::sync::OnceLock;

use candle_core::{Result, Tensor};

use super::blueprint::StableDiffusionBlueprint;
use super::components::{AutoencoderConfig, Components, Networks};
use super::cost::Operations;
use super::latents::Codec;
use super::linear::LatentColors;
use super::maps::{LatentShape, map_picture};
use crate::model::PreviewDecoder;
use crate::picture::Picture;

/// A preview by the model's own decoder may take so many operations (some tens of milliseconds on a few cores), or this share of a
/// step's.
const CHEAP_OPERATIONS: f64 = 2e9;
const CHEAP_SHARE: f64 = 0.25;

/// The best decoder that costs little.
pub(super) fn best(components: &Components, shape: LatentShape) -> PreviewDecoder {
    if matches!(components.vae, AutoencoderConfig::Tiny(_)) {
        return PreviewDecoder::Full;
    }
    if components.tiny.is_some() {
        return PreviewDecoder::Tiny;
    }
    let Operations { step, decode } = Operations::of(components, shape);
    let cheap = decode < CHEAP_OPERATIONS || decode < CHEAP_SHARE * step;
    if cheap { PreviewDecoder::Full } else { PreviewDecoder::Linear }
}

/// How a model's predictions are shown.
#[derive(Debug)]
pub(super) struct Previews {
    components: Components,
    /// Known for Stable Diffusion's own autoencoders, otherwise fitted when it is first needed.
    colors: OnceLock<LatentColors>,
}

impl Previews {
    pub(super) fn new(blueprint: &StableDiffusionBlueprint) -> Self {
        let components = blueprint.components().clone();
        let colors = match LatentColors::known(&components) {
            Some(known) => OnceLock::from(known),
            None => OnceLock::new(),
        };
        Self { components, colors }
    }

    /// The picture of latents, a float32 map where the networks are.
    pub(super) fn make(
        &self,
        networks: &Networks,
        codec: Codec,
        latents: &Tensor,
        decoder: PreviewDecoder,
    ) -> Result<Picture> {
        let chosen = if decoder == PreviewDecoder::Auto { best(&self.components, codec.shape) } else { decoder };
        match chosen {
            PreviewDecoder::Auto | PreviewDecoder::Full => codec.decode(networks, latents),
            PreviewDecoder::Linear => self.linear(networks, codec, latents),
            PreviewDecoder::Tiny => match &networks.tiny {
                Some(tiny) => map_picture(&tiny.decode(&(latents / self.tiny_scale())?)?),
                // A model without one shows what costs as little.
                None => self.linear(networks, codec, latents),
            },
        }
    }

    fn linear(&self, networks: &Networks, codec: Codec, latents: &Tensor) -> Result<Picture> {
        let colors = match self.colors.get() {
            Some(colors) => colors,
            None => {
                let fitted = LatentColors::fit(networks, codec)?;
                self.colors.get_or_init(|| fitted)
            }
        };
        map_picture(&colors.apply(latents)?)
    }

    /// What the UNet's latents are divided by to become the small autoencoder's.
    fn tiny_scale(&self) -> f64 {
        self.components.tiny.as_ref().map_or(1.0, |tiny| tiny.scaling_factor)
    }
}
