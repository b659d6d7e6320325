//! Linear layers.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::Activation;
use crate::gemm::{Epilogue, Rows, multiply};
use crate::packed::PackedWeights;
use crate::simd::Isa;
use crate::tensor::{filled, floats, output, weights};

/// `activation(x · Wᵀ + b)` over the last dimension. The weights are packed for this machine when the layer is made; those on a CUDA
/// device stay there, and so must what the layer is given.
#[derive(Clone, Debug)]
pub struct Linear {
    place: Place,
    activation: Activation,
}

/// Where the weights are.
#[derive(Clone, Debug)]
enum Place {
    Host(Arc<Packed>),
    #[cfg(feature = "cuda")]
    Cuda(Arc<crate::cuda::layers::Layer>),
}

#[derive(Debug)]
struct Packed {
    weights: PackedWeights,
    bias: Option<Vec<f32>>,
}

impl Linear {
    /// `weight` is `(out, in)` as torch stores it, `bias` is `(out)`. float16 and bfloat16 weights are kept as such; on a CUDA device they
    /// are of the type of what the layer is given.
    ///
    /// # Errors
    ///
    /// Where the shapes do not fit.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if weight.device().is_cuda() {
            let layer = crate::cuda::layers::Layer::linear(weight, bias)?;
            return Ok(Self { place: Place::Cuda(Arc::new(layer)), activation: Activation::Identity });
        }
        Self::with_isa(weight, bias, Isa::best())
    }

    /// [`Self::new`] for an instruction set that is not the best one, to compare them.
    pub fn with_isa(weight: &Tensor, bias: Option<&Tensor>, isa: Isa) -> Result<Self> {
        let (n, k) = weight.dims2()?;
        let bias = bias.map(weights).transpose()?;
        if bias.as_ref().is_some_and(|b| b.len() != n) {
            bail!("a linear layer of {n} outputs has a bias of another size");
        }
        let weights = PackedWeights::new(isa, weight, (1, k, n), |_, row, column| column * k + row)?;
        Ok(Self { place: Place::Host(Arc::new(Packed { weights, bias })), activation: Activation::Identity })
    }

    /// The same layer followed by `activation`, at no further cost.
    pub fn then(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// `(.., in)` to `(.., out)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.place {
            Place::Host(packed) => x.contiguous()?.apply_op1_no_bwd(&Op(packed, self.activation)),
            #[cfg(feature = "cuda")]
            Place::Cuda(layer) => layer.forward_linear(x, None, self.activation),
        }
    }

    /// `activation(x · Wᵀ + b + residual)`; `residual` is of the answer's shape.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        match &self.place {
            Place::Host(packed) => {
                x.contiguous()?.apply_op2_no_bwd(&residual.contiguous()?, &Op(packed, self.activation))
            }
            #[cfg(feature = "cuda")]
            Place::Cuda(layer) => layer.forward_linear(x, Some(residual), self.activation),
        }
    }

    /// The size of the last dimension of the answer.
    pub fn out_features(&self) -> usize {
        match &self.place {
            Place::Host(packed) => packed.weights.columns,
            #[cfg(feature = "cuda")]
            Place::Cuda(layer) => layer.outputs(),
        }
    }
}

/// Rows that lie one after the other.
struct Dense<'a> {
    values: &'a [f32],
    width: usize,
}

impl Rows for Dense<'_> {
    #[inline(always)]
    fn addresses(&self, row: usize, pointers: &mut [*const f32], _stride: usize) {
        pointers[0] = self.values[row * self.width..(row + 1) * self.width].as_ptr();
    }
}

struct Op<'a>(&'a Packed, Activation);

impl Op<'_> {
    fn run(&self, x: &[f32], shape: &Shape, residual: Option<&[f32]>) -> Result<(CpuStorage, Shape)> {
        let Packed { weights: packed, bias } = self.0;
        let mut dims = shape.dims().to_vec();
        let Some(last) = dims.last_mut().filter(|last| **last == packed.depth) else {
            bail!("a linear layer of {} inputs was given {shape:?}", packed.depth)
        };
        *last = packed.columns;
        let rows = x.len() / packed.depth;
        if residual.is_some_and(|r| r.len() != rows * packed.columns) {
            bail!("the residual of a linear layer is not of its output's shape {dims:?}");
        }
        let epilogue =
            Epilogue { columns: packed.columns, bias: bias.as_deref(), per_image: None, residual, activation: self.1 };
        // SAFETY: `multiply` writes every row and column.
        let out = unsafe {
            filled(rows * packed.columns, |out| {
                multiply(&Dense { values: x, width: packed.depth }, packed, rows, epilogue, out)
            })
        };
        Ok(output(out, dims))
    }
}

impl CustomOp1 for Op<'_> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run(floats(storage, layout)?, layout.shape(), None)
    }
}

impl CustomOp2 for Op<'_> {
    fn name(&self) -> &'static str {
        "linear_add"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run(floats(storage, layout)?, layout.shape(), Some(floats(residual, residual_layout)?))
    }
}
