//! Scaled dot-product attention.

use candle_core::{D, DType, Result, Tensor};

/// Which keys a query may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mask {
    None,
    /// Query `i` looks at keys `0..=i`.
    Causal,
}

/// Multi-head attention: `q` is `(batch, n, heads * d)`, `k` and `v` are `(batch, m, heads * d)`, the answer `(batch, n, heads * d)`.
/// Scores are multiplied by `scale` before the softmax.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, scale: f32, mask: Mask) -> Result<Tensor> {
    let (b, n, inner) = q.dims3()?;
    let m = k.dim(1)?;
    let split = |t: &Tensor, len: usize| t.reshape((b, len, heads, inner / heads))?.transpose(1, 2)?.contiguous();
    let (q, k, v) = (split(q, n)?, split(k, m)?, split(v, m)?);
    let mut scores = (q.matmul(&k.t()?)? * scale as f64)?;
    if mask == Mask::Causal {
        let mask: Vec<f32> = (0..n * m).map(|i| if i % m > i / m { f32::NEG_INFINITY } else { 0.0 }).collect();
        scores = scores.broadcast_add(&Tensor::from_vec(mask, (n, m), q.device())?.to_dtype(DType::F32)?)?;
    }
    let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    weights.matmul(&v)?.transpose(1, 2)?.reshape((b, n, inner))
}
