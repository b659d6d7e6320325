//! The networks of a model one by one: to measure them, and to compare them with other programs' on the same numbers.

mod call;
mod inputs;
mod tensors;

use crate::autoencoder_kl::AutoencoderKL;
use crate::autoencoder_tiny::AutoencoderTiny;
use crate::clip::ClipTextModel;
use crate::placement::Placement;
use crate::unet_2d::UNet2DModel;
use crate::unet_2d_condition::UNet2DConditionModel;

pub use call::Call;
pub use tensors::Tensors;

/// What a model does with one of its networks on the way to a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// All layers and the final normalisation, for each text.
    TextEncoder,
    /// The same of Stable Diffusion XL's second one.
    TextEncoder2,
    /// One call for all rows: one denoising step.
    Unet,
    /// From latents to a picture.
    VaeDecode,
}

impl Stage {
    /// Every stage, in the order of a picture's way.
    pub const ALL: [Self; 4] = [Self::TextEncoder, Self::TextEncoder2, Self::Unet, Self::VaeDecode];

    /// As files and reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextEncoder => "text_encoder",
            Self::TextEncoder2 => "text_encoder_2",
            Self::Unet => "unet",
            Self::VaeDecode => "vae_decode",
        }
    }
}

/// A network with its weights, by itself. Made by [`Library::network`](crate::Library::network).
#[derive(Debug)]
pub struct Network {
    stage: Stage,
    kind: NetworkKind,
    usual: Usual,
}

/// What a network is usually called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usual {
    /// Width and height in pixels, with the border of models that were trained with one.
    pub(crate) size: (usize, usize),
    /// Pixels for each pixel of the network's map, in either direction.
    pub(crate) scale: usize,
    /// Of a text, for a network that is told one.
    pub(crate) tokens: usize,
}

#[derive(Debug)]
pub(crate) enum NetworkKind {
    Text(Box<ClipTextModel>),
    UNet2D(Box<UNet2DModel>),
    UNet2DCondition(Box<UNet2DConditionModel>),
    Kl(Box<AutoencoderKL>),
    Tiny(Box<AutoencoderTiny>),
}

impl Network {
    /// Where it computes.
    fn placement(&self) -> &Placement {
        match &self.kind {
            NetworkKind::Text(network) => network.placement(),
            NetworkKind::UNet2D(network) => network.placement(),
            NetworkKind::UNet2DCondition(network) => network.placement(),
            // They place what they are given themselves.
            NetworkKind::Kl(network) => network.placement(),
            NetworkKind::Tiny(network) => network.placement(),
        }
    }

    pub(crate) fn new(stage: Stage, kind: NetworkKind, usual: Usual) -> Self {
        Self { stage, kind, usual }
    }
}
