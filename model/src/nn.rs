//! Layers and blocks that the networks share, named as in diffusers.
//!
//! Maps are `(batch, height, width, channels)`, sequences `(batch, tokens, channels)`; all is float32. Each constructor takes the
//! [`Weights`] below its own name, and each layer is computed by the kernels, so a row's bits do not depend on its batch.

mod attention;
mod embedding;
mod norm;
mod resample;
mod resnet;

use candle_core::Tensor;
use x0_kernels::{Conv2d, Conv2dOptions, Linear};

use crate::error::LoadError;
use crate::weights::Weights;

pub use attention::{Attention, AttentionConfig};
pub use embedding::{TimestepEmbedding, Timesteps};
pub use norm::{GroupNorm, LayerNorm};
pub use resample::{Downsample2D, Upsample2D, average_pool, repeat_pixels};
pub use resnet::{Resample, ResnetBlock2D, ResnetConfig, TimeScaleShift};

/// A linear layer `weight` `(outputs, inputs)` with a `bias`.
pub fn linear(weights: &Weights, inputs: usize, outputs: usize) -> Result<Linear, LoadError> {
    let (weight, bias) = (weights.get_stored("weight", (outputs, inputs))?, weights.get("bias", outputs)?);
    Ok(Linear::new(&weight, Some(&bias))?)
}

/// A linear layer that is `weight` `(outputs, inputs)` alone.
pub fn linear_without_bias(weights: &Weights, inputs: usize, outputs: usize) -> Result<Linear, LoadError> {
    Ok(Linear::new(&weights.get_stored("weight", (outputs, inputs))?, None)?)
}

/// A convolution `weight` `(outputs, inputs, kernel, kernel)` with a `bias`.
pub fn conv2d(
    weights: &Weights,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    options: Conv2dOptions,
) -> Result<Conv2d, LoadError> {
    let weight = weights.get_stored("weight", (outputs, inputs, kernel, kernel))?;
    Ok(Conv2d::new(&weight, Some(&weights.get("bias", outputs)?), options)?)
}

/// A convolution that is `weight` `(outputs, inputs, kernel, kernel)` alone.
pub fn conv2d_without_bias(
    weights: &Weights,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    options: Conv2dOptions,
) -> Result<Conv2d, LoadError> {
    Ok(Conv2d::new(&weights.get_stored("weight", (outputs, inputs, kernel, kernel))?, None, options)?)
}

/// `x / factor`, where 1 costs nothing.
fn rescale(x: Tensor, factor: f64) -> candle_core::Result<Tensor> {
    if factor == 1.0 { Ok(x) } else { x / factor }
}
