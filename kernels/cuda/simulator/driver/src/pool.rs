//! The memory pool that stream-ordered allocations come from. Freed memory is never kept: the pool holds what is in use.

use std::ffi::c_void;

use x0_cuda_simulator::Address;

use crate::context::{Context, with_context, with_driver};
use crate::device;
use crate::handle::Handle;
use crate::memory::cuMemAllocAsync;
use crate::pointer::{In, Out};
use crate::status::{Error, Status};

/// The only pool.
const POOL: Handle = Handle(0x20);

/// What was set; nothing depends on it.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Whether freed memory may be used again after an event, if it happens to be free, and by making streams wait.
    reuse: [i32; 3],
    release_threshold: u64,
}

impl Default for Pool {
    fn default() -> Self {
        Self { reuse: [1; 3], release_threshold: 0 }
    }
}

fn check(pool: Handle) -> Result<(), Error> {
    if pool == POOL { Ok(()) } else { Err(Error::InvalidHandle) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetDefaultMemPool(pool: Out<Handle>, device: i32) -> Status {
    with_driver(|_| {
        device::check(device)?;
        pool.set(POOL)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetMemPool(pool: Out<Handle>, device: i32) -> Status {
    cuDeviceGetDefaultMemPool(pool, device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceSetMemPool(device: i32, pool: Handle) -> Status {
    with_driver(|_| {
        device::check(device)?;
        check(pool)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocFromPoolAsync(address: Out<Address>, bytes: usize, pool: Handle, stream: Handle) -> Status {
    match check(pool) {
        Ok(()) => cuMemAllocAsync(address, bytes, stream),
        Err(error) => Err(error).into(),
    }
}

/// By the numbers of `CUmemPool_attribute`: 1 to 3 are `int`, the rest `cuuint64_t`.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolGetAttribute(pool: Handle, attribute: u32, value: Out<c_void>) -> Status {
    with_context(|context| {
        check(pool)?;
        let Context { memory, pool, .. } = context;
        let number = match attribute {
            1..=3 => return value.of::<i32>().set(pool.reuse[attribute as usize - 1]),
            4 => pool.release_threshold,
            // RESERVED_MEM_CURRENT, USED_MEM_CURRENT
            5 | 7 => memory.used() as u64,
            // RESERVED_MEM_HIGH, USED_MEM_HIGH
            6 | 8 => memory.peak() as u64,
            _ => return Err(Error::InvalidValue),
        };
        value.of::<u64>().set(number)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolSetAttribute(pool: Handle, attribute: u32, value: In<c_void>) -> Status {
    with_context(|context| {
        check(pool)?;
        match attribute {
            1..=3 => context.pool.reuse[attribute as usize - 1] = value.of::<i32>().get()?,
            4 => context.pool.release_threshold = value.of::<u64>().get()?,
            // The highest marks can only be reset.
            6 | 8 if value.of::<u64>().get()? == 0 => context.memory.reset_peak(),
            _ => return Err(Error::InvalidValue),
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolTrimTo(pool: Handle, _bytes: usize) -> Status {
    with_context(|_| check(pool))
}
