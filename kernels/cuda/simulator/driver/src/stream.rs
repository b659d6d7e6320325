//! Streams. As work is done when it is submitted, there is nothing to wait for.

use std::thread::{self, ThreadId};

use crate::context::{Context, with_context};
use crate::handle::Handle;
use crate::pointer::Out;
use crate::status::{Error, Status};

/// `CU_STREAM_NON_BLOCKING`
const NON_BLOCKING: u32 = 1;

/// One of the streams there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stream {
    /// The one that waits for all others that are blocking, and they for it.
    Legacy,
    /// Each thread's own.
    PerThread(ThreadId),
    Created(Handle, StreamOptions),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamOptions {
    is_blocking: bool,
}

impl Stream {
    /// The one that a program means: 0 and 1 are the legacy stream, 2 is the calling thread's.
    pub(crate) fn of(context: &Context, handle: Handle) -> Result<Self, Error> {
        Ok(match handle.0 {
            0 | 1 => Self::Legacy,
            2 => Self::PerThread(thread::current().id()),
            _ => Self::Created(handle, *context.streams.get(handle)?),
        })
    }

    /// Whether the legacy stream waits for it.
    pub(crate) fn is_blocking(self) -> bool {
        match self {
            Self::Legacy | Self::PerThread(_) => true,
            Self::Created(_, options) => options.is_blocking,
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamCreate(stream: Out<Handle>, flags: u32) -> Status {
    with_context(|context| {
        if flags & !NON_BLOCKING != 0 {
            return Err(Error::InvalidValue);
        }
        stream.set(context.streams.insert(StreamOptions { is_blocking: flags & NON_BLOCKING == 0 }))
    })
}

/// All streams are equally urgent.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamCreateWithPriority(stream: Out<Handle>, flags: u32, _priority: i32) -> Status {
    cuStreamCreate(stream, flags)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamDestroy_v2(stream: Handle) -> Status {
    with_context(|context| {
        let destroyed = Stream::of(context, stream)?;
        context.captures.forbid(destroyed)?;
        context.streams.remove(stream).map(drop)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSynchronize(stream: Handle) -> Status {
    with_context(|context| {
        let stream = Stream::of(context, stream)?;
        context.captures.forbid(stream)?;
        context.captures.forbid_unsafe()?;
        context.captures.forbid_implicit(stream)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamQuery(stream: Handle) -> Status {
    cuStreamSynchronize(stream)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWaitEvent(stream: Handle, event: Handle, flags: u32) -> Status {
    with_context(|context| {
        if flags != 0 {
            return Err(Error::NotSupported);
        }
        let stream = Stream::of(context, stream)?;
        context.captures.forbid_implicit(stream)?;
        let event = context.events.get(event)?;
        context.captures.wait(stream, event.point())
    })
}
