//! The device's global memory.

/// Where something lies in global memory.
pub type Address = u64;

/// Allocations. Fresh memory is full of 0xFF bytes, which are no number in any floating-point type, so that what was never written shows.
#[derive(Debug, Default)]
pub struct Memory {}

impl Memory {
    pub fn new() -> Self {
        Self::default()
    }

    /// Aligned to 256 bytes, as `cuMemAlloc` does.
    pub fn allocate(&mut self, _bytes: usize) -> Address {
        todo!()
    }

    /// False if nothing was allocated there.
    pub fn free(&mut self, _address: Address) -> bool {
        todo!()
    }

    /// False if some of it is no memory of the device; nothing is written then.
    pub fn write(&mut self, _address: Address, _bytes: &[u8]) -> bool {
        todo!()
    }

    /// False if some of it is no memory of the device.
    pub fn read(&self, _address: Address, _into: &mut [u8]) -> bool {
        todo!()
    }
}
