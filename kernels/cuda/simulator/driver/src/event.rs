//! Events.

use std::time::Instant;

use crate::clock::Clock;
use crate::context::with_context;
use crate::handle::Handle;
use crate::pointer::Out;
use crate::status::{Error, Status};
use crate::stream::Stream;

/// `CU_EVENT_DISABLE_TIMING`
const DISABLE_TIMING: u32 = 2;
/// All flags that there are.
const FLAGS: u32 = 7;

#[derive(Debug)]
pub(crate) struct Event {
    has_time: bool,
    point: Point,
}

/// What an event stands for.
#[derive(Debug)]
pub(crate) enum Point {
    /// It was never recorded: nothing to wait for.
    Nothing,
    /// Work that is done.
    Done(Instant),
    /// Work that was captured.
    Captured { capture: u64, clock: Clock },
}

impl Event {
    pub(crate) fn point(&self) -> &Point {
        &self.point
    }

    fn time(&self) -> Result<Instant, Error> {
        match self.point {
            Point::Done(time) if self.has_time => Ok(time),
            Point::Nothing | Point::Done(_) => Err(Error::InvalidHandle),
            Point::Captured { .. } => Err(Error::CapturedEvent),
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventCreate(event: Out<Handle>, flags: u32) -> Status {
    with_context(|context| {
        if flags & !FLAGS != 0 {
            return Err(Error::InvalidValue);
        }
        let created = Event { has_time: flags & DISABLE_TIMING == 0, point: Point::Nothing };
        event.set(context.events.insert(created))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventDestroy_v2(event: Handle) -> Status {
    with_context(|context| context.events.remove(event).map(drop))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecord(event: Handle, stream: Handle) -> Status {
    with_context(|context| {
        let stream = Stream::of(context, stream)?;
        context.captures.forbid_implicit(stream)?;
        let event = context.events.get_mut(event)?;
        event.point = match context.captures.of(stream)? {
            Some(capture) => capture.point(stream),
            None => Point::Done(Instant::now()),
        };
        Ok(())
    })
}

/// What was recorded is always done.
#[unsafe(no_mangle)]
pub extern "C" fn cuEventQuery(event: Handle) -> Status {
    with_context(|context| {
        match context.events.get(event)?.point {
            Point::Captured { capture, .. } => return context.captures.forbid_captured(capture),
            Point::Nothing | Point::Done(_) => {}
        }
        context.captures.forbid_unsafe()
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventSynchronize(event: Handle) -> Status {
    cuEventQuery(event)
}

/// The time that the processor took.
#[unsafe(no_mangle)]
pub extern "C" fn cuEventElapsedTime_v2(milliseconds: Out<f32>, start: Handle, end: Handle) -> Status {
    with_context(|context| {
        let (start, end) = (context.events.get(start)?.time()?, context.events.get(end)?.time()?);
        milliseconds.set(end.duration_since(start).as_secs_f32() * 1e3)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventElapsedTime(milliseconds: Out<f32>, start: Handle, end: Handle) -> Status {
    cuEventElapsedTime_v2(milliseconds, start, end)
}
