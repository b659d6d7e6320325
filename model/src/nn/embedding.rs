//! Embeddings of timesteps.

use candle_core::{Result, Tensor};
use x0_kernels::{Activation, Linear};

use super::linear;
use crate::error::LoadError;
use crate::placement::Placement;
use crate::weights::Weights;

/// Sinusoids of timesteps, diffusers' `Timesteps` (Ho et al. 2020, after Vaswani et al. 2017): for `i < channels / 2`
/// the angle `t * 10000^(-i / (channels / 2 - freq_shift))`, all sines, then all cosines; a zero ends an odd number of channels.
#[derive(Clone, Debug)]
pub struct Timesteps {
    channels: usize,
    /// Cosines first.
    flip_sin_to_cos: bool,
    frequencies: Vec<f32>,
    placement: Placement,
}

impl Timesteps {
    pub fn new(placement: &Placement, channels: usize, flip_sin_to_cos: bool, freq_shift: f64) -> Self {
        let half = channels / 2;
        // In float32 with one rounding an operation, as torch computes it: the angles reach 1000, where a rounding is felt.
        let frequency = |i| {
            let exponent = -(10000f64.ln() as f32) * i as f32 / (half as f64 - freq_shift) as f32;
            f64::from(exponent).exp() as f32
        };
        let frequencies = (0..half).map(frequency).collect();
        Self { channels, flip_sin_to_cos, frequencies, placement: placement.clone() }
    }

    /// One row for each timestep, which may be fractional: `(timesteps.len(), channels)`.
    pub fn forward(&self, timesteps: &[f32]) -> Result<Tensor> {
        let mut rows = Vec::with_capacity(timesteps.len() * self.channels);
        for &t in timesteps {
            let angles = || self.frequencies.iter().map(|f| f64::from(t * f));
            let (sines, cosines) = (angles().map(|a| a.sin() as f32), angles().map(|a| a.cos() as f32));
            if self.flip_sin_to_cos {
                rows.extend(cosines.chain(sines));
            } else {
                rows.extend(sines.chain(cosines));
            }
            rows.extend((self.channels % 2 == 1).then_some(0.0));
        }
        self.placement.tensor(rows, (timesteps.len(), self.channels))
    }
}

/// Two linear layers around an activation, diffusers' `TimestepEmbedding`: `(rows, inputs)` to `(rows, outputs)`.
#[derive(Clone, Debug)]
pub struct TimestepEmbedding {
    /// With the activation.
    linear_1: Linear,
    linear_2: Linear,
}

impl TimestepEmbedding {
    pub fn new(
        weights: &Weights,
        inputs: usize,
        outputs: usize,
        activation: Activation,
    ) -> std::result::Result<Self, LoadError> {
        let linear_1 = linear(&weights.at("linear_1"), inputs, outputs)?.then(activation);
        let linear_2 = linear(&weights.at("linear_2"), outputs, outputs)?;
        Ok(Self { linear_1, linear_2 })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.linear_2.forward(&self.linear_1.forward(x)?)
    }
}
