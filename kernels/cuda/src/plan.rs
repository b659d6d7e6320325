//! Which launches compute an operation.

mod attention;
mod conv2d;
mod norm;
mod pointwise;
mod sampler;

pub use attention::{AttentionShape, Mask, attention};
pub use conv2d::{Addend, Conv2dShape, Epilogue, conv2d, linear};
pub use norm::{GroupNormShape, group_norm, layer_norm};
pub use pointwise::{activate, add_per_channel, concatenate, geglu};
pub use sampler::{Bound, MAX_TERMS, combine, latent_colors, place_input, restore, restore_deviation, to_bytes, widen};
