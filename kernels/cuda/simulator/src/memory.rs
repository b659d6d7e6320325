//! The device's global memory.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// Where something lies in global memory.
pub type Address = u64;

/// What `cuMemAlloc` promises.
const ALIGNMENT: usize = 256;

/// Allocations. Fresh memory is full of 0xFF bytes, which are no number in any floating-point type, so that what was never written shows.
///
/// Addresses are those of the host's memory. It is not `Sync`: kernels write through a shared reference, so nobody else may have one.
#[derive(Debug, Default)]
pub struct Memory {
    /// By their addresses.
    allocations: Vec<Allocation>,
}

#[derive(Debug)]
struct Allocation {
    pointer: NonNull<u8>,
    bytes: usize,
}

// SAFETY: an allocation is reached through its `Memory` only.
unsafe impl Send for Allocation {}

impl Allocation {
    fn new(bytes: usize) -> Self {
        let layout = Self::layout(bytes);
        // SAFETY: the layout is never empty.
        let pointer = NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
        // SAFETY: the bytes were just allocated.
        unsafe { pointer.write_bytes(0xFF, layout.size()) };
        Self { pointer, bytes }
    }

    /// There is a gap after each allocation, so that a kernel which runs past one does not end up in the next.
    fn layout(bytes: usize) -> Layout {
        bytes
            .checked_add(ALIGNMENT)
            .and_then(|bytes| Layout::from_size_align(bytes, ALIGNMENT).ok())
            .expect("an allocation is smaller than the address space")
    }

    fn address(&self) -> Address {
        self.pointer.as_ptr().expose_provenance() as Address
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: it was allocated by `new` with this layout.
        unsafe { dealloc(self.pointer.as_ptr(), Self::layout(self.bytes)) }
    }
}

impl Memory {
    pub fn new() -> Self {
        Self::default()
    }

    /// Aligned to 256 bytes, as `cuMemAlloc` does.
    pub fn allocate(&mut self, bytes: usize) -> Address {
        let allocation = Allocation::new(bytes);
        let address = allocation.address();
        let index = self.allocations.partition_point(|other| other.address() < address);
        self.allocations.insert(index, allocation);
        address
    }

    /// False if nothing was allocated there.
    pub fn free(&mut self, address: Address) -> bool {
        match self.allocations.binary_search_by_key(&address, Allocation::address) {
            Ok(index) => {
                self.allocations.remove(index);
                true
            }
            Err(_) => false,
        }
    }

    /// False if some of it is no memory of the device; nothing is written then.
    pub fn write(&mut self, address: Address, bytes: &[u8]) -> bool {
        let Some(pointer) = self.find(address, bytes.len()) else { return false };
        // SAFETY: `find` has found that so many bytes are allocated there; `self` is borrowed alone.
        unsafe { pointer.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        true
    }

    /// False if some of it is no memory of the device.
    pub fn read(&self, address: Address, into: &mut [u8]) -> bool {
        let Some(pointer) = self.find(address, into.len()) else { return false };
        // SAFETY: `find` has found that so many bytes are allocated there; they were filled when they were allocated. Nobody writes
        // meanwhile: a launch that has begun on this thread has ended, and no other thread has a reference.
        unsafe { pointer.copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) };
        true
    }

    /// Address and bytes of each allocation, by address.
    pub(crate) fn allocations(&self) -> impl Iterator<Item = (Address, usize)> {
        self.allocations.iter().map(|allocation| (allocation.address(), allocation.bytes))
    }

    fn find(&self, address: Address, bytes: usize) -> Option<*mut u8> {
        let index = self.allocations.partition_point(|other| other.address() <= address).checked_sub(1)?;
        let allocation = &self.allocations[index];
        let offset = (address - allocation.address()) as usize;
        let fits = offset <= allocation.bytes && bytes <= allocation.bytes - offset;
        // SAFETY: the offset is within the allocation.
        fits.then(|| unsafe { allocation.pointer.as_ptr().add(offset) })
    }
}
