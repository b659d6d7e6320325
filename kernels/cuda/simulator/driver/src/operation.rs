//! Work that a stream is given.

use x0_cuda_simulator::Address;

use crate::launch::Launch;
use crate::memory::DeviceMemory;
use crate::pointer::{HostSource, HostTarget};
use crate::status::Error;

/// Done at once, or recorded and done whenever a graph is launched. Host memory is read and written when it is done.
#[derive(Debug)]
pub(crate) enum Operation {
    Launch(Launch),
    CopyToDevice {
        from: HostSource,
        to: Address,
        bytes: usize,
    },
    CopyToHost {
        from: Address,
        to: HostTarget,
        bytes: usize,
    },
    CopyOnDevice {
        from: Address,
        to: Address,
        bytes: usize,
    },
    Fill(Fill),
    /// Of a graph's memory.
    Allocate(Address),
    /// Of a graph's memory.
    Free(Address),
}

/// Sets memory to a value of some bytes, again and again.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) address: Address,
    pub(crate) value: Vec<u8>,
    pub(crate) count: usize,
}

impl Operation {
    pub(crate) fn run(&self, memory: &mut DeviceMemory) -> Result<(), Error> {
        match self {
            Self::Launch(launch) => launch.run(memory),
            Self::CopyToDevice { from, to, bytes } => memory.write(*to, from.bytes(*bytes)?),
            Self::CopyToHost { from, to, bytes } => to.write(&memory.read(*from, *bytes)?),
            Self::CopyOnDevice { from, to, bytes } => {
                let copied = memory.read(*from, *bytes)?;
                memory.write(*to, &copied)
            }
            Self::Fill(Fill { address, value, count }) => memory.write(*address, &value.repeat(*count)),
            Self::Allocate(address) => memory.set_live(*address, true),
            Self::Free(address) => memory.set_live(*address, false),
        }
    }
}
