//! Linear layers.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::Activation;
use crate::gemm::{Epilogue, Rows, multiply};
use crate::packed::PackedWeights;
use crate::simd::Isa;
use crate::tensor::{filled, floats, output, weights};

/// `activation(x · Wᵀ + b)` over the last dimension. The weights are packed for this machine when the layer is made.
#[derive(Clone, Debug)]
pub struct Linear {
    packed: Arc<PackedWeights>,
    bias: Option<Arc<[f32]>>,
    activation: Activation,
}

impl Linear {
    /// `weight` is `(out, in)` as torch stores it, `bias` is `(out)`. float16 and bfloat16 weights are kept as such.
    ///
    /// # Errors
    ///
    /// Where the shapes do not fit.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        Self::with_isa(weight, bias, Isa::best())
    }

    /// [`Self::new`] for an instruction set that is not the best one, to compare them.
    pub fn with_isa(weight: &Tensor, bias: Option<&Tensor>, isa: Isa) -> Result<Self> {
        let (n, k) = weight.dims2()?;
        let bias = bias.map(weights).transpose()?;
        if bias.as_ref().is_some_and(|b| b.len() != n) {
            bail!("a linear layer of {n} outputs has a bias of another size");
        }
        let packed = PackedWeights::new(isa, weight, (1, k, n), |_, row, column| column * k + row)?;
        Ok(Self { packed: Arc::new(packed), bias: bias.map(Arc::from), activation: Activation::Identity })
    }

    /// The same layer followed by `activation`, at no further cost.
    pub fn then(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// `(.., in)` to `(.., out)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op1_no_bwd(&Op(self))
    }

    /// `activation(x · Wᵀ + b + residual)`; `residual` is of the answer's shape.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op2_no_bwd(&residual.contiguous()?, &Op(self))
    }

    /// The size of the last dimension of the answer.
    pub fn out_features(&self) -> usize {
        self.packed.columns
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

struct Op<'a>(&'a Linear);

impl Op<'_> {
    fn run(&self, x: &[f32], shape: &Shape, residual: Option<&[f32]>) -> Result<(CpuStorage, Shape)> {
        let packed = &self.0.packed;
        let mut dims = shape.dims().to_vec();
        let Some(last) = dims.last_mut().filter(|last| **last == packed.depth) else {
            bail!("a linear layer of {} inputs was given {shape:?}", packed.depth)
        };
        *last = packed.columns;
        let rows = x.len() / packed.depth;
        if residual.is_some_and(|r| r.len() != rows * packed.columns) {
            bail!("the residual of a linear layer is not of its output's shape {dims:?}");
        }
        let epilogue = Epilogue {
            columns: packed.columns,
            bias: self.0.bias.as_deref(),
            per_image: None,
            residual,
            activation: self.0.activation,
        };
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
