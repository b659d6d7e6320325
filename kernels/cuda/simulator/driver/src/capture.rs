//! Stream capture: recording what streams are given.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use x0_cuda_simulator::Address;

use crate::clock::Clock;
use crate::event::Point;
use crate::memory::DeviceMemory;
use crate::operation::Operation;
use crate::status::Error;
use crate::stream::Stream;

/// Which calls a capture forbids that might be meant to be a part of it, but are none: those that `cuda.h` calls potentially unsafe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Those of all threads.
    Global,
    /// Those of the thread that began it.
    ThreadLocal,
    /// None.
    Relaxed,
}

/// The captures that were begun and not ended.
#[derive(Debug, Default)]
pub(crate) struct Captures(Vec<Capture>);

#[derive(Debug)]
pub(crate) struct Capture {
    id: u64,
    origin: Stream,
    thread: ThreadId,
    mode: Mode,
    is_valid: bool,
    /// The streams that take part, and how far each has come.
    clocks: HashMap<Stream, Clock>,
    /// In the order of the calls, in which they are done.
    operations: Vec<Operation>,
    reserved: Vec<Address>,
    /// Reserved memory that the capture has allocated and not freed, with its bytes.
    allocated: HashMap<Address, usize>,
    /// Reserved memory that the capture has freed, for its next allocations: addresses by their bytes.
    spare: HashMap<usize, Vec<Address>>,
}

/// What was captured.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) operations: Vec<Operation>,
    /// The memory that operations allocate.
    pub(crate) reserved: Vec<Address>,
}

impl Captures {
    pub(crate) fn begin(&mut self, stream: Stream, mode: Mode) -> Result<(), Error> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        if stream == Stream::Legacy {
            return Err(Error::CaptureUnsupported);
        }
        if self.taking_part(stream).is_some() {
            return Err(Error::IllegalState);
        }
        self.0.push(Capture {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            origin: stream,
            thread: thread::current().id(),
            mode,
            is_valid: true,
            clocks: HashMap::from([(stream, Clock::default())]),
            operations: Vec::new(),
            reserved: Vec::new(),
            allocated: HashMap::new(),
            spare: HashMap::new(),
        });
        Ok(())
    }

    /// Ends the capture that was begun on the stream. If it is worth nothing, the memory it reserved is given back.
    pub(crate) fn end(&mut self, stream: Stream, memory: &mut DeviceMemory) -> Result<Captured, Error> {
        let capture = self.taking_part(stream).ok_or(Error::IllegalState)?;
        if capture.origin != stream {
            return Err(capture.invalidate(Error::CaptureUnmatched));
        }
        if capture.mode != Mode::Relaxed && capture.thread != thread::current().id() {
            return Err(Error::CaptureWrongThread);
        }
        let id = capture.id;
        let index = self.0.iter().position(|capture| capture.id == id).expect("just found");
        let capture = self.0.remove(index);
        let outcome = capture.outcome();
        if outcome.is_err() {
            capture.reserved.iter().for_each(|&address| memory.release(address));
        }
        outcome.map(|()| Captured { operations: capture.operations, reserved: capture.reserved })
    }

    /// The capture that the stream takes part in.
    pub(crate) fn taking_part(&mut self, stream: Stream) -> Option<&mut Capture> {
        self.0.iter_mut().find(|capture| capture.clocks.contains_key(&stream))
    }

    /// The capture that records what the stream is given. An error if that is invalidated.
    pub(crate) fn of(&mut self, stream: Stream) -> Result<Option<&mut Capture>, Error> {
        match self.taking_part(stream) {
            Some(capture) if !capture.is_valid => Err(Error::CaptureInvalidated),
            capture => Ok(capture),
        }
    }

    /// For calls that a capturing stream does not permit.
    pub(crate) fn forbid(&mut self, stream: Stream) -> Result<(), Error> {
        match self.of(stream)? {
            Some(capture) => Err(capture.invalidate(Error::CaptureUnsupported)),
            None => Ok(()),
        }
    }

    /// For calls that concern all streams.
    pub(crate) fn forbid_any(&mut self) -> Result<(), Error> {
        self.forbid_where(Error::CaptureUnsupported, |_| true)
    }

    /// For calls that may be mistaken for a part of a capture: see [`Mode`].
    pub(crate) fn forbid_unsafe(&mut self) -> Result<(), Error> {
        let thread = thread::current().id();
        self.forbid_where(Error::CaptureUnsupported, |capture| match capture.mode {
            Mode::Global => true,
            Mode::ThreadLocal => capture.thread == thread,
            Mode::Relaxed => false,
        })
    }

    /// For work on the legacy stream, which would wait for blocking streams.
    pub(crate) fn forbid_implicit(&mut self, stream: Stream) -> Result<(), Error> {
        match stream {
            Stream::Legacy => self.forbid_where(Error::CaptureImplicit, Capture::has_blocking_stream),
            Stream::PerThread(_) | Stream::Created(..) => Ok(()),
        }
    }

    /// Whether the legacy stream cannot be used.
    pub(crate) fn has_blocking_stream(&self) -> bool {
        self.0.iter().any(Capture::has_blocking_stream)
    }

    /// Invalidates the captures that a call interferes with.
    fn forbid_where(&mut self, error: Error, condition: impl Fn(&Capture) -> bool) -> Result<(), Error> {
        let mut result = Ok(());
        for capture in self.0.iter_mut().filter(|capture| condition(capture)) {
            result = Err(capture.invalidate(error));
        }
        result
    }

    /// For events of captured work, which never happens: a graph's launch is other work.
    pub(crate) fn forbid_captured(&mut self, id: u64) -> Result<(), Error> {
        self.forbid_where(Error::CapturedEvent, |capture| capture.id == id).and(Err(Error::CapturedEvent))
    }

    /// Makes what follows on the stream wait for an event's work. Waiting for captured work makes a stream take part.
    pub(crate) fn wait(&mut self, stream: Stream, point: &Point) -> Result<(), Error> {
        let own = self.of(stream)?.map(|capture| capture.id);
        let (id, clock) = match point {
            Point::Nothing => return Ok(()),
            Point::Done(_) => return self.forbid_where(Error::CaptureIsolation, |capture| Some(capture.id) == own),
            Point::Captured { capture, clock } => (*capture, clock),
        };
        let Some(capture) = self.0.iter_mut().find(|capture| capture.id == id) else {
            return self
                .forbid_where(Error::CapturedEvent, |capture| Some(capture.id) == own)
                .and(Err(Error::CapturedEvent));
        };
        if own.is_some_and(|own| own != id) {
            return self.forbid_where(Error::CaptureMerge, |capture| capture.id == id || Some(capture.id) == own);
        }
        if stream == Stream::Legacy {
            return Err(capture.invalidate(Error::CaptureImplicit));
        }
        if !capture.is_valid {
            return Err(Error::CaptureInvalidated);
        }
        capture.clocks.entry(stream).or_default().join(clock);
        Ok(())
    }
}

impl Capture {
    /// Leaves the error for the caller.
    fn invalidate(&mut self, error: Error) -> Error {
        self.is_valid = false;
        error
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.is_valid
    }

    fn has_blocking_stream(&self) -> bool {
        self.clocks.keys().any(|stream| stream.is_blocking())
    }

    /// Whether it can become a graph: it is valid, and all its streams were waited for by the one it was begun on.
    fn outcome(&self) -> Result<(), Error> {
        if !self.is_valid {
            return Err(Error::CaptureInvalidated);
        }
        let end = &self.clocks[&self.origin];
        if self.clocks.values().all(|clock| end.includes(clock)) { Ok(()) } else { Err(Error::CaptureUnjoined) }
    }

    pub(crate) fn record(&mut self, stream: Stream, operation: Operation) {
        self.clocks.entry(stream).or_default().advance(stream);
        self.operations.push(operation);
    }

    /// What an event stands for that is recorded now.
    pub(crate) fn point(&self, stream: Stream) -> Point {
        Point::Captured { capture: self.id, clock: self.clocks[&stream].clone() }
    }

    /// Memory that each launch allocates anew, at the same address. Freed memory of as many bytes is used again.
    pub(crate) fn allocate(
        &mut self,
        stream: Stream,
        bytes: usize,
        memory: &mut DeviceMemory,
    ) -> Result<Address, Error> {
        let address = match self.spare.get_mut(&bytes).and_then(Vec::pop) {
            Some(address) => address,
            None => {
                let address = memory.reserve(bytes)?;
                self.reserved.push(address);
                address
            }
        };
        self.allocated.insert(address, bytes);
        self.record(stream, Operation::Allocate(address));
        Ok(address)
    }

    /// Only memory of a graph can be freed: this one's, or what another's launch has left.
    pub(crate) fn free(&mut self, stream: Stream, address: Address, memory: &DeviceMemory) -> Result<(), Error> {
        match self.allocated.remove(&address) {
            Some(bytes) => self.spare.entry(bytes).or_default().push(address),
            None if memory.is_of_graph(address) && !self.reserved.contains(&address) => {}
            None => return Err(self.invalidate(Error::InvalidValue)),
        }
        self.record(stream, Operation::Free(address));
        Ok(())
    }
}
