//! Functions of modules, and what may be asked of them.

use crate::context::with_context;
use crate::device;
use crate::handle::Handle;
use crate::pointer::Out;
use crate::settings::Settings;
use crate::status::{Error, Status};

#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) simulated: x0_cuda_simulator::Function,
    pub(crate) name: String,
    /// The most bytes of shared memory that a launch may add to what the kernel declares.
    pub(crate) dynamic_limit: u32,
}

impl Function {
    pub(crate) fn new(simulated: &x0_cuda_simulator::Function, name: &str) -> Self {
        let mut function = Self { simulated: simulated.clone(), name: name.to_owned(), dynamic_limit: 0 };
        function.dynamic_limit = device::SHARED.saturating_sub(function.declared());
        function
    }

    /// Bytes of shared memory that the kernel declares.
    fn declared(&self) -> u32 {
        u32::try_from(self.simulated.static_shared_bytes()).unwrap_or(u32::MAX)
    }

    /// How many blocks fit on a multiprocessor, by threads and shared memory.
    fn blocks_of_multiprocessor(&self, threads: u32, dynamic: u32) -> u32 {
        let threads = threads.max(1).next_multiple_of(device::WARP);
        let shared = self.declared().saturating_add(dynamic).saturating_add(device::SHARED_RESERVED);
        let by_threads = device::MULTIPROCESSOR_THREADS / threads;
        let by_shared = device::SHARED_OF_MULTIPROCESSOR / shared;
        by_threads.min(by_shared).min(device::MULTIPROCESSOR_BLOCKS)
    }
}

/// By the numbers of `CUfunction_attribute`. How many registers a kernel would take is not known; it is said to be 32.
#[unsafe(no_mangle)]
pub extern "C" fn cuFuncGetAttribute(value: Out<i32>, attribute: u32, function: Handle) -> Status {
    with_context(|context| {
        let function = context.functions.get(function)?;
        let (major, minor) = Settings::get()?.capability;
        value.set(match attribute {
            // MAX_THREADS_PER_BLOCK
            0 => device::BLOCK_THREADS.cast_signed(),
            // SHARED_SIZE_BYTES
            1 => function.declared().cast_signed(),
            // CONST_SIZE_BYTES, LOCAL_SIZE_BYTES, CACHE_MODE_CA
            2 | 3 | 7 => 0,
            // NUM_REGS
            4 => 32,
            // PTX_VERSION, BINARY_VERSION
            5 | 6 => major * 10 + minor,
            // MAX_DYNAMIC_SHARED_SIZE_BYTES
            8 => function.dynamic_limit.cast_signed(),
            // PREFERRED_SHARED_MEMORY_CARVEOUT: no preference
            9 => -1,
            _ => return Err(Error::InvalidValue),
        })
    })
}

/// The preferred division between shared memory and cache makes no difference here.
#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetAttribute(function: Handle, attribute: u32, value: i32) -> Status {
    with_context(|context| {
        let function = context.functions.get_mut(function)?;
        match attribute {
            // MAX_DYNAMIC_SHARED_SIZE_BYTES
            8 => {
                let bytes = u32::try_from(value).map_err(|_| Error::InvalidValue)?;
                let declared = function.declared();
                if bytes.saturating_add(declared) > device::SHARED_OPT_IN {
                    return Err(Error::InvalidValue);
                }
                function.dynamic_limit = bytes;
                Ok(())
            }
            // PREFERRED_SHARED_MEMORY_CARVEOUT
            9 if (-1..=100).contains(&value) => Ok(()),
            _ => Err(Error::InvalidValue),
        }
    })
}

/// How cache and shared memory are divided makes no difference here.
#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetCacheConfig(function: Handle, _division: u32) -> Status {
    with_context(|context| context.functions.get(function).map(drop))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    blocks: Out<i32>,
    function: Handle,
    threads: i32,
    dynamic: usize,
) -> Status {
    with_context(|context| {
        let function = context.functions.get(function)?;
        let threads = u32::try_from(threads).map_err(|_| Error::InvalidValue)?;
        let dynamic = u32::try_from(dynamic).map_err(|_| Error::InvalidValue)?;
        blocks.set(function.blocks_of_multiprocessor(threads, dynamic).cast_signed())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    blocks: Out<i32>,
    function: Handle,
    threads: i32,
    dynamic: usize,
    _flags: u32,
) -> Status {
    cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, dynamic)
}
