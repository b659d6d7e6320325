//! Errors of loading and of running a model.

use x0_kernels::{DeviceFault, OpenError, device_fault};

/// Why a model could not be loaded. The message names the file, key or tensor.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error("{path}: {message}")]
    Config { path: String, message: String },
    #[error("{path}: tensor {tensor}: {message}")]
    Tensor { path: String, tensor: String, message: String },
    #[error("{path}: {message}")]
    Format { path: String, message: String },
    #[error(transparent)]
    Device(#[from] OpenError),
    #[error(transparent)]
    Backend(#[from] candle_core::Error),
}

impl LoadError {
    /// What went wrong with the device, where it was not with the model: [`StepError::OutOfMemory`] or [`StepError::DeviceLost`].
    pub fn device_fault(&self) -> Option<StepError> {
        match self {
            Self::Backend(error) => device_fault(error).map(|_| StepError::of(error)),
            Self::Io { .. } | Self::Config { .. } | Self::Tensor { .. } | Self::Format { .. } | Self::Device(_) => None,
        }
    }
}

/// Why an image could not be stepped or decoded.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The prediction became infinite or undefined.
    #[error("the model's output is not finite at step {step}")]
    NotFinite { step: u32 },
    /// A picture was asked for before its last model call.
    #[error("only {done} of {calls} model calls are done")]
    Unfinished { done: u32, calls: u32 },
    /// The device has no memory for it. A slot that was to be stepped was not: it is as it was before, and may be stepped again with
    /// fewer others.
    #[error("there is not enough memory on the device")]
    OutOfMemory,
    /// The device, or this process' access to it, broke down, and with it all that it held: no later call can succeed, and only another
    /// process can use the device again. The message is the driver's.
    #[error("the device is lost: {0}")]
    DeviceLost(String),
    #[error(transparent)]
    Sampler(#[from] crate::sampler::SamplerError),
    #[error(transparent)]
    Request(#[from] crate::request::RequestError),
    #[error(transparent)]
    Backend(candle_core::Error),
}

impl StepError {
    /// The same as [`Self::from`], for an error that several slots have.
    pub(crate) fn of(error: &candle_core::Error) -> Self {
        match device_fault(error) {
            Some(DeviceFault::OutOfMemory) => Self::OutOfMemory,
            Some(DeviceFault::Lost) => Self::DeviceLost(error.to_string()),
            None => Self::Backend(candle_core::Error::msg(error.to_string())),
        }
    }

    /// The same error where the slot had been stepped already, and so must not be stepped again.
    pub(crate) fn after_step(self) -> Self {
        match self {
            Self::OutOfMemory => Self::Backend(candle_core::Error::msg("there is not enough memory on the device")),
            Self::NotFinite { .. }
            | Self::Unfinished { .. }
            | Self::DeviceLost(_)
            | Self::Sampler(_)
            | Self::Request(_)
            | Self::Backend(_) => self,
        }
    }
}

impl From<candle_core::Error> for StepError {
    fn from(error: candle_core::Error) -> Self {
        match device_fault(&error) {
            Some(DeviceFault::OutOfMemory) => Self::OutOfMemory,
            Some(DeviceFault::Lost) => Self::DeviceLost(error.to_string()),
            None => Self::Backend(error),
        }
    }
}
