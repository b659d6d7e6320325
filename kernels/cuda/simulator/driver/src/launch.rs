//! Launches of kernels.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use x0_cuda_simulator::WarpOrder;

use crate::context::with_context;
use crate::device;
use crate::function::Function;
use crate::handle::Handle;
use crate::memory::DeviceMemory;
use crate::operation::Operation;
use crate::pointer::{Arguments, In};
use crate::settings::Settings;
use crate::status::{Error, Status};
use crate::stream::Stream;

/// Kernels that were run in this process.
static RUN: AtomicU64 = AtomicU64::new(0);

/// A kernel with all that it is started with.
#[derive(Debug)]
pub(crate) struct Launch {
    function: Function,
    shape: Shape,
    parameters: Vec<u8>,
}

/// How many blocks of how many threads there are, and the bytes of shared memory of each beside what the kernel declares.
#[derive(Clone, Copy, Debug)]
struct Shape {
    grid: [u32; 3],
    block: [u32; 3],
    dynamic: u32,
}

/// `CUlaunchConfig`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct LaunchConfig {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub shared_bytes: u32,
    pub stream: Handle,
    pub attributes: *const c_void,
    pub attribute_count: u32,
}

impl Shape {
    /// A device refuses what it has no room for before anything runs.
    fn check(&self, function: &Function) -> Result<(), Error> {
        let within = |sizes: [u32; 3], most: [u32; 3]| (0..3).all(|axis| (1..=most[axis]).contains(&sizes[axis]));
        let threads = self.block.iter().map(|&size| u64::from(size)).product::<u64>();
        let fits = within(self.grid, device::GRID)
            && within(self.block, device::BLOCK)
            && threads <= u64::from(device::BLOCK_THREADS)
            && self.dynamic <= function.dynamic_limit;
        if fits { Ok(()) } else { Err(Error::InvalidValue) }
    }
}

impl Launch {
    /// A fault is written to the error output in full: callers get no more than a number.
    pub(crate) fn run(&self, memory: &DeviceMemory) -> Result<(), Error> {
        let Self { function, shape, parameters } = self;
        let settings = Settings::get()?;
        if settings.launches.is_some_and(|launches| RUN.fetch_add(1, Ordering::Relaxed) >= launches) {
            eprintln!("CUDA simulator: the device is lost, as X0_SIMULATED_LAUNCHES has it");
            return Err(Error::LaunchFailed);
        }
        let launch = x0_cuda_simulator::Launch {
            grid: shape.grid,
            block: shape.block,
            shared_bytes: shape.dynamic,
            parameters,
            order: WarpOrder::Forward,
        };
        let start = Instant::now();
        let result = function.simulated.launch(memory.simulated(), &launch);
        if settings.trace {
            let milliseconds = start.elapsed().as_secs_f64() * 1e3;
            eprintln!("{} {:?} {:?} {milliseconds:.3} ms", function.name, shape.grid, shape.block);
        }
        result.map_err(|fault| {
            eprintln!("CUDA simulator: {fault}");
            Error::from(&fault)
        })
    }
}

/// The parameters can be passed by pointers only, not in a buffer.
#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchKernel(
    function: Handle,
    grid_x: u32,
    grid_y: u32,
    grid_z: u32,
    block_x: u32,
    block_y: u32,
    block_z: u32,
    shared_bytes: u32,
    stream: Handle,
    arguments: Arguments,
    buffer: *const c_void,
) -> Status {
    let shape = Shape { grid: [grid_x, grid_y, grid_z], block: [block_x, block_y, block_z], dynamic: shared_bytes };
    launch(function, shape, stream, arguments, buffer)
}

/// Without attributes.
#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchKernelEx(
    config: In<LaunchConfig>,
    function: Handle,
    arguments: Arguments,
    buffer: *const c_void,
) -> Status {
    match config.get() {
        Ok(config) if config.attribute_count == 0 => {
            let shape = Shape { grid: config.grid, block: config.block, dynamic: config.shared_bytes };
            launch(function, shape, config.stream, arguments, buffer)
        }
        Ok(_) => Err(Error::NotSupported).into(),
        Err(error) => Err(error).into(),
    }
}

fn launch(function: Handle, shape: Shape, stream: Handle, arguments: Arguments, buffer: *const c_void) -> Status {
    with_context(|context| {
        if !buffer.is_null() {
            return Err(Error::NotSupported);
        }
        let stream = Stream::of(context, stream)?;
        let function = context.functions.get(function)?.clone();
        shape.check(&function)?;
        let parameters = arguments.gather(function.simulated.parameters())?;
        context.submit(stream, Operation::Launch(Launch { function, shape, parameters }))
    })
}
