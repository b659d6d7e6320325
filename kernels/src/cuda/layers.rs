//! Layers whose weights lie on a device.

use candle_core::{DType, Result, Tensor, bail};
use x0_cuda::Architecture;
use x0_cuda::plan::{self, Addend, Conv2dShape, Epilogue};

use super::run::{architecture, device, element, empty, run};
use crate::{Activation, Conv2dOptions};

/// Weights of a linear layer or a convolution, and what it adds.
#[derive(Debug)]
pub(crate) struct Layer {
    /// `(out, kernel height, kernel width, in)`; for a linear layer `(out, in)`.
    weight: Tensor,
    /// `(out)`, float32.
    bias: Option<Tensor>,
    /// Of the device.
    architecture: Architecture,
}

impl Layer {
    /// Of a linear layer, `weight` is `(out, in)`.
    pub(crate) fn linear(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        Self::new(weight.contiguous()?, bias)
    }

    /// Of a convolution; `weight` is `(out, in, kernel height, kernel width)` as torch has it.
    pub(crate) fn conv2d(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        Self::new(weight.permute((0, 2, 3, 1))?.contiguous()?, bias)
    }

    fn new(weight: Tensor, bias: Option<&Tensor>) -> Result<Self> {
        let bias = bias.map(|bias| bias.to_dtype(DType::F32)?.contiguous()).transpose()?;
        if bias.as_ref().is_some_and(|bias| bias.elem_count() != weight.dims()[0]) {
            bail!("a layer of {} outputs has a bias of another size", weight.dims()[0]);
        }
        let architecture = architecture(&device(&weight)?)?;
        Ok(Self { weight, bias, architecture })
    }

    pub(crate) fn outputs(&self) -> usize {
        self.weight.dims()[0]
    }

    /// `(.., in)` to `(.., out)`; `residual` is of the answer's shape.
    pub(crate) fn forward_linear(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        let (outputs, inputs) = self.weight.dims2()?;
        let mut dims = x.dims().to_vec();
        let Some(last) = dims.last_mut().filter(|last| **last == inputs) else {
            bail!("a linear layer of {inputs} inputs was given {:?}", x.shape())
        };
        *last = outputs;
        if residual.is_some_and(|residual| residual.dims() != dims) {
            bail!("the residual of a linear layer is not of its output's shape {dims:?}");
        }
        let addend = if residual.is_some() { Addend::Residual } else { Addend::None };
        let epilogue = self.epilogue(addend, activation);
        let sizes = (x.elem_count() / inputs, inputs, outputs);
        let plan = plan::linear(self.architecture, element(x)?, sizes, epilogue);
        self.run(&plan, x, residual, dims)
    }

    /// `(batch, height, width, in)` to `(batch, height', width', out)`.
    pub(crate) fn forward_conv2d(
        &self,
        x: &Tensor,
        options: Conv2dOptions,
        addend: Addend,
        added: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        let (out_channels, kernel_height, kernel_width, in_channels) = self.weight.dims4()?;
        let (batch, height, width, channels) = x.dims4()?;
        if channels != in_channels {
            bail!("a convolution of {in_channels} channels was given {:?}", x.shape());
        }
        let Conv2dOptions { stride, padding, upsample } = options;
        let kernel = (kernel_height, kernel_width);
        let shape = Conv2dShape { batch, height, width, in_channels, out_channels, kernel, stride, padding, upsample };
        let Some((out_height, out_width)) = shape.output() else {
            bail!("a convolution with a kernel of {kernel:?} was given {:?}", x.shape())
        };
        let dims = vec![batch, out_height, out_width, out_channels];
        let expected: &[usize] = match addend {
            Addend::PerChannel => &[batch, out_channels],
            Addend::None | Addend::Residual => &dims,
        };
        if added.is_some_and(|added| added.dims() != expected) {
            bail!("what is added to a convolution's output of {dims:?} has another shape");
        }
        let plan = plan::conv2d(self.architecture, element(x)?, shape, self.epilogue(addend, activation));
        self.run(&plan, x, added, dims)
    }

    fn epilogue(&self, addend: Addend, activation: Activation) -> Epilogue {
        Epilogue { bias: self.bias.is_some(), addend, activation: activation.into() }
    }

    fn run(&self, plan: &x0_cuda::Plan, x: &Tensor, added: Option<&Tensor>, dims: Vec<usize>) -> Result<Tensor> {
        if x.dtype() != self.weight.dtype() || added.is_some_and(|added| added.dtype() != x.dtype()) {
            bail!("a layer of {:?} was given {:?}", self.weight.dtype(), x.dtype());
        }
        let x = x.contiguous()?;
        let added = added.map(Tensor::contiguous).transpose()?;
        let output = empty(&device(&x)?, x.dtype(), dims)?;
        let mut tensors = vec![&x, &self.weight];
        tensors.extend(&self.bias);
        tensors.extend(&added);
        tensors.push(&output);
        run(plan, &tensors)?;
        Ok(output)
    }
}

impl From<Activation> for x0_cuda::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Identity => Self::Identity,
            Activation::Silu => Self::Silu,
            Activation::Gelu => Self::Gelu,
            Activation::QuickGelu => Self::QuickGelu,
            Activation::Relu => Self::Relu,
            Activation::Tanh => Self::Tanh,
        }
    }
}
