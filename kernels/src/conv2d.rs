//! Two-dimensional convolution.

use candle_core::{Result, Tensor};

/// How a convolution walks over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dOptions {
    pub stride: usize,
    /// Zeros before the first row and column, and after the last ones.
    pub padding: (usize, usize),
    /// Whether the input is first enlarged to twice its size by repeating each pixel.
    pub upsample: bool,
}

impl Conv2dOptions {
    /// Stride 1, the same padding on all sides.
    pub fn padded(padding: usize) -> Self {
        Self { stride: 1, padding: (padding, padding), upsample: false }
    }
}

/// A convolution on channel-last maps.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    options: Conv2dOptions,
}

impl Conv2d {
    /// `weight` is `(out, in, kernel height, kernel width)` as torch stores it, `bias` is `(out)`; float32.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>, options: Conv2dOptions) -> Result<Self> {
        Ok(Self { weight: weight.contiguous()?, bias: bias.cloned(), options })
    }

    /// `(batch, height, width, in)` to `(batch, height', width', out)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.permute((0, 3, 1, 2))?.contiguous()?;
        if self.options.upsample {
            let (_, _, h, w) = x.dims4()?;
            x = x.upsample_nearest2d(2 * h, 2 * w)?;
        }
        let (before, after) = self.options.padding;
        let x = x.pad_with_zeros(2, before, after)?.pad_with_zeros(3, before, after)?;
        let y = x.conv2d(&self.weight, 0, self.options.stride, 1, 1)?.permute((0, 2, 3, 1))?.contiguous()?;
        match &self.bias {
            Some(b) => y.broadcast_add(b),
            None => Ok(y),
        }
    }

    /// [`Self::forward`] plus `residual`, of the answer's shape.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.forward(x)? + residual
    }
}
