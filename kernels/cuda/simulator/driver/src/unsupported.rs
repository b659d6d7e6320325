//! Functions that programs built with cudarc refer to, but that the simulator does not have. A program that calls one is told which.

use crate::status::{Error, Status};

/// Functions that write their names to the error output and answer with a library's error. They take any arguments: in C, the caller
/// cleans up after a call.
macro_rules! unsupported {
    ($answer:expr, $type:ty, $($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            pub extern "C" fn $name() -> $type {
                eprintln!("CUDA simulator: there is no {}", stringify!($name));
                $answer
            }
        )*
    };
}
pub(crate) use unsupported;

unsupported! {
    Err(Error::NotSupported).into(), Status,
    cuCtxCreate_v4 cuCtxGetCacheConfig cuCtxGetLimit cuCtxSetCacheConfig cuCtxSetLimit
    cuDestroyExternalMemory cuExternalMemoryGetMappedBuffer cuImportExternalMemory
    cuGetExportTable cuGetProcAddress_v2
    cuLaunchCooperativeKernel cuLaunchHostFunc
    cuMemAdvise_v2 cuMemAllocManaged cuMemPoolCreate cuMemPoolDestroy cuMemPrefetchAsync_v2
    cuOccupancyAvailableDynamicSMemPerBlock cuOccupancyMaxPotentialBlockSize cuOccupancyMaxPotentialBlockSizeWithFlags
    cuProfilerStart cuProfilerStop
    cuStreamAttachMemAsync cuThreadExchangeStreamCaptureMode
}
