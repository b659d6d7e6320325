//! Two-dimensional convolution.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::Activation;
use crate::gemm::{Epilogue, PerImage, Rows, TASK_ROWS, multiply};
use crate::packed::PackedWeights;
use crate::pool;
use crate::simd::Isa;
use crate::tensor::{SharedMut, filled, floats, output, weights};
use crate::winograd;

/// Inputs of fewer channels are gathered into patches first: a tap of one or four floats is not worth a pointer.
const GATHER_BELOW: usize = 12;

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

/// A convolution on channel-last maps. The weights are packed for this machine when the layer is made, and are kept once,
/// whatever the sizes of the maps; those on a CUDA device stay there, and so must what the layer is given.
#[derive(Clone, Debug)]
pub struct Conv2d {
    place: Place,
    options: Conv2dOptions,
    activation: Activation,
}

/// Where the weights are.
#[derive(Clone, Debug)]
enum Place {
    Host(Arc<Filters>),
    #[cfg(feature = "cuda")]
    Cuda(Arc<crate::cuda::layers::Layer>),
}

#[derive(Debug)]
struct Filters {
    packed: PackedWeights,
    bias: Option<Vec<f32>>,
    channels: usize,
    kernel: (usize, usize),
}

impl Conv2d {
    /// `weight` is `(out, in, kernel height, kernel width)` as torch stores it, `bias` is `(out)`. float16 and bfloat16 weights
    /// are kept as such; on a CUDA device they are of the type of what the layer is given.
    ///
    /// # Errors
    ///
    /// Where the shapes do not fit.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>, options: Conv2dOptions) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if weight.device().is_cuda() {
            let layer = crate::cuda::layers::Layer::conv2d(weight, bias)?;
            return Ok(Self { place: Place::Cuda(Arc::new(layer)), options, activation: Activation::Identity });
        }
        Self::with_isa(weight, bias, options, Isa::best())
    }

    /// [`Self::new`] for an instruction set that is not the best one, to compare them.
    pub fn with_isa(weight: &Tensor, bias: Option<&Tensor>, options: Conv2dOptions, isa: Isa) -> Result<Self> {
        let (n, c, kh, kw) = weight.dims4()?;
        let bias = bias.map(weights).transpose()?;
        if bias.as_ref().is_some_and(|b| b.len() != n) || options.stride == 0 {
            bail!("a convolution of {n} outputs has a bias of another size, or a stride of 0");
        }
        let taps = kh * kw;
        let packed = if c < GATHER_BELOW {
            let index = |_, k, column| (column * c + k % c) * taps + k / c;
            PackedWeights::new(isa, weight, (1, taps * c, n), index)?
        } else {
            PackedWeights::new(isa, weight, (taps, c, n), |tap, k, column| (column * c + k) * taps + tap)?
        };
        let filters = Filters { packed, bias, channels: c, kernel: (kh, kw) };
        Ok(Self { place: Place::Host(Arc::new(filters)), options, activation: Activation::Identity })
    }

    /// The same layer, sharing its packed weights, that walks over its input in another way.
    pub fn with_options(&self, options: Conv2dOptions) -> Self {
        Self { options, ..self.clone() }
    }

    /// The same layer followed by `activation`, at no further cost.
    pub fn then(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// `(batch, height, width, in)` to `(batch, height', width', out)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, None)
    }

    /// `activation(conv(x) + residual)`; `residual` is of the answer's shape.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.apply(x, Some((residual, Addend::Residual)))
    }

    /// `activation(conv(x) + v)`; `v` is `(batch, out)` and is added at each position.
    pub fn forward_add_per_channel(&self, x: &Tensor, v: &Tensor) -> Result<Tensor> {
        self.apply(x, Some((v, Addend::PerChannel)))
    }

    fn apply(&self, x: &Tensor, added: Option<(&Tensor, Addend)>) -> Result<Tensor> {
        match &self.place {
            Place::Host(filters) => {
                let op = |addend| Op { filters, options: self.options, activation: self.activation, addend };
                match added {
                    None => x.contiguous()?.apply_op1_no_bwd(&op(Addend::Residual)),
                    Some((added, addend)) => x.contiguous()?.apply_op2_no_bwd(&added.contiguous()?, &op(addend)),
                }
            }
            #[cfg(feature = "cuda")]
            Place::Cuda(layer) => {
                let addend = match added {
                    None => x0_cuda::plan::Addend::None,
                    Some((_, Addend::Residual)) => x0_cuda::plan::Addend::Residual,
                    Some((_, Addend::PerChannel)) => x0_cuda::plan::Addend::PerChannel,
                };
                layer.forward_conv2d(x, self.options, addend, added.map(|(added, _)| added), self.activation)
            }
        }
    }
}

/// The input of a convolution and the size of its output.
pub(crate) struct Map<'a> {
    values: &'a [f32],
    height: usize,
    width: usize,
    channels: usize,
    pub(crate) out_height: usize,
    pub(crate) out_width: usize,
    kernel: (usize, usize),
    options: Conv2dOptions,
    /// `channels` zeros, which stand for everything outside of the map.
    zeros: Vec<f32>,
}

impl<'a> Map<'a> {
    fn new(layer: &Op<'_>, values: &'a [f32], shape: &Shape) -> Result<Self> {
        let Filters { channels: expected, kernel, .. } = *layer.filters;
        let (_, height, width, channels) = shape.dims4()?;
        if channels != expected {
            bail!("a convolution of {expected} channels was given {shape:?}");
        }
        let Conv2dOptions { stride, padding: (before, after), upsample } = layer.options;
        let scale = if upsample { 2 } else { 1 };
        let size =
            |len: usize, kernel: usize| (len * scale + before + after).checked_sub(kernel).map(|n| n / stride + 1);
        let (Some(out_height), Some(out_width)) = (size(height, kernel.0), size(width, kernel.1)) else {
            bail!("a convolution with a kernel of {kernel:?} was given {shape:?}")
        };
        let zeros = vec![0.0; channels];
        Ok(Self { values, height, width, channels, out_height, out_width, kernel, options: layer.options, zeros })
    }

    /// The channels at a position of the padded and enlarged input; zeros outside of the map.
    #[inline(always)]
    pub(crate) fn pixel(&self, image: usize, row: usize, column: usize) -> &[f32] {
        let Conv2dOptions { padding: (before, _), upsample, .. } = self.options;
        let shift = usize::from(upsample);
        // A position before the map wraps around to a huge number, which the comparison below refuses too.
        let (row, column) = (row.wrapping_sub(before) >> shift, column.wrapping_sub(before) >> shift);
        if row < self.height && column < self.width {
            let at = ((image * self.height + row) * self.width + column) * self.channels;
            &self.values[at..at + self.channels]
        } else {
            &self.zeros
        }
    }

    /// The channels under one tap of one output position.
    #[inline(always)]
    fn under(&self, (image, y, x): (usize, usize, usize), tap: usize) -> &[f32] {
        let stride = self.options.stride;
        self.pixel(image, y * stride + tap / self.kernel.1, x * stride + tap % self.kernel.1)
    }

    fn position(&self, row: usize) -> (usize, usize, usize) {
        let within = row % (self.out_height * self.out_width);
        (row / (self.out_height * self.out_width), within / self.out_width, within % self.out_width)
    }

    /// All patches one after the other, `(rows, taps * channels)`.
    fn gather(&self, rows: usize) -> Vec<f32> {
        let taps = self.kernel.0 * self.kernel.1;
        let width = taps * self.channels;
        let fill = |out: SharedMut| {
            pool::for_each_range(rows, 1024, |range| {
                for row in range {
                    let position = self.position(row);
                    for tap in 0..taps {
                        let pixel = self.under(position, tap);
                        // SAFETY: the buffer has `rows * width` floats, and this task alone writes this row.
                        unsafe {
                            std::ptr::copy_nonoverlapping(
                                pixel.as_ptr(),
                                out.at(row * width + tap * self.channels),
                                self.channels,
                            )
                        };
                    }
                }
            });
        };
        // SAFETY: every tap of every row is written.
        unsafe { filled(rows * width, fill) }
    }
}

impl Rows for Map<'_> {
    /// With a stride, four times as many pixels lie under them.
    fn task_rows(&self) -> usize {
        if self.options.stride > 1 { TASK_ROWS / 4 } else { TASK_ROWS }
    }

    #[inline(always)]
    fn addresses(&self, row: usize, pointers: &mut [*const f32], stride: usize) {
        let position = self.position(row);
        for tap in 0..self.kernel.0 * self.kernel.1 {
            pointers[tap * stride] = self.under(position, tap).as_ptr();
        }
    }
}

/// Patches that were gathered.
struct Patches(Vec<f32>, usize);

impl Rows for Patches {
    #[inline(always)]
    fn addresses(&self, row: usize, pointers: &mut [*const f32], _stride: usize) {
        pointers[0] = self.0[row * self.1..(row + 1) * self.1].as_ptr();
    }
}

struct Op<'a> {
    filters: &'a Filters,
    options: Conv2dOptions,
    activation: Activation,
    addend: Addend,
}

/// What the second operand is.
#[derive(Clone, Copy, Debug)]
enum Addend {
    Residual,
    PerChannel,
}

impl Op<'_> {
    fn run(&self, x: &[f32], shape: &Shape, addend: Option<&[f32]>) -> Result<(CpuStorage, Shape)> {
        let Filters { packed, bias, .. } = self.filters;
        let map = Map::new(self, x, shape)?;
        let batch = shape.dims()[0];
        let dims = (batch, map.out_height, map.out_width, packed.columns);
        let rows = batch * map.out_height * map.out_width;
        let image = map.out_height * map.out_width * packed.columns;
        let (residual, per_channel) = match self.addend {
            Addend::Residual => (addend, None),
            Addend::PerChannel => (None, addend),
        };
        if residual.is_some_and(|r| r.len() != batch * image)
            || per_channel.is_some_and(|v| v.len() != batch * packed.columns)
        {
            bail!("what is added to a convolution's output of {dims:?} has another shape");
        }
        let epilogue = Epilogue {
            columns: packed.columns,
            bias: bias.as_deref(),
            per_image: per_channel.map(|values| PerImage { values, image }),
            residual,
            activation: self.activation,
        };
        let fill = |out| match self.method(&map) {
            Method::Gathered => multiply(&Patches(map.gather(rows), packed.depth), packed, rows, epilogue, out),
            Method::Direct => multiply(&map, packed, rows, epilogue, out),
            Method::Winograd => winograd::convolve(packed, &map, batch, epilogue, out),
        };
        // SAFETY: each method writes every pixel and channel.
        Ok(output(unsafe { filled(rows * packed.columns, fill) }, dims))
    }

    /// Depends on the layer and the size of the map, never on the batch: the methods round differently.
    fn method(&self, map: &Map<'_>) -> Method {
        let Filters { packed, channels, kernel, .. } = self.filters;
        let size = (map.out_height, map.out_width);
        let pays_off = || winograd::pays_off(*channels, packed.columns, size);
        if *channels < GATHER_BELOW && *kernel != (1, 1) {
            Method::Gathered
        } else if *kernel == (3, 3) && self.options.stride == 1 && pays_off() {
            Method::Winograd
        } else {
            Method::Direct
        }
    }
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug)]
enum Method {
    /// Patches are copied, then multiplied.
    Gathered,
    /// Each tap is read where it lies.
    Direct,
    Winograd,
}

impl CustomOp1 for Op<'_> {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run(floats(storage, layout)?, layout.shape(), None)
    }
}

impl CustomOp2 for Op<'_> {
    fn name(&self) -> &'static str {
        "conv2d_add"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        addend: &CpuStorage,
        addend_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run(floats(storage, layout)?, layout.shape(), Some(floats(addend, addend_layout)?))
    }
}
