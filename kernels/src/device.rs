//! CUDA devices: which there are, and what goes wrong with them.
//!
//! The functions are here with and without the feature `cuda`; a program that was built without it has no devices.

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};

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
    #[error("the CUDA device {name} computes {task} otherwise than the processor, by {by} of the answer's norm")]
    Wrong { name: String, task: &'static str, by: String },
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
pub fn cuda_devices() -> std::result::Result<Vec<CudaDeviceInfo>, OpenError> {
    #[cfg(feature = "cuda")]
    return crate::cuda::device::all();
    #[cfg(not(feature = "cuda"))]
    Err(OpenError::NotBuilt)
}

/// Opens a CUDA device. All tensors on it belong to one stream: who shares them between threads must not do so at the same time.
///
/// # Errors
/// If it is not there, is too old, or cannot be opened.
pub fn open_cuda(ordinal: usize) -> std::result::Result<(Device, CudaDeviceInfo), OpenError> {
    #[cfg(feature = "cuda")]
    return crate::cuda::device::open(ordinal);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = ordinal;
        Err(OpenError::NotBuilt)
    }
}

/// Floating-point operations per second of a large product of matrices by cuBLAS on a CUDA device, in numbers of `dtype`: what networks are
/// measured against. None on the processor, which [`crate::peak_flops`] is for.
///
/// # Errors
/// If the device fails, or has no memory for a few matrices of 8192 rows and columns.
pub fn matrix_peak(device: &Device, dtype: DType) -> Result<Option<f64>> {
    const SIDE: usize = 8192;
    const PRODUCTS: u32 = 20;
    if !device.is_cuda() {
        return Ok(None);
    }
    // Multiplying the same number again and again takes less power than a network does, and clocks would be higher.
    let matrix = Tensor::randn(0_f32, 1.0, (SIDE, SIDE), device)?.to_dtype(dtype)?;
    let products = |count: u32| {
        let start = Instant::now();
        for _ in 0..count {
            matrix.matmul(&matrix)?;
        }
        device.synchronize()?;
        Ok::<_, candle_core::Error>(start.elapsed().as_secs_f64())
    };
    // cuBLAS chooses its way at the first one.
    products(1)?;
    Ok(Some(2.0 * (SIDE as f64).powi(3) * f64::from(PRODUCTS) / products(PRODUCTS)?))
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
