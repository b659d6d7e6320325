//! The one device.

use std::ffi::c_char;

use crate::context::with_driver;
use crate::pointer::Out;
use crate::settings::Settings;
use crate::status::{Error, Status};

/// As an A100 has.
pub(crate) const MULTIPROCESSORS: i32 = 108;
pub(crate) const WARP: u32 = 32;
/// The most threads of a block.
pub(crate) const BLOCK_THREADS: u32 = 1024;
/// The most threads of a block in each direction.
pub(crate) const BLOCK: [u32; 3] = [1024, 1024, 64];
/// The most blocks in each direction.
pub(crate) const GRID: [u32; 3] = [0x7FFF_FFFF, 0xFFFF, 0xFFFF];
/// Bytes of shared memory that every kernel may use.
pub(crate) const SHARED: u32 = 48 << 10;
/// Bytes of shared memory that a kernel may use if `cuFuncSetAttribute` was asked for them.
pub(crate) const SHARED_OPT_IN: u32 = 163 << 10;
/// Bytes of shared memory of a multiprocessor.
pub(crate) const SHARED_OF_MULTIPROCESSOR: u32 = 164 << 10;
/// Bytes of shared memory of each block that the device keeps for itself.
pub(crate) const SHARED_RESERVED: u32 = 1 << 10;
pub(crate) const MULTIPROCESSOR_THREADS: u32 = 2048;
pub(crate) const MULTIPROCESSOR_BLOCKS: u32 = 32;
const REGISTERS: i32 = 65536;

/// There is only device 0.
pub(crate) fn check(ordinal: i32) -> Result<(), Error> {
    if ordinal == 0 { Ok(()) } else { Err(Error::InvalidDevice) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetCount(count: Out<i32>) -> Status {
    with_driver(|_| count.set(1))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGet(device: Out<i32>, ordinal: i32) -> Status {
    with_driver(|_| {
        check(ordinal)?;
        device.set(ordinal)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetName(name: Out<c_char>, room: i32, device: i32) -> Status {
    with_driver(|_| {
        check(device)?;
        name.set_text("x0 CUDA simulator", usize::try_from(room).map_err(|_| Error::InvalidValue)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetUuid_v2(uuid: Out<[u8; 16]>, device: i32) -> Status {
    with_driver(|_| {
        check(device)?;
        uuid.set(*b"x0-cuda-simulate")
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: i32) -> Status {
    with_driver(|_| {
        check(device)?;
        bytes.set(Settings::get()?.memory)
    })
}

/// Those attributes that a program asks for before it launches kernels; an unknown one is an invalid value.
#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetAttribute(value: Out<i32>, attribute: u32, device: i32) -> Status {
    with_driver(|_| {
        check(device)?;
        value.set(attribute_of(Settings::get()?, attribute).ok_or(Error::InvalidValue)?)
    })
}

/// By the numbers of `CUdevice_attribute`.
fn attribute_of(settings: &Settings, attribute: u32) -> Option<i32> {
    Some(match attribute {
        // MAX_THREADS_PER_BLOCK
        1 => BLOCK_THREADS.cast_signed(),
        // MAX_BLOCK_DIM_X, Y, Z
        2..=4 => BLOCK[attribute as usize - 2].cast_signed(),
        // MAX_GRID_DIM_X, Y, Z
        5..=7 => GRID[attribute as usize - 5].cast_signed(),
        // MAX_SHARED_MEMORY_PER_BLOCK
        8 => SHARED.cast_signed(),
        // TOTAL_CONSTANT_MEMORY
        9 => 64 << 10,
        // WARP_SIZE
        10 => WARP.cast_signed(),
        // MAX_REGISTERS_PER_BLOCK, MAX_REGISTERS_PER_MULTIPROCESSOR
        12 | 82 => REGISTERS,
        // CLOCK_RATE in kHz
        13 => 1_410_000,
        // MULTIPROCESSOR_COUNT
        16 => MULTIPROCESSORS,
        // KERNEL_EXEC_TIMEOUT, INTEGRATED, COMPUTE_MODE, ECC_ENABLED
        17 | 18 | 20 | 32 => 0,
        // PCI_BUS_ID, PCI_DEVICE_ID, PCI_DOMAIN_ID
        33 | 34 | 50 => 0,
        // CONCURRENT_KERNELS, UNIFIED_ADDRESSING
        31 | 41 => 1,
        // MEMORY_CLOCK_RATE in kHz
        36 => 1_215_000,
        // GLOBAL_MEMORY_BUS_WIDTH in bits
        37 => 5120,
        // L2_CACHE_SIZE
        38 => 40 << 20,
        // MAX_THREADS_PER_MULTIPROCESSOR
        39 => MULTIPROCESSOR_THREADS.cast_signed(),
        // ASYNC_ENGINE_COUNT
        40 => 3,
        // COMPUTE_CAPABILITY_MAJOR and MINOR
        75 => settings.capability.0,
        76 => settings.capability.1,
        // STREAM_PRIORITIES_SUPPORTED, MANAGED_MEMORY, COOPERATIVE_LAUNCH, CLUSTER_LAUNCH
        78 | 83 | 95 | 120 => 0,
        // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
        81 => SHARED_OF_MULTIPROCESSOR.cast_signed(),
        // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
        97 => SHARED_OPT_IN.cast_signed(),
        // MAX_BLOCKS_PER_MULTIPROCESSOR
        106 => MULTIPROCESSOR_BLOCKS.cast_signed(),
        // RESERVED_SHARED_MEMORY_PER_BLOCK
        111 => SHARED_RESERVED.cast_signed(),
        // MEMORY_POOLS_SUPPORTED
        115 => 1,
        _ => return None,
    })
}
