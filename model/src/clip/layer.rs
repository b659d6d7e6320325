//! A layer of the text encoder.

use candle_core::{Result, Tensor};
use x0_kernels::{Linear, Mask, attention};

use super::ClipTextConfig;
use crate::error::LoadError;
use crate::nn::{LayerNorm, linear};
use crate::weights::Weights;

/// Causal self-attention and a feed-forward network, each after a normalisation and beside a skip connection.
#[derive(Debug)]
pub(super) struct Layer {
    layer_norm1: LayerNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    layer_norm2: LayerNorm,
    /// With the activation.
    fc1: Linear,
    fc2: Linear,
    heads: usize,
    scale: f32,
}

impl Layer {
    pub(super) fn new(weights: &Weights, config: &ClipTextConfig) -> std::result::Result<Self, LoadError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let norm = |name| LayerNorm::new(&weights.at(name), hidden, config.layer_norm_eps);
        let projection = |name| linear(&weights.at("self_attn").at(name), hidden, hidden);
        Ok(Self {
            layer_norm1: norm("layer_norm1")?,
            q_proj: projection("q_proj")?,
            k_proj: projection("k_proj")?,
            v_proj: projection("v_proj")?,
            out_proj: projection("out_proj")?,
            layer_norm2: norm("layer_norm2")?,
            fc1: linear(&weights.at("mlp.fc1"), hidden, inner)?.then(config.activation),
            fc2: linear(&weights.at("mlp.fc2"), inner, hidden)?,
            heads: config.num_attention_heads,
            scale: ((hidden / config.num_attention_heads) as f32).sqrt().recip(),
        })
    }

    /// `(texts, tokens, hidden)` to the same shape.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let normed = self.layer_norm1.forward(x)?;
        let (q, k, v) = (self.q_proj.forward(&normed)?, self.k_proj.forward(&normed)?, self.v_proj.forward(&normed)?);
        let mixed = attention(&q, &k, &v, self.heads, self.scale, Mask::Causal)?;
        let x = self.out_proj.forward_add(&mixed, x)?;
        self.fc2.forward_add(&self.fc1.forward(&self.layer_norm2.forward(&x)?)?, &x)
    }
}
