//! The device's memory, and its allocation.

use std::collections::BTreeMap;

use x0_cuda_simulator::{Address, Memory};

use crate::context::with_context;
use crate::handle::Handle;
use crate::pointer::Out;
use crate::status::{Error, Status};
use crate::stream::Stream;

/// An allocation takes a multiple of this many bytes of the device.
const GRANULARITY: usize = 512;

/// Freshly allocated memory is full of 0xFF bytes: no number in any floating-point type.
const FRESH: u8 = 0xFF;

#[derive(Debug)]
pub(crate) struct DeviceMemory {
    simulated: Memory,
    allocations: BTreeMap<Address, Allocation>,
    total: usize,
    used: usize,
    /// The most that was used at a time.
    peak: usize,
}

#[derive(Debug)]
struct Allocation {
    bytes: usize,
    owner: Owner,
}

#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Program,
    /// Reserved for a graph; live between a launch's allocation and what frees it, which may come long after the launch.
    Graph {
        live: bool,
    },
}

impl DeviceMemory {
    pub(crate) fn new(total: usize) -> Self {
        Self { simulated: Memory::new(), allocations: BTreeMap::new(), total, used: 0, peak: 0 }
    }

    pub(crate) fn simulated(&self) -> &Memory {
        &self.simulated
    }

    /// For the variables of a module.
    pub(crate) fn simulated_mut(&mut self) -> &mut Memory {
        &mut self.simulated
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    pub(crate) fn reset_peak(&mut self) {
        self.peak = self.used;
    }

    pub(crate) fn allocate(&mut self, bytes: usize) -> Result<Address, Error> {
        self.allocate_for(Owner::Program, bytes)
    }

    /// For a graph, which makes it live when it is launched.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<Address, Error> {
        self.allocate_for(Owner::Graph { live: false }, bytes)
    }

    fn allocate_for(&mut self, owner: Owner, bytes: usize) -> Result<Address, Error> {
        let taken = bytes.checked_next_multiple_of(GRANULARITY).ok_or(Error::OutOfMemory)?;
        if taken > self.total - self.used {
            return Err(Error::OutOfMemory);
        }
        let address = self.simulated.allocate(bytes);
        self.allocations.insert(address, Allocation { bytes, owner });
        self.used += taken;
        self.peak = self.peak.max(self.used);
        Ok(address)
    }

    /// Gives back what the program, or a graph that is launched no longer, has allocated there.
    pub(crate) fn free(&mut self, address: Address) -> Result<(), Error> {
        match self.allocations.get(&address).map(|allocation| &allocation.owner) {
            Some(Owner::Program) => {
                self.remove(address);
                Ok(())
            }
            Some(Owner::Graph { live: true }) => self.set_live(address, false),
            Some(Owner::Graph { live: false }) | None => Err(Error::InvalidValue),
        }
    }

    fn remove(&mut self, address: Address) {
        if let Some(allocation) = self.allocations.remove(&address) {
            self.used -= allocation.bytes.next_multiple_of(GRANULARITY);
            self.simulated.free(address);
        }
    }

    pub(crate) fn is_of_graph(&self, address: Address) -> bool {
        self.allocations.get(&address).is_some_and(|allocation| allocation.owner != Owner::Program)
    }

    pub(crate) fn is_live(&self, address: Address) -> bool {
        self.allocations.get(&address).is_some_and(|allocation| allocation.owner == Owner::Graph { live: true })
    }

    /// Makes a graph's memory live, or ends that. Either way nothing is left in it.
    pub(crate) fn set_live(&mut self, address: Address, live: bool) -> Result<(), Error> {
        let allocation = self.allocations.get_mut(&address).ok_or(Error::InvalidValue)?;
        if allocation.owner != (Owner::Graph { live: !live }) {
            return Err(Error::InvalidValue);
        }
        allocation.owner = Owner::Graph { live };
        let fresh = vec![FRESH; allocation.bytes];
        self.write(address, &fresh)
    }

    /// Ends a graph's claim. What is still live is the program's from then on.
    pub(crate) fn release(&mut self, address: Address) {
        match self.allocations.get_mut(&address) {
            Some(allocation) if allocation.owner == (Owner::Graph { live: true }) => allocation.owner = Owner::Program,
            Some(_) => self.remove(address),
            None => {}
        }
    }

    pub(crate) fn write(&mut self, address: Address, bytes: &[u8]) -> Result<(), Error> {
        let written = bytes.is_empty() || self.simulated.write(address, bytes);
        if written { Ok(()) } else { Err(Error::InvalidValue) }
    }

    pub(crate) fn read(&self, address: Address, bytes: usize) -> Result<Vec<u8>, Error> {
        let mut read = vec![0; bytes];
        let is_memory = bytes == 0 || self.simulated.read(address, &mut read);
        if is_memory { Ok(read) } else { Err(Error::InvalidValue) }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAlloc_v2(address: Out<Address>, bytes: usize) -> Status {
    with_context(|context| {
        context.captures.forbid_unsafe()?;
        if bytes == 0 {
            return Err(Error::InvalidValue);
        }
        address.set(context.memory.allocate(bytes)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(address: Address) -> Status {
    with_context(|context| {
        context.captures.forbid_unsafe()?;
        if address == 0 { Ok(()) } else { context.memory.free(address) }
    })
}

/// Nothing is allocated for 0 bytes; the address is 0 then.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocAsync(address: Out<Address>, bytes: usize, stream: Handle) -> Status {
    with_context(|context| {
        let stream = Stream::of(context, stream)?;
        context.captures.forbid_implicit(stream)?;
        if bytes == 0 {
            return address.set(0);
        }
        let memory = &mut context.memory;
        address.set(match context.captures.of(stream)? {
            Some(capture) => capture.allocate(stream, bytes, memory)?,
            None => memory.allocate(bytes)?,
        })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeAsync(address: Address, stream: Handle) -> Status {
    with_context(|context| {
        let stream = Stream::of(context, stream)?;
        context.captures.forbid_implicit(stream)?;
        if address == 0 {
            return Ok(());
        }
        let memory = &mut context.memory;
        match context.captures.of(stream)? {
            Some(capture) => capture.free(stream, address, memory),
            None => memory.free(address),
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) -> Status {
    with_context(|context| {
        free.set_if_wanted(context.memory.total - context.memory.used);
        total.set_if_wanted(context.memory.total);
        Ok(())
    })
}
