//! The context: all that a program has on the device.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

use crate::capture::Captures;
use crate::device;
use crate::event::Event;
use crate::function::Function;
use crate::graph::{Executable, Graph};
use crate::handle::{Handle, Table};
use crate::host::HostMemory;
use crate::memory::DeviceMemory;
use crate::module::Module;
use crate::operation::Operation;
use crate::pointer::Out;
use crate::pool::Pool;
use crate::settings::Settings;
use crate::status::{Error, Status};
use crate::stream::{Stream, StreamOptions};

/// The device's primary context, the only one that can be had.
const PRIMARY: Handle = Handle(0x10);

static DRIVER: Mutex<Driver> = Mutex::new(Driver { fault: None, primary: None });

thread_local! {
    /// Whether the primary context is this thread's.
    static IS_CURRENT: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
pub(crate) struct Driver {
    /// The sticky error: once a kernel has failed, the process can use the device no more.
    fault: Option<Error>,
    primary: Option<Context>,
}

#[derive(Debug)]
pub(crate) struct Context {
    retained: usize,
    pub(crate) memory: DeviceMemory,
    pub(crate) host: HostMemory,
    pub(crate) pool: Pool,
    pub(crate) modules: Table<Module>,
    pub(crate) functions: Table<Function>,
    pub(crate) streams: Table<StreamOptions>,
    pub(crate) events: Table<Event>,
    pub(crate) captures: Captures,
    pub(crate) graphs: Table<Graph>,
    pub(crate) executables: Table<Executable>,
}

impl Context {
    fn new(settings: &Settings) -> Self {
        Self {
            retained: 0,
            memory: DeviceMemory::new(settings.memory),
            host: HostMemory::default(),
            pool: Pool::default(),
            modules: Table::default(),
            functions: Table::default(),
            streams: Table::default(),
            events: Table::default(),
            captures: Captures::default(),
            graphs: Table::default(),
            executables: Table::default(),
        }
    }

    /// Does the operation, or records it if the stream is capturing.
    pub(crate) fn submit(&mut self, stream: Stream, operation: Operation) -> Result<(), Error> {
        self.captures.forbid_implicit(stream)?;
        match self.captures.of(stream)? {
            Some(capture) => {
                capture.record(stream, operation);
                Ok(())
            }
            None => operation.run(&mut self.memory),
        }
    }

    /// Does the operation at once, as the functions do that name no stream.
    pub(crate) fn run(&mut self, operation: &Operation) -> Result<(), Error> {
        self.captures.forbid_unsafe()?;
        self.captures.forbid_implicit(Stream::Legacy)?;
        operation.run(&mut self.memory)
    }
}

/// What a call does that needs no context.
pub(crate) fn with_driver(work: impl FnOnce(&mut Driver) -> Result<(), Error>) -> Status {
    let result = Settings::get().and_then(|_| {
        let mut driver = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = driver.fault {
            return Err(fault);
        }
        let result = work(&mut driver);
        driver.fault = result.err().filter(|error| error.is_sticky());
        result
    });
    result.into()
}

/// What a call does with the thread's context.
pub(crate) fn with_context(work: impl FnOnce(&mut Context) -> Result<(), Error>) -> Status {
    with_driver(|driver| match &mut driver.primary {
        Some(context) if IS_CURRENT.get() => work(context),
        Some(_) | None => Err(Error::InvalidContext),
    })
}

/// Reads the environment; what is wrong there is said on the error output.
#[unsafe(no_mangle)]
pub extern "C" fn cuInit(flags: u32) -> Status {
    if flags != 0 {
        return Err(Error::InvalidValue).into();
    }
    Settings::read().map(drop).into()
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRetain(context: Out<Handle>, ordinal: i32) -> Status {
    with_driver(|driver| {
        device::check(ordinal)?;
        let settings = Settings::get()?;
        driver.primary.get_or_insert_with(|| Context::new(settings)).retained += 1;
        context.set(PRIMARY)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(ordinal: i32) -> Status {
    with_driver(|driver| {
        device::check(ordinal)?;
        let context = driver.primary.as_mut().ok_or(Error::InvalidContext)?;
        context.retained -= 1;
        if context.retained == 0 {
            driver.primary = None;
        }
        Ok(())
    })
}

/// Only contexts that were created can be destroyed, and none can be created.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxDestroy_v2(_context: Handle) -> Status {
    with_driver(|_| Err(Error::InvalidContext))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetCurrent(context: Out<Handle>) -> Status {
    with_driver(|_| context.set(if IS_CURRENT.get() { PRIMARY } else { Handle::NULL }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: Handle) -> Status {
    with_driver(|driver| match context {
        Handle::NULL => {
            IS_CURRENT.set(false);
            Ok(())
        }
        PRIMARY if driver.primary.is_some() => {
            IS_CURRENT.set(true);
            Ok(())
        }
        _ => Err(Error::InvalidContext),
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetDevice(ordinal: Out<i32>) -> Status {
    with_context(|_| ordinal.set(0))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> Status {
    with_context(|context| context.captures.forbid_any())
}

/// How the host waits makes no difference here.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetFlags(_flags: u32) -> Status {
    with_context(|_| Ok(()))
}

/// Both are 0: one stream is as urgent as the other.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetStreamPriorityRange(least: Out<i32>, greatest: Out<i32>) -> Status {
    with_context(|_| {
        least.set_if_wanted(0);
        greatest.set_if_wanted(0);
        Ok(())
    })
}

/// That of CUDA 13.0.
#[unsafe(no_mangle)]
pub extern "C" fn cuDriverGetVersion(version: Out<i32>) -> Status {
    version.set(13_000).into()
}

/// For arguments that must be the primary context.
pub(crate) fn check(context: Handle) -> Result<(), Error> {
    if context == PRIMARY { Ok(()) } else { Err(Error::InvalidContext) }
}
