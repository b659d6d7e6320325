//! What a model is and can do, known without its weights.

use crate::sampler::SamplerSpec;

/// What a model takes as its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelKind {
    Unconditional,
    ClassConditional,
    TextToImage,
}

/// Sizes in pixels that a model makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRule {
    pub default_width: u32,
    pub default_height: u32,
    /// Width and height must be multiples of it.
    pub multiple: u32,
    /// Whether only the default size is possible, as for pixel-space models.
    pub fixed: bool,
}

/// What a request gets that does not say otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    pub steps: u32,
    pub guidance_scale: f64,
    pub sampler: SamplerSpec,
}

/// A model's description.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    /// Its folder's name, or the name of the embedded model.
    pub name: String,
    pub kind: ModelKind,
    /// Names of the classes in label order; empty unless class-conditional.
    pub classes: Vec<String>,
    /// Whether the model can be guided: text-to-image models can, class-conditional ones when they have a label for "no class".
    pub guidable: bool,
    /// Whether `init_image`, `strength` and `mask_image` mean something to it.
    pub image_to_image: bool,
    pub size: SizeRule,
    pub defaults: Defaults,
    /// Prompts or class names to show a newcomer.
    pub examples: Vec<String>,
    /// A sentence about what it makes.
    pub description: Option<String>,
    /// SPDX identifier of the weights' licence.
    pub license: Option<String>,
    /// Whose work the weights rest on.
    pub attribution: Option<String>,
    /// Whether the weights are compiled into the binary.
    pub embedded: bool,
}
