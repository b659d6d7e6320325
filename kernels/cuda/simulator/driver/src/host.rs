//! Host memory that the driver allocates. Real drivers pin it; here it is like any other.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashMap;

use crate::context::with_context;
use crate::pointer::Out;
use crate::status::{Error, Status};

/// As much as a page, which is what real drivers align to.
const ALIGNMENT: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct HostMemory(HashMap<usize, HostAllocation>);

/// Memory that is given back when it is dropped.
#[derive(Debug)]
struct HostAllocation {
    start: *mut u8,
    layout: Layout,
}

// SAFETY: it owns its memory, as a box does.
unsafe impl Send for HostAllocation {}

impl HostAllocation {
    fn new(bytes: usize) -> Result<Self, Error> {
        if bytes == 0 {
            return Err(Error::InvalidValue);
        }
        let layout = Layout::from_size_align(bytes, ALIGNMENT).map_err(|_| Error::OutOfMemory)?;
        // SAFETY: the layout has more than 0 bytes.
        let start = unsafe { alloc(layout) };
        if start.is_null() { Err(Error::OutOfMemory) } else { Ok(Self { start, layout }) }
    }
}

impl Drop for HostAllocation {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and dropped only once.
        unsafe { dealloc(self.start, self.layout) };
    }
}

/// The flags are about speed and other devices.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostAlloc(address: Out<*mut u8>, bytes: usize, _flags: u32) -> Status {
    with_context(|context| {
        context.captures.forbid_unsafe()?;
        let allocation = HostAllocation::new(bytes)?;
        let start = allocation.start;
        context.host.0.insert(start.addr(), allocation);
        address.set(start)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocHost_v2(address: Out<*mut u8>, bytes: usize) -> Status {
    cuMemHostAlloc(address, bytes, 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeHost(address: *mut u8) -> Status {
    with_context(|context| {
        context.captures.forbid_unsafe()?;
        context.host.0.remove(&address.addr()).map(drop).ok_or(Error::InvalidValue)
    })
}
