//! Pointwise functions.

use candle_core::{D, Result, Tensor};

/// A pointwise function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    Identity,
    /// `x * sigmoid(x)`
    Silu,
    /// `x / 2 * (1 + erf(x / √2))`, torch's default `gelu`.
    Gelu,
    /// `x * sigmoid(1.702 x)`, as OpenAI's CLIP has it.
    QuickGelu,
    Relu,
    /// `tanh(x)`
    Tanh,
}

/// Applies `activation` to each element of `x`, of any shape.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Identity => Ok(x.clone()),
        Activation::Silu => x.silu(),
        Activation::Gelu => x.gelu_erf(),
        Activation::QuickGelu => x / ((x * -1.702)?.exp()? + 1.0)?,
        Activation::Relu => x.relu(),
        Activation::Tanh => x.tanh(),
    }
}

/// `(.., 2c)` to `(.., c)`: the first half of the channels times the erf GELU of the second half.
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    let c = x.dim(D::Minus1)? / 2;
    x.narrow(D::Minus1, 0, c)? * x.narrow(D::Minus1, c, c)?.gelu_erf()?
}

/// Adds `v`, `(batch, channels)`, to every position of `x`, `(batch, height, width, channels)`.
pub fn add_per_channel(x: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (b, c) = v.dims2()?;
    x.broadcast_add(&v.reshape((b, 1, 1, c))?)
}
