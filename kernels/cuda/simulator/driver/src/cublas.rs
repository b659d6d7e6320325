//! As much of cuBLAS as a program needs that only makes a handle of it, as candle does with each device.

use crate::handle::Handle;
use crate::pointer::Out;
use crate::unsupported::unsupported;

/// `CUBLAS_STATUS_SUCCESS`
const SUCCESS: i32 = 0;
/// `CUBLAS_STATUS_INVALID_VALUE`
const INVALID_VALUE: i32 = 7;
/// `CUBLAS_STATUS_NOT_SUPPORTED`
const NOT_SUPPORTED: i32 = 15;

#[unsafe(no_mangle)]
pub extern "C" fn cublasCreate_v2(handle: Out<Handle>) -> i32 {
    handle.set(Handle::unique()).map_or(INVALID_VALUE, |()| SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasDestroy_v2(_handle: Handle) -> i32 {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasSetStream_v2(_handle: Handle, _stream: Handle) -> i32 {
    SUCCESS
}

unsupported! {
    NOT_SUPPORTED, i32,
    cublasDasum_v2 cublasDgemmStridedBatched cublasDgemm_v2 cublasDgemv_v2
    cublasGemmEx cublasGemmGroupedBatchedEx cublasGemmStridedBatchedEx
    cublasGetPointerMode_v2 cublasSetPointerMode_v2
    cublasSasum_v2 cublasSgemmStridedBatched cublasSgemm_v2 cublasSgemv_v2
}
