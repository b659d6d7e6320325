//! Where networks compute, and with which numbers.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use candle_core::{DType, Device, Result, Shape, Tensor};
use x0_kernels::{CudaDeviceInfo, Deviation, OpenError, hand_over};

use crate::error::StepError;

/// The type of a network's weights and activations on a CUDA device. Sums are taken in float32 in any case, and so are a sampler's steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// float32 throughout: for comparisons.
    Float32,
    /// Finer than [`Self::Bfloat16`], but numbers end at 65504.
    Float16,
    /// Half the memory and twice the speed of float32, and its range.
    #[default]
    Bfloat16,
}

impl Precision {
    /// As numpy and torch call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
        }
    }

    fn dtype(self) -> DType {
        match self {
            Self::Float32 => DType::F32,
            Self::Float16 => DType::F16,
            Self::Bfloat16 => DType::BF16,
        }
    }
}

/// A device, and the type of the numbers on it.
#[derive(Clone, Debug)]
pub struct Placement {
    device: Device,
    precision: Precision,
    /// None for the processor.
    cuda: Option<CudaDeviceInfo>,
    /// Held for writing while a graph is recorded: whatever another thread gave to the stream meanwhile would become part of it.
    recording: Arc<RwLock<()>>,
}

impl Placement {
    /// The machine's processor. Weights keep the type of their file there, activations are float32.
    #[must_use]
    pub fn cpu() -> Self {
        Self { device: Device::Cpu, precision: Precision::Float32, cuda: None, recording: Arc::default() }
    }

    /// A CUDA device; `ordinal` counts from 0 as `CUDA_VISIBLE_DEVICES` leaves them.
    ///
    /// # Errors
    /// If there is none, it cannot be used, or its answers to small tasks are not the processor's.
    pub fn cuda(ordinal: usize, precision: Precision) -> std::result::Result<Self, OpenError> {
        let (device, info) = x0_kernels::open_cuda(ordinal)?;
        match x0_kernels::deviation(&device, precision.dtype()) {
            Ok(None) => {}
            Ok(Some(Deviation { task, by })) => {
                return Err(OpenError::Wrong { name: info.name, task, by: format!("{by:.3}") });
            }
            Err(error) => return Err(OpenError::Failed { ordinal, message: error.to_string().replace('\n', " ") }),
        }
        Ok(Self { device, precision, cuda: Some(info), recording: Arc::default() })
    }

    /// The same device for work that need not wait for what this placement does: on a CUDA device another stream, on the processor itself.
    ///
    /// # Errors
    /// If the stream cannot be made.
    pub(crate) fn beside(&self) -> std::result::Result<Self, OpenError> {
        match &self.cuda {
            None => Ok(self.clone()),
            Some(info) => Ok(Self { device: x0_kernels::open_cuda(info.ordinal)?.0, ..self.clone() }),
        }
    }

    /// For a thread other than the one that steps: to be held while it reads weights to the device or gives some back.
    pub(crate) fn aside(&self) -> RwLockReadGuard<'_, ()> {
        self.recording.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be held while a graph is recorded.
    #[cfg(feature = "cuda")]
    pub(crate) fn record(&self) -> std::sync::RwLockWriteGuard<'_, ()> {
        self.recording.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The CUDA device, unless it is the processor.
    #[must_use]
    pub fn cuda_device(&self) -> Option<&CudaDeviceInfo> {
        self.cuda.as_ref()
    }

    /// The type of the activations of networks that compute here.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Floating-point operations per second that products of large matrices reach on a CUDA device; none on the processor.
    ///
    /// # Errors
    /// If the device fails.
    pub fn matrix_peak(&self) -> std::result::Result<Option<f64>, StepError> {
        Ok(x0_kernels::matrix_peak(&self.device, self.dtype())?)
    }

    /// A network's input or weight: float32 numbers as a tensor of the device and the type that networks compute with.
    pub(crate) fn tensor(&self, values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
        self.place(&Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    /// A tensor of any device as [`Self::tensor`]. On the processor that is the tensor itself.
    pub(crate) fn place(&self, tensor: &Tensor) -> Result<Tensor> {
        // Narrowed before it travels.
        hand_over(&tensor.to_dtype(self.dtype())?, &self.device)
    }

    /// A tensor as float32 on the device: for what is not narrowed.
    pub(crate) fn place_float32(&self, tensor: &Tensor) -> Result<Tensor> {
        hand_over(&tensor.to_dtype(DType::F32)?, &self.device)
    }

    /// The type of a network's activations.
    pub(crate) fn dtype(&self) -> DType {
        self.precision.dtype()
    }

    pub(crate) fn is_cuda(&self) -> bool {
        self.cuda.is_some()
    }
}
