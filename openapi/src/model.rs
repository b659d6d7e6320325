//! What a server can make, and how.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::{NoiseSchedule, PreviewDecoder, named};

/// Every model, in the shape of OpenAI's list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelList {
    /// Always `list`.
    #[schema(example = "list")]
    pub object: String,
    pub data: Vec<Model>,
}

/// A model: OpenAI's four fields, and what it can do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    #[schema(example = "fashion")]
    pub id: String,
    /// Always `model`.
    #[schema(example = "model")]
    pub object: String,
    /// When this server came to know it, in seconds since 1970.
    pub created: i64,
    /// Always `x0`.
    #[schema(example = "x0")]
    pub owned_by: String,
    /// What it makes.
    pub description: Option<String>,
    /// SPDX identifier of the weights' licence.
    pub license: Option<String>,
    /// Whose work the weights rest on.
    pub attribution: Option<String>,
    pub kind: ModelKind,
    /// Whether it is taken when a request names no model and gives what this kind needs.
    pub default: bool,
    /// The classes' names in order of their index; empty unless class-conditional.
    pub classes: Vec<String>,
    /// Whether `guidance_scale` may be other than 1.
    pub guidable: bool,
    /// Whether it takes `init_image`.
    pub image_to_image: bool,
    pub size: ModelSize,
    pub defaults: ModelDefaults,
    /// What `preview.decoder` may be, besides `auto` and `none`.
    pub preview_decoders: Vec<PreviewDecoder>,
    /// Prompts or classes to begin with.
    pub examples: Vec<String>,
    /// Whether its weights are part of the program.
    pub embedded: bool,
    /// Whether its weights are in memory. They are loaded with the first request.
    pub loaded: bool,
}

named! {
    /// What a model takes.
    ModelKind {
        /// Nothing but a seed.
        Unconditional = "unconditional",
        /// `class_label`.
        ClassConditional = "class_conditional",
        /// `prompt`.
        TextToImage = "text_to_image",
    }
}

/// The sizes that a model makes, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelSize {
    pub default_width: u32,
    pub default_height: u32,
    /// Width and height must be multiples of it.
    pub multiple: u32,
    /// Whether only the default size is possible.
    pub fixed: bool,
}

/// What a request gets that does not say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelDefaults {
    pub steps: u32,
    pub guidance_scale: f64,
    pub sampler: String,
    pub noise_schedule: NoiseSchedule,
}

/// Every sampler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SamplerList {
    /// Always `list`.
    #[schema(example = "list")]
    pub object: String,
    pub data: Vec<Sampler>,
}

/// A numerical method that removes noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sampler {
    /// For `sampler`.
    #[schema(example = "dpmpp_2m")]
    pub name: String,
    /// For people.
    #[schema(example = "DPM++ 2M")]
    pub label: String,
    /// Other names that are understood, besides the label.
    pub aliases: Vec<String>,
    /// The request's fields that it reads, and their values.
    pub options: Vec<SamplerOption>,
}

/// A field of the request that a sampler reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SamplerOption {
    #[schema(example = "noise_schedule")]
    pub name: String,
    pub kind: SamplerOptionKind,
    /// The possible words; empty for numbers.
    pub values: Vec<String>,
}

named! {
    /// What a sampler's option is.
    SamplerOptionKind {
        /// One of `values`.
        Choice = "choice",
        /// A number.
        Number = "number",
    }
}
