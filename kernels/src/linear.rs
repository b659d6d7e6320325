//! Linear layers.

use candle_core::{D, Result, Tensor};

/// `x · Wᵀ + b` over the last dimension.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// `weight` is `(out, in)` as torch stores it, `bias` is `(out)`; float32.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        Ok(Self { weight: weight.t()?.contiguous()?, bias: bias.cloned() })
    }

    /// `(.., in)` to `(.., out)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (k, n) = self.weight.dims2()?;
        let mut shape = x.dims().to_vec();
        shape[x.rank() - 1] = n;
        let y = x.reshape(((), k))?.matmul(&self.weight)?;
        let y = match &self.bias {
            Some(b) => y.broadcast_add(b)?,
            None => y,
        };
        y.reshape(shape)
    }

    /// [`Self::forward`] plus `residual`, of the answer's shape.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.forward(x)? + residual
    }

    /// The size of the last dimension of the answer.
    pub fn out_features(&self) -> Result<usize> {
        self.weight.dim(D::Minus1)
    }
}
