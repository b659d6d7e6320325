//! What the tests share: calls as a Rust program would like them.
#![allow(dead_code, reason = "each test needs another part")]

use std::ffi::{CStr, c_char};
use std::ptr;

use cuda::context::{cuCtxSetCurrent, cuDevicePrimaryCtxRetain, cuInit};
use cuda::copy::{cuMemcpyDtoH_v2, cuMemcpyHtoD_v2};
use cuda::event::{cuEventCreate, cuEventRecord};
use cuda::graph::{cuGraphInstantiateWithFlags, cuStreamBeginCapture_v2, cuStreamEndCapture};
use cuda::launch::cuLaunchKernel;
use cuda::memory::cuMemAlloc_v2;
use cuda::module::{cuModuleGetFunction, cuModuleLoadData};
use cuda::status::cuGetErrorString;
use cuda::stream::cuStreamCreate;
use cuda::{Arguments, Error, Handle, HostSource, HostTarget, Out, Status, Text};

pub(crate) const THREAD_LOCAL: u32 = 1;

/// `scale` multiplies `count` floats by `factor`. `reverse` turns 32 of them round by way of shared memory that its launch adds.
/// `declared` has 40 KiB of shared memory of its own.
pub(crate) const PTX: &CStr = c"
.version 7.0
.target sm_80
.address_size 64

.extern .shared .align 4 .b8 space[];

.visible .entry scale(.param .u64 data, .param .u32 count, .param .f32 factor)
{
    .reg .pred %p<2>;
    .reg .b32 %r<6>;
    .reg .f32 %f<4>;
    .reg .b64 %rd<5>;

    ld.param.u64 %rd1, [data];
    ld.param.u32 %r1, [count];
    ld.param.f32 %f1, [factor];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra DONE;
    cvta.to.global.u64 %rd2, %rd1;
    mul.wide.u32 %rd3, %r5, 4;
    add.s64 %rd4, %rd2, %rd3;
    ld.global.f32 %f2, [%rd4];
    mul.f32 %f3, %f2, %f1;
    st.global.f32 [%rd4], %f3;
DONE:
    ret;
}

.visible .entry reverse(.param .u64 data)
{
    .reg .b32 %r<7>;
    .reg .f32 %f<3>;
    .reg .b64 %rd<5>;

    ld.param.u64 %rd1, [data];
    mov.u32 %r1, %tid.x;
    cvta.to.global.u64 %rd2, %rd1;
    mul.wide.u32 %rd3, %r1, 4;
    add.s64 %rd4, %rd2, %rd3;
    ld.global.f32 %f1, [%rd4];
    shl.b32 %r2, %r1, 2;
    mov.u32 %r3, space;
    add.s32 %r4, %r3, %r2;
    st.shared.f32 [%r4], %f1;
    bar.sync 0;
    mov.u32 %r5, 124;
    sub.s32 %r6, %r5, %r2;
    add.s32 %r6, %r3, %r6;
    ld.shared.f32 %f2, [%r6];
    st.global.f32 [%rd4], %f2;
    ret;
}

.visible .entry declared()
{
    .reg .b32 %r<2>;
    .shared .align 4 .b8 own[40960];

    mov.u32 %r1, 0;
    st.shared.u32 [own], %r1;
    ret;
}
";

/// What a call answers, as a result.
pub(crate) fn done(status: Status) -> Result<(), Error> {
    status.into()
}

/// What a call writes to the place that it is given.
pub(crate) fn get<T: Default>(call: impl FnOnce(Out<T>) -> Status) -> Result<T, Error> {
    let mut answer = T::default();
    // SAFETY: the answer outlives the call.
    let status = call(unsafe { Out::new(&raw mut answer) });
    done(status).map(|()| answer)
}

/// Makes the device's context this thread's.
pub(crate) fn begin() {
    done(cuInit(0)).unwrap();
    let context = get(|context| cuDevicePrimaryCtxRetain(context, 0)).unwrap();
    done(cuCtxSetCurrent(context)).unwrap();
}

pub(crate) fn allocate(bytes: usize) -> u64 {
    get(|address| cuMemAlloc_v2(address, bytes)).unwrap()
}

pub(crate) fn upload(floats: &[f32]) -> u64 {
    let address = allocate(size_of_val(floats));
    done(cuMemcpyHtoD_v2(address, source(floats), size_of_val(floats))).unwrap();
    address
}

pub(crate) fn download(address: u64, count: usize) -> Vec<f32> {
    let mut floats = vec![0.0; count];
    done(cuMemcpyDtoH_v2(target(&mut floats), address, size_of_val(&*floats))).unwrap();
    floats
}

pub(crate) fn source<T>(values: &[T]) -> HostSource {
    // SAFETY: the tests keep the values for as long as they are copied.
    unsafe { HostSource::new(values.as_ptr().cast()) }
}

pub(crate) fn target<T>(values: &mut [T]) -> HostTarget {
    // SAFETY: the tests keep the values for as long as they are copied.
    unsafe { HostTarget::new(values.as_mut_ptr().cast()) }
}

/// A stream that does not wait for the legacy stream.
pub(crate) fn stream() -> Handle {
    get(|stream| cuStreamCreate(stream, 1)).unwrap()
}

/// An event recorded on a stream.
pub(crate) fn event(stream: Handle) -> Handle {
    let event = get(|event| cuEventCreate(event, 0)).unwrap();
    done(cuEventRecord(event, stream)).unwrap();
    event
}

pub(crate) fn begin_capture(stream: Handle) {
    done(cuStreamBeginCapture_v2(stream, THREAD_LOCAL)).unwrap();
}

pub(crate) fn end_capture(stream: Handle) -> Result<Handle, Error> {
    get(|graph| cuStreamEndCapture(stream, graph))
}

pub(crate) fn instantiate(graph: Handle) -> Handle {
    get(|executable| cuGraphInstantiateWithFlags(executable, graph, 0)).unwrap()
}

pub(crate) fn function(name: &'static CStr) -> Handle {
    let module = get(|module| cuModuleLoadData(module, Text::new(PTX))).unwrap();
    get(|function| cuModuleGetFunction(function, module, Text::new(name))).unwrap()
}

/// Starts one block.
pub(crate) fn launch(
    function: Handle,
    threads: u32,
    shared: u32,
    stream: Handle,
    arguments: &[*const u8],
) -> Result<(), Error> {
    // SAFETY: the tests pass a pointer to each of the kernel's parameters.
    let arguments = unsafe { Arguments::new(arguments.as_ptr()) };
    done(cuLaunchKernel(function, 1, 1, 1, threads, 1, 1, shared, stream, arguments, ptr::null()))
}

/// `scale` of the test's PTX.
pub(crate) fn scale(function: Handle, data: u64, count: u32, factor: f32, stream: Handle) -> Result<(), Error> {
    let arguments = [(&raw const data).cast(), (&raw const count).cast(), (&raw const factor).cast()];
    launch(function, count.next_multiple_of(32), 0, stream, &arguments)
}

pub(crate) fn description(error: Error) -> String {
    let mut text: *const c_char = ptr::null();
    // SAFETY: the text outlives the call.
    done(cuGetErrorString(error as i32, unsafe { Out::new(&raw mut text) })).unwrap();
    // SAFETY: the driver's texts are constants.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned()
}
