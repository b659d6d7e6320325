//! Pointwise functions.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, Layout, Result, Shape, Tensor, bail};

use crate::math;
use crate::pool;
use crate::simd::{Isa, Kernel, LANES, Simd, dispatch};
use crate::tensor::{SharedMut, filled, floats, output};

/// Floats that one task takes.
const TASK_FLOATS: usize = 16 * 1024;

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
        #[cfg(feature = "cuda")]
        _ if x.device().is_cuda() => crate::cuda::operations::activate(x, activation),
        Activation::Silu | Activation::Gelu | Activation::QuickGelu | Activation::Relu | Activation::Tanh => {
            x.contiguous()?.apply_op1_no_bwd(&Pointwise(activation))
        }
    }
}

/// `(.., 2c)` to `(.., c)`: the first half of the channels times the erf GELU of the second half (Shazeer 2020).
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::operations::geglu(x);
    }
    x.contiguous()?.apply_op1_no_bwd(&Geglu)
}

/// Adds `v`, `(batch, channels)`, to every position of `x`, `(batch, .., channels)`.
pub fn add_per_channel(x: &Tensor, v: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::operations::add_per_channel(x, v);
    }
    x.contiguous()?.apply_op2_no_bwd(&v.contiguous()?, &AddPerChannel)
}

/// Puts `(.., a)` and `(.., b)` side by side: `(.., a + b)`.
pub fn concatenate(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if first.device().is_cuda() {
        return crate::cuda::operations::concatenate(first, second);
    }
    Tensor::cat(&[first, second], D::Minus1)
}

/// A function of a whole stretch of floats.
struct Stretch<'a> {
    input: &'a [f32],
    activation: Activation,
    out: SharedMut,
    /// Where `input` goes in `out`.
    start: usize,
}

impl Kernel for Stretch<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (i, chunk) in self.input.chunks(LANES).enumerate() {
            // SAFETY: `out` has a place for each float of `input` from `start` on, and this task alone writes there.
            unsafe {
                let at = self.out.at(self.start + i * LANES);
                if chunk.len() == LANES {
                    S::store(at, math::activate::<S>(S::load(chunk.as_ptr()), self.activation));
                } else {
                    let x = S::load_partial(chunk.as_ptr(), chunk.len());
                    S::store_partial(at, math::activate::<S>(x, self.activation), chunk.len());
                }
            }
        }
    }
}

struct Pointwise(Activation);

impl CustomOp1 for Pointwise {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = floats(storage, layout)?;
        let fill = |out| {
            pool::for_each_range(x.len(), TASK_FLOATS, |range| {
                dispatch(
                    Isa::best(),
                    Stretch { input: &x[range.clone()], activation: self.0, out, start: range.start },
                );
            });
        };
        // SAFETY: the ranges cover the whole buffer.
        Ok(output(unsafe { filled(x.len(), fill) }, layout.shape().clone()))
    }
}

/// GEGLU of some rows.
struct GegluRows<'a> {
    /// Whole rows of `2 * width` floats.
    input: &'a [f32],
    width: usize,
    out: SharedMut,
    first_row: usize,
}

impl Kernel for GegluRows<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (i, row) in self.input.chunks_exact(2 * self.width).enumerate() {
            let (value, gate) = row.split_at(self.width);
            for at in (0..self.width).step_by(LANES) {
                let lanes = LANES.min(self.width - at);
                // SAFETY: both halves have `width` floats; the output has `width` floats for each row.
                unsafe {
                    let out = self.out.at((self.first_row + i) * self.width + at);
                    let (value, gate) = (value.as_ptr().add(at), gate.as_ptr().add(at));
                    if lanes == LANES {
                        S::store(out, S::mul(S::load(value), math::gelu::<S>(S::load(gate))));
                    } else {
                        let gate = math::gelu::<S>(S::load_partial(gate, lanes));
                        S::store_partial(out, S::mul(S::load_partial(value, lanes), gate), lanes);
                    }
                }
            }
        }
    }
}

struct Geglu;

impl CustomOp1 for Geglu {
    fn name(&self) -> &'static str {
        "geglu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = floats(storage, layout)?;
        let mut dims = layout.dims().to_vec();
        let Some(last) = dims.last_mut().filter(|last| **last > 0 && **last % 2 == 0) else {
            bail!("GEGLU splits the last dimension in two; it was given {:?}", layout.shape())
        };
        *last /= 2;
        let width = *last;
        let fill = |out| {
            pool::for_each_range(x.len() / (2 * width), TASK_FLOATS.div_ceil(width), |rows| {
                let input = &x[rows.start * 2 * width..rows.end * 2 * width];
                dispatch(Isa::best(), GegluRows { input, width, out, first_row: rows.start });
            });
        };
        // SAFETY: the rows cover the whole buffer.
        Ok(output(unsafe { filled(x.len() / 2, fill) }, dims))
    }
}

struct AddPerChannel;

impl CustomOp2 for AddPerChannel {
    fn name(&self) -> &'static str {
        "add_per_channel"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, v) = (floats(x, x_layout)?, floats(v, v_layout)?);
        let (batch, channels) = v_layout.shape().dims2()?;
        let dims = x_layout.dims();
        if dims.first() != Some(&batch) || dims.last() != Some(&channels) || dims.len() < 2 || channels == 0 {
            bail!("cannot add {:?} to each position of {:?}", v_layout.shape(), x_layout.shape())
        }
        let positions = x.len() / (batch.max(1) * channels);
        let fill = |out: SharedMut| {
            pool::for_each_range(batch * positions, TASK_FLOATS.div_ceil(channels), |rows| {
                for row in rows {
                    let image = row / positions;
                    let pairs = x[row * channels..(row + 1) * channels]
                        .iter()
                        .zip(&v[image * channels..(image + 1) * channels]);
                    for (i, (a, b)) in pairs.enumerate() {
                        // SAFETY: the buffer has a place for each element of `x`, and this task alone writes this row.
                        unsafe { out.at(row * channels + i).write(a + b) };
                    }
                }
            });
        };
        // SAFETY: every row is written.
        Ok(output(unsafe { filled(x.len(), fill) }, x_layout.shape().clone()))
    }
}
