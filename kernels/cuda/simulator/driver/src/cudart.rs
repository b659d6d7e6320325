//! As much of the runtime library as a program needs that has kernels linked in and launches none of them, as candle has for quantised
//! weights: it registers them when it starts.

use std::ffi::{c_char, c_void};

use crate::handle::Handle;
use crate::unsupported::unsupported;

/// `cudaErrorNotSupported`
const NOT_SUPPORTED: i32 = 801;

#[unsafe(no_mangle)]
pub extern "C" fn __cudaRegisterFatBinary(_binary: *const c_void) -> Handle {
    Handle::unique()
}

#[unsafe(no_mangle)]
pub extern "C" fn __cudaRegisterFatBinaryEnd(_binary: Handle) {}

#[unsafe(no_mangle)]
pub extern "C" fn __cudaUnregisterFatBinary(_binary: Handle) {}

/// What it is told of the kernel's name and place is not needed.
#[unsafe(no_mangle)]
pub extern "C" fn __cudaRegisterFunction() {}

/// What it is told of the variable's name and place is not needed.
#[unsafe(no_mangle)]
pub extern "C" fn __cudaRegisterVar() {}

#[unsafe(no_mangle)]
pub extern "C" fn cudaGetErrorName(_code: i32) -> *const c_char {
    c"cudaErrorNotSupported".as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn cudaGetErrorString(_code: i32) -> *const c_char {
    c"the simulator has no runtime library".as_ptr()
}

unsupported! {
    NOT_SUPPORTED, i32,
    __cudaGetKernel __cudaLaunchKernel __cudaLaunchKernel_ptsz __cudaPopCallConfiguration __cudaPushCallConfiguration
    cudaDeviceGetAttribute cudaFree cudaFreeAsync_ptsz cudaFuncGetAttributes cudaFuncSetAttribute cudaGetDevice
    cudaGetDeviceCount cudaGetLastError cudaMalloc cudaMallocAsync_ptsz cudaMemsetAsync_ptsz
    cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags cudaPeekAtLastError cudaSetDevice cudaStreamSynchronize_ptsz
}
