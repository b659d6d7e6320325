//! Halving and doubling the size of maps.

use candle_core::{Result, Tensor};
use x0_kernels::{Conv2d, Conv2dOptions};

use super::conv2d;
use crate::error::LoadError;
use crate::weights::Weights;

/// A 3×3 convolution of stride 2, diffusers' `Downsample2D` with a convolution.
#[derive(Clone, Debug)]
pub struct Downsample2D {
    conv: Conv2d,
}

impl Downsample2D {
    /// `padding` on all sides; 0 means one row below and one column to the right, as diffusers has it.
    pub fn new(
        weights: &Weights,
        inputs: usize,
        outputs: usize,
        padding: usize,
    ) -> std::result::Result<Self, LoadError> {
        let padding = if padding == 0 { (0, 1) } else { (padding, padding) };
        let options = Conv2dOptions { stride: 2, padding, upsample: false };
        // Older files name the convolution `Conv2d_0`.
        let name = if weights.contains("Conv2d_0.weight") { "Conv2d_0" } else { "conv" };
        Ok(Self { conv: conv2d(&weights.at(name), inputs, outputs, 3, options)? })
    }

    /// `(batch, h, w, inputs)` to `(batch, ⌈h/2⌉, ⌈w/2⌉, outputs)`; with padding 0, `⌊h/2⌋` and `⌊w/2⌋`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.conv.forward(x)
    }
}

/// Each pixel doubled in both directions, then a 3×3 convolution: diffusers' `Upsample2D` with a convolution.
#[derive(Clone, Debug)]
pub struct Upsample2D {
    conv: Conv2d,
}

impl Upsample2D {
    pub fn new(weights: &Weights, inputs: usize, outputs: usize) -> std::result::Result<Self, LoadError> {
        let options = Conv2dOptions { stride: 1, padding: (1, 1), upsample: true };
        Ok(Self { conv: conv2d(&weights.at("conv"), inputs, outputs, 3, options)? })
    }

    /// `(batch, h, w, inputs)` to `(batch, 2h, 2w, outputs)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.conv.forward(x)
    }

    /// `(batch, h, w, inputs)` to `(batch, height, width, outputs)`, where the size is twice the input's or one less: what
    /// diffusers' `upsample_size` asks for when a map of odd size was halved on the way down.
    pub fn forward_to(&self, x: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
        let (_, h, w, _) = x.dims4()?;
        if (height, width) == (2 * h, 2 * w) {
            return self.forward(x);
        }
        // The nearest pixel of an enlargement to 2h - 1 rows is that of an enlargement to 2h.
        let enlarged = repeat_pixels(x)?.narrow(1, 0, height)?.narrow(2, 0, width)?.contiguous()?;
        self.conv.with_options(Conv2dOptions::padded(1)).forward(&enlarged)
    }
}

/// The means of 2×2 pixels: `(batch, h, w, c)` to `(batch, ⌊h/2⌋, ⌊w/2⌋, c)`.
pub fn average_pool(x: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    let x = x.narrow(1, 0, h / 2 * 2)?.narrow(2, 0, w / 2 * 2)?.contiguous()?.reshape((b, h / 2, 2, w / 2, 2 * c))?;
    let corner = |row, column| x.narrow(2, row, 1)?.narrow(4, column * c, c);
    let sum = (((corner(0, 0)? + corner(0, 1)?)? + corner(1, 0)?)? + corner(1, 1)?)?;
    (sum * 0.25)?.reshape((b, h / 2, w / 2, c))
}

/// Each pixel doubled in both directions: `(batch, h, w, c)` to `(batch, 2h, 2w, c)`.
pub fn repeat_pixels(x: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    x.reshape((b, h, 1, w, 1, c))?.broadcast_as((b, h, 2, w, 2, c))?.contiguous()?.reshape((b, 2 * h, 2 * w, c))
}
