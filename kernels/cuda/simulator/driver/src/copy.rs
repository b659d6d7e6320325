//! Copies. Those that name a stream are recorded while it is capturing; then host memory is read and written at each launch.

use x0_cuda_simulator::Address;

use crate::context::{check, with_context};
use crate::handle::Handle;
use crate::operation::Operation;
use crate::pointer::{HostSource, HostTarget};
use crate::status::Status;
use crate::stream::Stream;

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyHtoD_v2(to: Address, from: HostSource, bytes: usize) -> Status {
    with_context(|context| context.run(&Operation::CopyToDevice { from, to, bytes }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoH_v2(to: HostTarget, from: Address, bytes: usize) -> Status {
    with_context(|context| context.run(&Operation::CopyToHost { from, to, bytes }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoD_v2(to: Address, from: Address, bytes: usize) -> Status {
    with_context(|context| context.run(&Operation::CopyOnDevice { from, to, bytes }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyHtoDAsync_v2(to: Address, from: HostSource, bytes: usize, stream: Handle) -> Status {
    submit(stream, Operation::CopyToDevice { from, to, bytes })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoHAsync_v2(to: HostTarget, from: Address, bytes: usize, stream: Handle) -> Status {
    submit(stream, Operation::CopyToHost { from, to, bytes })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoDAsync_v2(to: Address, from: Address, bytes: usize, stream: Handle) -> Status {
    submit(stream, Operation::CopyOnDevice { from, to, bytes })
}

/// Both contexts can only be the primary one.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyPeerAsync(
    to: Address,
    to_context: Handle,
    from: Address,
    from_context: Handle,
    bytes: usize,
    stream: Handle,
) -> Status {
    match check(to_context).and(check(from_context)) {
        Ok(()) => submit(stream, Operation::CopyOnDevice { from, to, bytes }),
        Err(error) => Err(error).into(),
    }
}

/// Gives an operation to the stream of a handle.
pub(crate) fn submit(stream: Handle, operation: Operation) -> Status {
    with_context(|context| {
        let stream = Stream::of(context, stream)?;
        context.submit(stream, operation)
    })
}
