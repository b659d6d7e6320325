//! Finding and opening devices.

use candle_core::cuda_backend::CudaError;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, result, sys};
use candle_core::{CudaDevice, Device, Error};
use x0_cuda::Architecture;

use crate::device::{CudaDeviceInfo, DeviceFault, OpenError};

/// The devices that can be seen.
pub(crate) fn all() -> Result<Vec<CudaDeviceInfo>, OpenError> {
    (0..count()?).map(|ordinal| info(&*context(ordinal)?)).collect()
}

/// Opens a device on a stream of its own.
pub(crate) fn open(ordinal: usize) -> Result<(Device, CudaDeviceInfo), OpenError> {
    let count = count()?;
    if ordinal >= count {
        return Err(OpenError::NoDevice { ordinal, count });
    }
    let info = info(&*context(ordinal)?)?;
    let (major, minor) = info.compute_capability;
    if Architecture::for_capability(major, minor).is_none() {
        return Err(OpenError::TooOld { name: info.name, major, minor });
    }
    let failed = |error: Error| OpenError::Failed { ordinal, message: first_line(&error) };
    let device = CudaDevice::new_with_stream(ordinal).map_err(failed)?;
    // SAFETY: every tensor of this device is made, used and freed on its one stream.
    unsafe { device.disable_event_tracking() };
    keep_memory(device.cuda_stream().context()).map_err(|error| failed(CudaError::from(error).into()))?;
    Ok((Device::Cuda(device), info))
}

fn count() -> Result<usize, OpenError> {
    let count = CudaContext::device_count().map_err(|error| OpenError::NoDriver(describe(error)))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn context(ordinal: usize) -> Result<std::sync::Arc<CudaContext>, OpenError> {
    CudaContext::new(ordinal).map_err(|error| OpenError::Failed { ordinal, message: describe(error) })
}

fn info(context: &CudaContext) -> Result<CudaDeviceInfo, OpenError> {
    let ordinal = context.ordinal();
    let failed = |error| OpenError::Failed { ordinal, message: describe(error) };
    Ok(CudaDeviceInfo {
        ordinal,
        name: context.name().map_err(failed)?,
        compute_capability: context.compute_capability().map_err(failed)?,
        memory: context.total_mem().map_err(failed)? as u64,
    })
}

/// Lets the device's memory pool keep what is freed, for the next step, which needs as much.
fn keep_memory(context: &CudaContext) -> Result<(), DriverError> {
    context.bind_to_thread()?;
    let mut threshold = u64::MAX;
    // SAFETY: the device exists, its default pool lives as long as it, and the attribute is a 64-bit number.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device())?;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut threshold).cast()).result()
    }
}

/// What an error says about its device.
pub(crate) fn fault(error: &Error) -> Option<DeviceFault> {
    use sys::cudaError_enum as Code;
    match driver_error(error)?.0 {
        Code::CUDA_ERROR_OUT_OF_MEMORY => Some(DeviceFault::OutOfMemory),
        // After these the driver answers every call of the process with the same error.
        Code::CUDA_ERROR_ILLEGAL_ADDRESS
        | Code::CUDA_ERROR_LAUNCH_FAILED
        | Code::CUDA_ERROR_LAUNCH_TIMEOUT
        | Code::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | Code::CUDA_ERROR_MISALIGNED_ADDRESS
        | Code::CUDA_ERROR_INVALID_ADDRESS_SPACE
        | Code::CUDA_ERROR_INVALID_PC
        | Code::CUDA_ERROR_HARDWARE_STACK_ERROR
        | Code::CUDA_ERROR_ASSERT
        | Code::CUDA_ERROR_ECC_UNCORRECTABLE
        | Code::CUDA_ERROR_NVLINK_UNCORRECTABLE
        | Code::CUDA_ERROR_CONTEXT_IS_DESTROYED
        | Code::CUDA_ERROR_DEINITIALIZED
        | Code::CUDA_ERROR_DEVICE_UNAVAILABLE
        | Code::CUDA_ERROR_SYSTEM_NOT_READY
        | Code::CUDA_ERROR_UNKNOWN => Some(DeviceFault::Lost),
        // The rest of NVIDIA's list are mistakes in a call, which leave the device as it was.
        _ => None,
    }
}

/// The driver's error within candle's.
fn driver_error(error: &Error) -> Option<&DriverError> {
    match error {
        Error::Cuda(source) => match source.downcast_ref::<CudaError>()? {
            CudaError::Cuda(error) | CudaError::Load { cuda: error, .. } => Some(error),
            _ => None,
        },
        Error::WithBacktrace { inner, .. } | Error::Context { inner, .. } | Error::WithPath { inner, .. } => {
            driver_error(inner)
        }
        _ => None,
    }
}

/// The driver's name for an error with what it means.
fn describe(error: DriverError) -> String {
    let text = |of: Result<&std::ffi::CStr, DriverError>| of.ok().map(|text| text.to_string_lossy().into_owned());
    match (text(error.error_name()), text(error.error_string())) {
        (Some(name), Some(meaning)) => format!("{name}, {meaning}"),
        (name, meaning) => name.or(meaning).unwrap_or_else(|| format!("{:?}", error.0)),
    }
}

fn first_line(error: &Error) -> String {
    driver_error(error)
        .map_or_else(|| error.to_string().lines().next().unwrap_or_default().to_owned(), |error| describe(*error))
}
