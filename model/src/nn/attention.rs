//! Self-attention over the pixels of a map.

use candle_core::{Result, Tensor};
use x0_kernels::{Activation, Linear, Mask, attention};

use super::{GroupNorm, linear};
use crate::error::LoadError;
use crate::weights::Weights;

/// How a spatial self-attention is built.
#[derive(Clone, Copy, Debug)]
pub struct AttentionConfig {
    /// They must divide the channels.
    pub heads: usize,
    /// Groups of the normalisation before it; none for no normalisation.
    pub groups: Option<usize>,
    pub eps: f64,
    /// What the sum of input and answer is divided by.
    pub rescale_output_factor: f64,
}

/// The group-normed self-attention with a residual connection of `UNet2DModel` and the VAE (diffusers' `Attention` made from the
/// older `AttentionBlock`).
#[derive(Clone, Debug)]
pub struct Attention {
    group_norm: Option<GroupNorm>,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: usize,
    scale: f32,
    rescale_output_factor: f64,
}

impl Attention {
    /// Takes diffusers' names (`to_q`, `to_k`, `to_v`, `to_out.0`) or the older ones (`query`, `key`, `value`, `proj_attn`).
    pub fn new(weights: &Weights, channels: usize, config: AttentionConfig) -> std::result::Result<Self, LoadError> {
        let AttentionConfig { heads, groups, eps, rescale_output_factor } = config;
        let names = if weights.contains("query.weight") {
            ["query", "key", "value", "proj_attn"]
        } else {
            ["to_q", "to_k", "to_v", "to_out.0"]
        };
        let layer = |name| linear(&weights.at(name), channels, channels);
        let [to_q, to_k, to_v, to_out] = names;
        Ok(Self {
            group_norm: groups.map(|n| GroupNorm::new(&weights.at("group_norm"), n, channels, eps)).transpose()?,
            to_q: layer(to_q)?,
            to_k: layer(to_k)?,
            to_v: layer(to_v)?,
            to_out: layer(to_out)?,
            heads,
            scale: ((channels / heads) as f32).sqrt().recip(),
            rescale_output_factor,
        })
    }

    /// `(batch, h, w, channels)` to the same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        let tokens = x.reshape((b, h * w, c))?;
        let normed = match &self.group_norm {
            Some(norm) => &norm.forward(&tokens, Activation::Identity)?,
            None => &tokens,
        };
        let (q, k, v) = (self.to_q.forward(normed)?, self.to_k.forward(normed)?, self.to_v.forward(normed)?);
        let mixed = attention(&q, &k, &v, self.heads, self.scale, Mask::None)?;
        let y = self.to_out.forward_add(&mixed, &tokens)?.reshape((b, h, w, c))?;
        super::rescale(y, self.rescale_output_factor)
    }
}
