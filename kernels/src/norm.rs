//! Normalisation.

use candle_core::{D, Result, Tensor};

use crate::activation::{Activation, activate};

/// Group normalisation of a channel-last map or sequence, `(batch, .., channels)`, each batch row by itself, followed by
/// `activation`. `weight` and `bias` are `(channels)`; `groups` divides the channels.
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    activation: Activation,
) -> Result<Tensor> {
    let dims = x.dims().to_vec();
    let (b, c) = (dims[0], dims[dims.len() - 1]);
    let y = x.reshape((b, (), groups, c / groups))?;
    let n = (y.dim(1)? * c / groups) as f64;
    let mean = (y.sum_keepdim((1, 3))? / n)?;
    let y = y.broadcast_sub(&mean)?;
    let variance = (y.sqr()?.sum_keepdim((1, 3))? / n)?;
    let y = y.broadcast_div(&(variance + eps)?.sqrt()?)?.reshape(dims)?;
    activate(&y.broadcast_mul(weight)?.broadcast_add(bias)?, activation)
}

/// Normalisation over the last dimension; `weight` and `bias` are of its size.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let n = x.dim(D::Minus1)? as f64;
    let y = x.broadcast_sub(&(x.sum_keepdim(D::Minus1)? / n)?)?;
    let variance = (y.sqr()?.sum_keepdim(D::Minus1)? / n)?;
    y.broadcast_div(&(variance + eps)?.sqrt()?)?.broadcast_mul(weight)?.broadcast_add(bias)
}
