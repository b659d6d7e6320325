//! Stream capture and graphs. The streams are non-blocking and the captures concern their threads alone, so that the tests may run side by
//! side.

mod common;

use common::{
    allocate, begin, begin_capture, done, download, end_capture, event, function, get, instantiate, scale, source,
    stream, target, upload,
};
use cuda::copy::{cuMemcpyDtoDAsync_v2, cuMemcpyDtoH_v2, cuMemcpyHtoDAsync_v2};
use cuda::event::{cuEventCreate, cuEventQuery};
use cuda::fill::cuMemsetD8Async;
use cuda::graph::{
    cuGraphDestroy, cuGraphExecDestroy, cuGraphInstantiateWithFlags, cuGraphLaunch, cuStreamEndCapture,
    cuStreamIsCapturing,
};
use cuda::memory::{cuMemAlloc_v2, cuMemAllocAsync, cuMemFree_v2, cuMemFreeAsync};
use cuda::stream::{cuStreamQuery, cuStreamSynchronize, cuStreamWaitEvent};
use cuda::{Error, Handle, Status};

const FRESH: [u8; 4] = [0xFF; 4];

fn bytes_of(address: u64) -> [u8; 4] {
    let mut bytes = [0; 4];
    done(cuMemcpyDtoH_v2(target(&mut bytes), address, 4)).unwrap();
    bytes
}

#[test]
fn a_graph_does_what_was_captured_at_each_launch() {
    begin();
    let (stream, scale_function) = (stream(), function(c"scale"));
    let data = upload(&[1.0, 2.0]);
    begin_capture(stream);
    scale(scale_function, data, 2, 3.0, stream).unwrap();
    let executable = instantiate(end_capture(stream).unwrap());
    assert_eq!(download(data, 2), [1.0, 2.0]);
    done(cuGraphLaunch(executable, stream)).unwrap();
    done(cuGraphLaunch(executable, stream)).unwrap();
    assert_eq!(download(data, 2), [9.0, 18.0]);
}

#[test]
fn host_memory_is_read_when_a_graph_is_launched() {
    begin();
    let (stream, address) = (stream(), allocate(4));
    let mut host = [1_u8; 4];
    begin_capture(stream);
    done(cuMemcpyHtoDAsync_v2(address, source(&host), 4, stream)).unwrap();
    let executable = instantiate(end_capture(stream).unwrap());
    host.fill(2);
    done(cuGraphLaunch(executable, stream)).unwrap();
    assert_eq!(bytes_of(address), [2; 4]);
}

#[test]
fn memory_that_a_graph_allocates_is_fresh_at_each_launch() {
    begin();
    let (stream, seen) = (stream(), allocate(4));
    begin_capture(stream);
    let own = get(|address| cuMemAllocAsync(address, 4, stream)).unwrap();
    done(cuMemcpyDtoDAsync_v2(seen, own, 4, stream)).unwrap();
    done(cuMemsetD8Async(own, 1, 4, stream)).unwrap();
    done(cuMemFreeAsync(own, stream)).unwrap();
    let again = get(|address| cuMemAllocAsync(address, 4, stream)).unwrap();
    done(cuMemFreeAsync(again, stream)).unwrap();
    assert_eq!(own, again, "memory that was freed is used again");
    let executable = instantiate(end_capture(stream).unwrap());
    for _ in 0..2 {
        done(cuMemsetD8Async(seen, 0, 4, stream)).unwrap();
        done(cuGraphLaunch(executable, stream)).unwrap();
        assert_eq!(bytes_of(seen), FRESH);
    }
    assert_eq!(done(cuMemFree_v2(own)), Err(Error::InvalidValue), "the graph has freed it");
}

#[test]
fn memory_that_a_graph_leaves_is_freed_by_the_program() {
    begin();
    let stream = stream();
    begin_capture(stream);
    let left = get(|address| cuMemAllocAsync(address, 4, stream)).unwrap();
    done(cuMemsetD8Async(left, 5, 4, stream)).unwrap();
    let graph = end_capture(stream).unwrap();
    let executable = instantiate(graph);
    let second = get(|executable| cuGraphInstantiateWithFlags(executable, graph, 0));
    assert_eq!(second, Err(Error::InvalidValue), "there can be one with memory of its own");
    done(cuGraphLaunch(executable, stream)).unwrap();
    assert_eq!(bytes_of(left), [5; 4]);
    assert_eq!(done(cuGraphLaunch(executable, stream)), Err(Error::InvalidValue), "not freed yet");
    done(cuMemFreeAsync(left, stream)).unwrap();
    done(cuGraphLaunch(executable, stream)).unwrap();
    done(cuGraphExecDestroy(executable)).unwrap();
    done(cuGraphDestroy(graph)).unwrap();
    assert_eq!(bytes_of(left), [5; 4], "it outlives the graph");
    done(cuMemFreeAsync(left, stream)).unwrap();
    assert_eq!(done(cuMemFreeAsync(left, stream)), Err(Error::InvalidValue));
}

#[test]
fn memory_from_outside_cannot_be_freed_by_a_capture() {
    begin();
    let (stream, address) = (stream(), allocate(4));
    begin_capture(stream);
    assert_eq!(done(cuMemFreeAsync(address, stream)), Err(Error::InvalidValue));
    assert_eq!(end_capture(stream), Err(Error::CaptureInvalidated));
    done(cuMemFreeAsync(address, stream)).unwrap();
}

/// Makes a call during a capture: its answer, and what ending the capture answers then.
fn during_capture(call: impl FnOnce(Handle) -> Status) -> (Result<(), Error>, Result<(), Error>) {
    let stream = stream();
    begin_capture(stream);
    let result = done(call(stream));
    let state = if result.is_ok() { 1 } else { 2 };
    assert_eq!(get(|status| cuStreamIsCapturing(stream, status)), Ok(state));
    let end = end_capture(stream).map(drop);
    assert_eq!(get(|status| cuStreamIsCapturing(stream, status)), Ok(0));
    (result, end)
}

#[test]
fn calls_that_are_not_permitted_invalidate_a_capture() {
    begin();
    let forbidden = (Err(Error::CaptureUnsupported), Err(Error::CaptureInvalidated));
    let (address, other, recorded) = (allocate(4), stream(), event(stream()));
    assert_eq!(during_capture(|stream| cuStreamSynchronize(stream)), forbidden);
    assert_eq!(during_capture(|stream| cuStreamQuery(stream)), forbidden);
    assert_eq!(during_capture(|_| cuStreamSynchronize(other)), forbidden);
    assert_eq!(during_capture(|_| cuMemcpyDtoH_v2(target(&mut [0_u8; 4]), address, 4)), forbidden);
    assert_eq!(during_capture(|_| cuEventQuery(recorded)), forbidden);
    let mut unused = 0;
    // SAFETY: the address outlives the call.
    let unused = unsafe { cuda::Out::new(&raw mut unused) };
    assert_eq!(during_capture(|_| cuMemAlloc_v2(unused, 4)), forbidden);
    assert_eq!(during_capture(|_| cuMemFree_v2(address)), forbidden);
    assert_eq!(during_capture(|stream| cuMemsetD8Async(address, 0, 4, stream)), (Ok(()), Ok(())));
}

#[test]
fn an_invalidated_capture_records_no_more() {
    begin();
    let (stream, address) = (stream(), allocate(4));
    begin_capture(stream);
    assert_eq!(done(cuStreamSynchronize(stream)), Err(Error::CaptureUnsupported));
    assert_eq!(done(cuMemsetD8Async(address, 0, 4, stream)), Err(Error::CaptureInvalidated));
    let mut graph = Handle(1);
    // SAFETY: the graph outlives the call.
    let place = unsafe { cuda::Out::new(&raw mut graph) };
    assert_eq!(done(cuStreamEndCapture(stream, place)), Err(Error::CaptureInvalidated));
    assert_eq!(graph, Handle::NULL);
    done(cuMemsetD8Async(address, 0, 4, stream)).unwrap();
}

#[test]
fn captured_work_cannot_wait_for_work_outside() {
    begin();
    let (outside, never_recorded) = (event(stream()), get(|event| cuEventCreate(event, 0)).unwrap());
    let isolation = (Err(Error::CaptureIsolation), Err(Error::CaptureInvalidated));
    assert_eq!(during_capture(|stream| cuStreamWaitEvent(stream, outside, 0)), isolation);
    assert_eq!(during_capture(|stream| cuStreamWaitEvent(stream, never_recorded, 0)), (Ok(()), Ok(())));
}

#[test]
fn captured_events_are_not_asked() {
    begin();
    let stream = stream();
    begin_capture(stream);
    let captured = event(stream);
    assert_eq!(done(cuEventQuery(captured)), Err(Error::CapturedEvent));
    assert_eq!(end_capture(stream), Err(Error::CaptureInvalidated));
    assert_eq!(done(cuStreamWaitEvent(stream, captured, 0)), Err(Error::CapturedEvent));
}

#[test]
fn a_stream_that_waits_for_captured_work_takes_part() {
    begin();
    let (first, second, address) = (stream(), stream(), allocate(4));
    begin_capture(first);
    done(cuStreamWaitEvent(second, event(first), 0)).unwrap();
    done(cuMemsetD8Async(address, 3, 4, second)).unwrap();
    assert_eq!(end_capture(second), Err(Error::CaptureUnmatched));
    assert_eq!(end_capture(first), Err(Error::CaptureInvalidated));

    begin_capture(first);
    done(cuStreamWaitEvent(second, event(first), 0)).unwrap();
    done(cuMemsetD8Async(address, 3, 4, second)).unwrap();
    assert_eq!(end_capture(first), Err(Error::CaptureUnjoined));

    begin_capture(first);
    done(cuStreamWaitEvent(second, event(first), 0)).unwrap();
    done(cuMemsetD8Async(address, 3, 4, second)).unwrap();
    done(cuStreamWaitEvent(first, event(second), 0)).unwrap();
    let executable = instantiate(end_capture(first).unwrap());
    assert_eq!(bytes_of(address), FRESH);
    done(cuGraphLaunch(executable, first)).unwrap();
    assert_eq!(bytes_of(address), [3; 4]);
}

#[test]
fn captures_do_not_merge() {
    begin();
    let (first, second) = (stream(), stream());
    begin_capture(first);
    begin_capture(second);
    assert_eq!(done(cuStreamWaitEvent(second, event(first), 0)), Err(Error::CaptureMerge));
    assert_eq!([end_capture(first), end_capture(second)], [Err(Error::CaptureInvalidated); 2]);
}

#[test]
fn a_capture_is_begun_and_ended_once() {
    begin();
    let stream = stream();
    assert_eq!(end_capture(stream), Err(Error::IllegalState));
    begin_capture(stream);
    let elsewhere = std::thread::spawn(move || {
        begin();
        end_capture(stream)
    });
    assert_eq!(elsewhere.join().unwrap(), Err(Error::CaptureWrongThread));
    end_capture(stream).unwrap();
}
