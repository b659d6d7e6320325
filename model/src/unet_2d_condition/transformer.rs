//! Attention within a map and between a map and the text, diffusers' `Transformer2DModel` of `BasicTransformerBlock`s.

use candle_core::{Result, Tensor};
use x0_kernels::{Activation, Linear, Mask, attention, geglu};

use super::condition::{KeysValues, Rows};
use crate::error::LoadError;
use crate::nn::{GroupNorm, LayerNorm, linear, linear_without_bias};
use crate::weights::Weights;

type Loaded<T> = std::result::Result<T, LoadError>;

/// Of the normalisation before the blocks; `norm_eps` is for the residual blocks alone.
const GROUP_NORM_EPS: f64 = 1e-6;
const LAYER_NORM_EPS: f64 = 1e-5;

/// What the transformers of one block have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct TransformerConfig {
    pub(super) channels: usize,
    pub(super) heads: usize,
    pub(super) cross_attention_dim: usize,
    pub(super) only_cross_attention: bool,
    pub(super) groups: usize,
    pub(super) use_linear_projection: bool,
}

impl TransformerConfig {
    /// Size of all heads together: the channels, where the heads divide them.
    fn inner(&self) -> usize {
        self.channels / self.heads * self.heads
    }
}

/// Transformer blocks between two projections, beside a skip connection.
#[derive(Debug)]
pub(super) struct Transformer2D {
    norm: GroupNorm,
    proj_in: Linear,
    blocks: Vec<TransformerBlock>,
    proj_out: Linear,
}

/// Self-attention, attention to the text, and a feed-forward network, each after a normalisation and beside a skip connection.
#[derive(Debug)]
struct TransformerBlock {
    norm1: LayerNorm,
    attn1: FirstAttention,
    norm2: LayerNorm,
    attn2: CrossAttention,
    norm3: LayerNorm,
    feed_forward_in: Linear,
    feed_forward_out: Linear,
}

#[derive(Debug)]
enum FirstAttention {
    Own(SelfAttention),
    Text(CrossAttention),
}

#[derive(Debug)]
struct SelfAttention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: Heads,
}

/// Attention whose keys and values come from the text: they are computed once for each text, by [`Self::keys_values`].
#[derive(Debug)]
struct CrossAttention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    heads: Heads,
    /// Its place among the network's cross-attentions.
    index: usize,
}

#[derive(Clone, Copy, Debug)]
struct Heads {
    count: usize,
    scale: f32,
}

impl Transformer2D {
    /// `next` is the place of the first cross-attention among the network's; it is moved on.
    pub(super) fn new(weights: &Weights, config: TransformerConfig, depth: usize, next: &mut usize) -> Loaded<Self> {
        let (channels, inner) = (config.channels, config.inner());
        let project = |name, from, to| projection(&weights.at(name), from, to, config.use_linear_projection);
        let block = |i| TransformerBlock::new(&weights.at("transformer_blocks").at(i), config, next);
        let blocks = (0..depth).map(block).collect::<Loaded<_>>()?;
        Ok(Self {
            norm: GroupNorm::new(&weights.at("norm"), config.groups, channels, GROUP_NORM_EPS)?,
            proj_in: project("proj_in", channels, inner)?,
            blocks,
            proj_out: project("proj_out", inner, channels)?,
        })
    }

    /// `(rows, h, w, channels)` to the same shape.
    pub(super) fn forward(&self, x: &Tensor, rows: &Rows<'_>) -> Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        let tokens = x.reshape((b, h * w, c))?;
        let mut y = self.proj_in.forward(&self.norm.forward(&tokens, Activation::Identity)?)?;
        for block in &self.blocks {
            y = block.forward(&y, rows)?;
        }
        self.proj_out.forward_add(&y, &tokens)?.reshape((b, h, w, c))
    }

    /// Appends the keys and values of each cross-attention, in the order of their places.
    pub(super) fn keys_values(&self, text: &Tensor, to: &mut Vec<KeysValues>) -> Result<()> {
        for block in &self.blocks {
            if let FirstAttention::Text(attention) = &block.attn1 {
                to.push(attention.keys_values(text)?);
            }
            to.push(block.attn2.keys_values(text)?);
        }
        Ok(())
    }
}

/// A linear layer, which older models store as a 1×1 convolution.
fn projection(weights: &Weights, from: usize, to: usize, is_linear: bool) -> Loaded<Linear> {
    if is_linear {
        return linear(weights, from, to);
    }
    let weight = weights.get_stored("weight", (to, from, 1, 1))?.reshape((to, from))?;
    Ok(Linear::new(&weight, Some(&weights.get("bias", to)?))?)
}

impl TransformerBlock {
    fn new(weights: &Weights, config: TransformerConfig, next: &mut usize) -> Loaded<Self> {
        let inner = config.inner();
        let norm = |name| LayerNorm::new(&weights.at(name), inner, LAYER_NORM_EPS);
        let attn1 = &weights.at("attn1");
        let attn1 = if config.only_cross_attention {
            FirstAttention::Text(CrossAttention::new(attn1, config, next)?)
        } else {
            FirstAttention::Own(SelfAttention::new(attn1, config)?)
        };
        Ok(Self {
            norm1: norm("norm1")?,
            attn1,
            norm2: norm("norm2")?,
            attn2: CrossAttention::new(&weights.at("attn2"), config, next)?,
            norm3: norm("norm3")?,
            feed_forward_in: linear(&weights.at("ff.net.0.proj"), inner, 8 * inner)?,
            feed_forward_out: linear(&weights.at("ff.net.2"), 4 * inner, inner)?,
        })
    }

    fn forward(&self, x: &Tensor, rows: &Rows<'_>) -> Result<Tensor> {
        let normed = self.norm1.forward(x)?;
        let x = match &self.attn1 {
            FirstAttention::Own(attention) => attention.forward_add(&normed, x)?,
            FirstAttention::Text(attention) => attention.forward_add(&normed, rows, x)?,
        };
        let x = self.attn2.forward_add(&self.norm2.forward(&x)?, rows, &x)?;
        let hidden = geglu(&self.feed_forward_in.forward(&self.norm3.forward(&x)?)?)?;
        self.feed_forward_out.forward_add(&hidden, &x)
    }
}

impl SelfAttention {
    fn new(weights: &Weights, config: TransformerConfig) -> Loaded<Self> {
        let layer = |name| linear_without_bias(&weights.at(name), config.inner(), config.inner());
        Ok(Self {
            to_q: layer("to_q")?,
            to_k: layer("to_k")?,
            to_v: layer("to_v")?,
            to_out: linear(&weights.at("to_out.0"), config.inner(), config.inner())?,
            heads: Heads::new(config),
        })
    }

    /// The attention's answer for `x`, plus `residual`.
    fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let (q, k, v) = (self.to_q.forward(x)?, self.to_k.forward(x)?, self.to_v.forward(x)?);
        self.to_out.forward_add(&self.heads.attend(&q, &k, &v)?, residual)
    }
}

impl CrossAttention {
    fn new(weights: &Weights, config: TransformerConfig, next: &mut usize) -> Loaded<Self> {
        let layer = |name, from| linear_without_bias(&weights.at(name), from, config.inner());
        let index = *next;
        *next += 1;
        Ok(Self {
            to_q: layer("to_q", config.inner())?,
            to_k: layer("to_k", config.cross_attention_dim)?,
            to_v: layer("to_v", config.cross_attention_dim)?,
            to_out: linear(&weights.at("to_out.0"), config.inner(), config.inner())?,
            heads: Heads::new(config),
            index,
        })
    }

    /// The attention's answer for `x`, plus `residual`.
    fn forward_add(&self, x: &Tensor, rows: &Rows<'_>, residual: &Tensor) -> Result<Tensor> {
        let KeysValues { keys, values } = rows.keys_values(self.index)?;
        self.to_out.forward_add(&self.heads.attend(&self.to_q.forward(x)?, &keys, &values)?, residual)
    }

    fn keys_values(&self, text: &Tensor) -> Result<KeysValues> {
        Ok(KeysValues { keys: self.to_k.forward(text)?, values: self.to_v.forward(text)? })
    }
}

impl Heads {
    fn new(config: TransformerConfig) -> Self {
        Self { count: config.heads, scale: ((config.channels / config.heads) as f32).sqrt().recip() }
    }

    fn attend(self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        attention(q, k, v, self.count, self.scale, Mask::None)
    }
}
