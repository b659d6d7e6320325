//! Normalisation.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::Activation;
use crate::math;
use crate::pool;
use crate::simd::{Isa, Kernel, LANES, Simd, dispatch};
use crate::tensor::{SharedMut, filled, floats, output};

/// Positions whose sums are taken in float32 before they are added up in float64. Fixed, so that the order of the
/// additions depends on nothing but the size of the map.
const CHUNK: usize = 64;
/// Positions that one task sums up; fixed for the same reason.
const SEGMENT: usize = 32 * CHUNK;
/// Floats that one task normalises.
const TASK_FLOATS: usize = 32 * 1024;

/// Group normalisation of a channel-last map or sequence, `(batch, .., channels)`, each batch row by itself, followed by
/// `activation`. `weight` and `bias` are `(channels)`; `groups` divides the channels. (Wu and He 2018.)
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    activation: Activation,
) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::operations::group_norm(x, groups, weight, bias, eps, activation);
    }
    x.contiguous()?.apply_op3_no_bwd(&weight.contiguous()?, &bias.contiguous()?, &GroupNorm { groups, eps, activation })
}

/// Normalisation over the last dimension; `weight` and `bias` are of its size.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::operations::layer_norm(x, weight, bias, eps);
    }
    x.contiguous()?.apply_op3_no_bwd(&weight.contiguous()?, &bias.contiguous()?, &LayerNorm { eps })
}

struct GroupNorm {
    groups: usize,
    eps: f64,
    activation: Activation,
}

/// Sums of each channel and of its square over some positions.
struct ChannelSums<'a> {
    /// Whole positions of `channels` floats.
    input: &'a [f32],
    channels: usize,
    /// `channels` sums, then `channels` sums of squares.
    sums: &'a mut [f64],
}

impl Kernel for ChannelSums<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for chunk in self.input.chunks(CHUNK * self.channels) {
            for first in (0..self.channels).step_by(LANES) {
                let lanes = LANES.min(self.channels - first);
                // SAFETY: every position has `channels` floats, and `first + lanes` is at most that.
                let (sum, squares) = unsafe {
                    let (mut sum, mut squares) = (S::splat(0.0), S::splat(0.0));
                    for position in chunk.chunks_exact(self.channels) {
                        let p = position.as_ptr().add(first);
                        let x = if lanes == LANES { S::load(p) } else { S::load_partial(p, lanes) };
                        sum = S::add(sum, x);
                        squares = S::fma(x, x, squares);
                    }
                    (S::to_array(sum), S::to_array(squares))
                };
                for lane in 0..lanes {
                    self.sums[first + lane] += f64::from(sum[lane]);
                    self.sums[self.channels + first + lane] += f64::from(squares[lane]);
                }
            }
        }
    }
}

/// `activation(x * scale + shift)`, channel by channel.
struct ScaleShift<'a> {
    input: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    activation: Activation,
    out: SharedMut,
    start: usize,
}

impl Kernel for ScaleShift<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let channels = self.scale.len();
        for (row, position) in self.input.chunks_exact(channels).enumerate() {
            for first in (0..channels).step_by(LANES) {
                let lanes = LANES.min(channels - first);
                // SAFETY: position, scale and shift have `channels` floats; the output has a place for each input.
                unsafe {
                    let out = self.out.at(self.start + row * channels + first);
                    let (x, scale, shift) =
                        (position.as_ptr().add(first), self.scale.as_ptr().add(first), self.shift.as_ptr().add(first));
                    if lanes == LANES {
                        let y = S::fma(S::load(x), S::load(scale), S::load(shift));
                        S::store(out, math::activate::<S>(y, self.activation));
                    } else {
                        let y = S::fma(
                            S::load_partial(x, lanes),
                            S::load_partial(scale, lanes),
                            S::load_partial(shift, lanes),
                        );
                        S::store_partial(out, math::activate::<S>(y, self.activation), lanes);
                    }
                }
            }
        }
    }
}

impl GroupNorm {
    /// Per channel, the factor and the summand that normalise one image of `positions` positions, from the sums of its
    /// segments.
    fn scale_and_shift(
        &self,
        segments: &[f64],
        positions: usize,
        weight: &[f32],
        bias: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let channels = weight.len();
        let mut sums = vec![0.0; 2 * channels];
        for segment in segments.chunks_exact(2 * channels) {
            for (sum, part) in sums.iter_mut().zip(segment) {
                *sum += part;
            }
        }
        let per_group = channels / self.groups;
        let count = (positions * per_group) as f64;
        let (mut scale, mut shift) = (vec![0.0; channels], vec![0.0; channels]);
        for group in 0..self.groups {
            let within = group * per_group..(group + 1) * per_group;
            let mean = sums[within.clone()].iter().sum::<f64>() / count;
            let squares: f64 = sums[channels..][within.clone()].iter().sum();
            // Rounding may take the difference of two large numbers below zero; a NaN must stay one.
            let variance = squares / count - mean * mean;
            let variance = if variance < 0.0 { 0.0 } else { variance };
            let inverse = 1.0 / (variance + self.eps).sqrt();
            for c in within {
                scale[c] = (f64::from(weight[c]) * inverse) as f32;
                shift[c] = (f64::from(bias[c]) - f64::from(weight[c]) * inverse * mean) as f32;
            }
        }
        (scale, shift)
    }
}

impl CustomOp3 for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) = (floats(x, x_layout)?, floats(weight, weight_layout)?, floats(bias, bias_layout)?);
        let channels = weight.len();
        let dims = x_layout.dims();
        let fits = dims.len() >= 2 && dims.last() == Some(&channels) && bias.len() == channels;
        if !fits || self.groups == 0 || channels == 0 || !channels.is_multiple_of(self.groups) {
            bail!("cannot normalise {:?} in {} groups with {channels} weights", x_layout.shape(), self.groups)
        }
        let batch = dims[0];
        let length = x.len() / batch.max(1);
        let positions = length / channels;
        let segments = positions.div_ceil(SEGMENT);
        let mut sums = vec![0.0; batch * segments * 2 * channels];
        pool::for_each_chunk(&mut sums, 2 * channels, |i, sums| {
            let (image, segment) = (i / segments, i % segments);
            let range = segment * SEGMENT * channels..length.min((segment + 1) * SEGMENT * channels);
            dispatch(Isa::best(), ChannelSums { input: &x[image * length..][range], channels, sums });
        });
        let sums_of = |image: usize| &sums[image * segments * 2 * channels..(image + 1) * segments * 2 * channels];
        let factors: Vec<_> =
            (0..batch).map(|image| self.scale_and_shift(sums_of(image), positions, weight, bias)).collect();
        let grain = TASK_FLOATS.div_ceil(channels);
        let tasks_each = positions.div_ceil(grain);
        let fill = |out| {
            pool::for_each(batch * tasks_each, |task| {
                let (image, part) = (task / tasks_each, task % tasks_each);
                let start = image * length + part * grain * channels;
                let end = image * length + positions.min((part + 1) * grain) * channels;
                let (scale, shift) = &factors[image];
                dispatch(
                    Isa::best(),
                    ScaleShift { input: &x[start..end], scale, shift, activation: self.activation, out, start },
                );
            });
        };
        // SAFETY: the tasks cover every position of every image.
        Ok(output(unsafe { filled(x.len(), fill) }, x_layout.shape().clone()))
    }
}

struct LayerNorm {
    eps: f64,
}

/// Normalises some rows.
struct LayerNormRows<'a> {
    input: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f64,
    out: SharedMut,
    start: usize,
}

impl Kernel for LayerNormRows<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let width = self.weight.len();
        for (n, row) in self.input.chunks_exact(width).enumerate() {
            // SAFETY: row, weight and bias have `width` floats, and the output a place for each input.
            unsafe {
                let mut sum = S::splat(0.0);
                for chunk in row.chunks(LANES) {
                    sum = S::add(sum, S::load_partial(chunk.as_ptr(), chunk.len()));
                }
                let mean = S::sum(sum) / width as f32;
                let mut squares = S::splat(0.0);
                for chunk in row.chunks_exact(LANES) {
                    let d = S::sub(S::load(chunk.as_ptr()), S::splat(mean));
                    squares = S::fma(d, d, squares);
                }
                let mut total = S::sum(squares);
                for x in row.chunks_exact(LANES).remainder() {
                    total = (x - mean).mul_add(x - mean, total);
                }
                let inverse = (1.0 / (f64::from(total) / width as f64 + self.eps).sqrt()) as f32;
                for first in (0..width).step_by(LANES) {
                    let lanes = LANES.min(width - first);
                    let x = S::load_partial(row.as_ptr().add(first), lanes);
                    let y = S::mul(S::sub(x, S::splat(mean)), S::splat(inverse));
                    let y = S::fma(
                        y,
                        S::load_partial(self.weight.as_ptr().add(first), lanes),
                        S::load_partial(self.bias.as_ptr().add(first), lanes),
                    );
                    S::store_partial(self.out.at(self.start + n * width + first), y, lanes);
                }
            }
        }
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) = (floats(x, x_layout)?, floats(weight, weight_layout)?, floats(bias, bias_layout)?);
        let width = weight.len();
        if width == 0 || x_layout.dims().last() != Some(&width) || bias.len() != width {
            bail!("cannot normalise {:?} with {width} weights", x_layout.shape())
        }
        let fill = |out| {
            pool::for_each_range(x.len() / width, TASK_FLOATS.div_ceil(width), |rows| {
                let (start, end) = (rows.start * width, rows.end * width);
                dispatch(Isa::best(), LayerNormRows { input: &x[start..end], weight, bias, eps: self.eps, out, start });
            });
        };
        // SAFETY: the rows cover the whole buffer.
        Ok(output(unsafe { filled(x.len(), fill) }, x_layout.shape().clone()))
    }
}
