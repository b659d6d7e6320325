//! Errors of loading and of running a model.

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
    Backend(#[from] candle_core::Error),
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
    Backend(#[from] candle_core::Error),
}
