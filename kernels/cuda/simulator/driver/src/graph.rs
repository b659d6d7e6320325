//! Graphs: what streams have captured, to be done at one call.

use std::sync::Arc;

use x0_cuda_simulator::Address;

use crate::capture::Mode;
use crate::context::{Context, with_context};
use crate::handle::Handle;
use crate::memory::DeviceMemory;
use crate::operation::Operation;
use crate::pointer::Out;
use crate::status::{Error, Status};
use crate::stream::Stream;

/// `CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH`
const AUTO_FREE_ON_LAUNCH: u64 = 1;
/// `CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY`
const USE_NODE_PRIORITY: u64 = 8;

#[derive(Debug)]
pub(crate) struct Graph(Arc<Work>);

#[derive(Debug)]
pub(crate) struct Executable {
    work: Arc<Work>,
    frees_on_launch: bool,
}

/// What a graph and its executable share.
#[derive(Debug)]
struct Work {
    operations: Vec<Operation>,
    reserved: Vec<Address>,
}

impl Executable {
    fn launch(&self, memory: &mut DeviceMemory) -> Result<(), Error> {
        for &address in &self.work.reserved {
            if memory.is_live(address) {
                if !self.frees_on_launch {
                    return Err(Error::InvalidValue);
                }
                memory.set_live(address, false)?;
            }
        }
        self.work.operations.iter().try_for_each(|operation| operation.run(memory))
    }
}

/// The last who drops the work gives the memory back.
fn drop_work(work: Arc<Work>, memory: &mut DeviceMemory) {
    if let Some(work) = Arc::into_inner(work) {
        work.reserved.iter().for_each(|&address| memory.release(address));
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBeginCapture_v2(stream: Handle, mode: u32) -> Status {
    with_context(|context| {
        let mode = match mode {
            0 => Mode::Global,
            1 => Mode::ThreadLocal,
            2 => Mode::Relaxed,
            _ => return Err(Error::InvalidValue),
        };
        let stream = Stream::of(context, stream)?;
        context.captures.begin(stream, mode)
    })
}

/// Without a graph, the null handle is the answer.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamEndCapture(stream: Handle, graph: Out<Handle>) -> Status {
    with_context(|context| {
        graph.set(Handle::NULL)?;
        let stream = Stream::of(context, stream)?;
        let captured = context.captures.end(stream, &mut context.memory)?;
        let work = Work { operations: captured.operations, reserved: captured.reserved };
        graph.set(context.graphs.insert(Graph(Arc::new(work))))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamIsCapturing(stream: Handle, status: Out<i32>) -> Status {
    with_context(|context| status.set(status_of(context, stream)?.0))
}

/// The graph that is being captured, and its nodes, cannot be had.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCaptureInfo_v3(
    stream: Handle,
    status: Out<i32>,
    id: Out<u64>,
    graph: Out<Handle>,
    dependencies: Out<Handle>,
    edges: Out<Handle>,
    dependency_count: Out<usize>,
) -> Status {
    with_context(|context| {
        let (number, capture) = status_of(context, stream)?;
        let wanted = [graph, dependencies, edges].iter().any(Out::is_wanted) || dependency_count.is_wanted();
        if wanted && capture.is_some() {
            return Err(Error::NotSupported);
        }
        id.set_if_wanted(capture.unwrap_or(0));
        status.set(number)
    })
}

/// `CUstreamCaptureStatus`, and which capture it is.
fn status_of(context: &mut Context, stream: Handle) -> Result<(i32, Option<u64>), Error> {
    let stream = Stream::of(context, stream)?;
    if stream == Stream::Legacy && context.captures.has_blocking_stream() {
        return Err(Error::CaptureImplicit);
    }
    Ok(match context.captures.taking_part(stream) {
        None => (0, None),
        Some(capture) if capture.is_valid() => (1, Some(capture.id())),
        Some(capture) => (2, Some(capture.id())),
    })
}

/// Uploading is not one of the flags: it takes another function.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphInstantiateWithFlags(executable: Out<Handle>, graph: Handle, flags: u64) -> Status {
    with_context(|context| {
        context.captures.forbid_unsafe()?;
        if flags & !(AUTO_FREE_ON_LAUNCH | USE_NODE_PRIORITY) != 0 {
            return Err(Error::InvalidValue);
        }
        let work = &context.graphs.get(graph)?.0;
        // Memory at fixed addresses can belong to only one.
        if !work.reserved.is_empty() && Arc::strong_count(work) > 1 {
            return Err(Error::InvalidValue);
        }
        let created = Executable { work: Arc::clone(work), frees_on_launch: flags & AUTO_FREE_ON_LAUNCH != 0 };
        executable.set(context.executables.insert(created))
    })
}

/// There is nothing to be done ahead of a launch.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphUpload(executable: Handle, stream: Handle) -> Status {
    with_context(|context| {
        let stream = Stream::of(context, stream)?;
        context.captures.forbid(stream)?;
        context.executables.get(executable).map(drop)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphLaunch(executable: Handle, stream: Handle) -> Status {
    with_context(|context| {
        let stream = Stream::of(context, stream)?;
        context.captures.forbid(stream)?;
        context.captures.forbid_implicit(stream)?;
        context.executables.get(executable)?.launch(&mut context.memory)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecDestroy(executable: Handle) -> Status {
    with_context(|context| {
        context.captures.forbid_unsafe()?;
        let Executable { work, frees_on_launch: _ } = context.executables.remove(executable)?;
        drop_work(work, &mut context.memory);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphDestroy(graph: Handle) -> Status {
    with_context(|context| {
        let Graph(work) = context.graphs.remove(graph)?;
        drop_work(work, &mut context.memory);
        Ok(())
    })
}
