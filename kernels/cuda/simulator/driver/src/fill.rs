//! Filling memory with a value of 1, 2 or 4 bytes; counts are of values.

use x0_cuda_simulator::Address;

use crate::context::with_context;
use crate::copy::submit;
use crate::handle::Handle;
use crate::operation::{Fill, Operation};
use crate::status::Status;

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8_v2(address: Address, value: u8, count: usize) -> Status {
    with_context(|context| context.run(&fill(address, &value.to_ne_bytes(), count)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD16_v2(address: Address, value: u16, count: usize) -> Status {
    with_context(|context| context.run(&fill(address, &value.to_ne_bytes(), count)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32_v2(address: Address, value: u32, count: usize) -> Status {
    with_context(|context| context.run(&fill(address, &value.to_ne_bytes(), count)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8Async(address: Address, value: u8, count: usize, stream: Handle) -> Status {
    submit(stream, fill(address, &value.to_ne_bytes(), count))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD16Async(address: Address, value: u16, count: usize, stream: Handle) -> Status {
    submit(stream, fill(address, &value.to_ne_bytes(), count))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32Async(address: Address, value: u32, count: usize, stream: Handle) -> Status {
    submit(stream, fill(address, &value.to_ne_bytes(), count))
}

fn fill(address: Address, value: &[u8], count: usize) -> Operation {
    Operation::Fill(Fill { address, value: value.to_vec(), count })
}
