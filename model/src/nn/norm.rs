//! Normalisation layers.

use candle_core::{Result, Tensor};
use x0_kernels::{Activation, group_norm, layer_norm};

use crate::error::LoadError;
use crate::weights::Weights;

/// torch's `GroupNorm` with weight and bias.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    groups: usize,
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl GroupNorm {
    /// `groups` must divide `channels`.
    pub fn new(weights: &Weights, groups: usize, channels: usize, eps: f64) -> std::result::Result<Self, LoadError> {
        let (weight, bias) = (weights.get("weight", channels)?, weights.get("bias", channels)?);
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(candle_core::Error::msg(format!(
                "{channels} channels cannot be normalised in {groups} groups"
            ))
            .into());
        }
        Ok(Self { groups, weight, bias, eps })
    }

    /// Normalises `(batch, .., channels)` and applies `activation`.
    pub fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        group_norm(x, self.groups, &self.weight, &self.bias, self.eps, activation)
    }
}

/// torch's `LayerNorm` over the last dimension, with weight and bias.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    pub fn new(weights: &Weights, channels: usize, eps: f64) -> std::result::Result<Self, LoadError> {
        Ok(Self { weight: weights.get("weight", channels)?, bias: weights.get("bias", channels)?, eps })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}
