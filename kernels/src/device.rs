//! CUDA devices: which there are, and what goes wrong with them.
//!
//! The functions are here with and without the feature `cuda`; a program that was built without it has no devices.

use candle_core::Device;

/// A CUDA device that kernels can run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDeviceInfo {
    /// From 0, as `CUDA_VISIBLE_DEVICES` leaves them.
    pub ordinal: usize,
    /// As NVIDIA calls it.
    pub name: String,
    /// Major and minor.
    pub compute_capability: (i32, i32),
    /// Bytes.
    pub memory: u64,
}

/// Why a CUDA device cannot be used. The message is one line, for who started the program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("this program was built without CUDA (the cargo feature `cuda`)")]
    NotBuilt,
    #[error("there is no CUDA device: {0}")]
    NoDriver(String),
    #[error("there is no CUDA device {ordinal}: {count} can be seen")]
    NoDevice { ordinal: usize, count: usize },
    #[error("the CUDA device {name} has compute capability {major}.{minor}; 8.0 or later is needed")]
    TooOld { name: String, major: i32, minor: i32 },
    #[error("the CUDA device {ordinal} cannot be opened: {message}")]
    Failed { ordinal: usize, message: String },
}

/// What a failed operation says about its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceFault {
    /// An allocation failed; the device goes on.
    OutOfMemory,
    /// Nothing works on the device any more until the process is started anew.
    Lost,
}

/// The CUDA devices that can be seen.
///
/// # Errors
/// If there is no driver, or the program was built without CUDA.
pub fn cuda_devices() -> Result<Vec<CudaDeviceInfo>, OpenError> {
    #[cfg(feature = "cuda")]
    return crate::cuda::device::all();
    #[cfg(not(feature = "cuda"))]
    Err(OpenError::NotBuilt)
}

/// Opens a CUDA device. All tensors on it belong to one stream: who shares them between threads must not do so at the same time.
///
/// # Errors
/// If it is not there, is too old, or cannot be opened.
pub fn open_cuda(ordinal: usize) -> Result<(Device, CudaDeviceInfo), OpenError> {
    #[cfg(feature = "cuda")]
    return crate::cuda::device::open(ordinal);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = ordinal;
        Err(OpenError::NotBuilt)
    }
}

/// Whether an operation failed because of its device.
pub fn device_fault(error: &candle_core::Error) -> Option<DeviceFault> {
    #[cfg(feature = "cuda")]
    return crate::cuda::device::fault(error);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = error;
        None
    }
}
