//! What a program needs first: memory, modules, launches, events.

mod common;

use common::{allocate, begin, done, download, function, get, launch, scale, source, stream, target, upload};
use cuda::context::cuCtxGetCurrent;
use cuda::copy::{cuMemcpyDtoDAsync_v2, cuMemcpyDtoH_v2, cuMemcpyDtoHAsync_v2, cuMemcpyHtoDAsync_v2};
use cuda::device::{cuDeviceGet, cuDeviceGetAttribute, cuDeviceGetCount, cuDeviceTotalMem_v2};
use cuda::event::{cuEventCreate, cuEventDestroy_v2, cuEventElapsedTime_v2, cuEventQuery, cuEventRecord};
use cuda::fill::{cuMemsetD8Async, cuMemsetD16_v2, cuMemsetD32Async};
use cuda::function::{cuFuncGetAttribute, cuFuncSetAttribute, cuOccupancyMaxActiveBlocksPerMultiprocessor};
use cuda::host::{cuMemFreeHost, cuMemHostAlloc};
use cuda::memory::{cuMemAllocAsync, cuMemFree_v2, cuMemFreeAsync};
use cuda::module::{cuModuleGetFunction, cuModuleLoadData, cuModuleUnload};
use cuda::stream::{cuStreamDestroy_v2, cuStreamSynchronize, cuStreamWaitEvent};
use cuda::{Error, Handle, HostSource, Text};

/// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`
const MAX_DYNAMIC: u32 = 8;
const LEGACY: Handle = Handle::NULL;

#[test]
fn there_is_one_device() {
    begin();
    assert_eq!(get(|count| cuDeviceGetCount(count)), Ok(1));
    assert_eq!(get(|device| cuDeviceGet(device, 1)), Err(Error::InvalidDevice));
    assert_eq!(get(|bytes| cuDeviceTotalMem_v2(bytes, 0)), Ok(8 << 30));
    let attribute = |number| get(|value| cuDeviceGetAttribute(value, number, 0));
    assert_eq!([attribute(75), attribute(76)], [Ok(8), Ok(0)]);
    assert_eq!(attribute(97), Ok(166_912));
    assert_eq!(attribute(10_000), Err(Error::InvalidValue));
}

#[test]
fn bytes_come_back_as_they_were_sent() {
    begin();
    let stream = stream();
    let sent: Vec<u8> = (0..=255).collect();
    let first = get(|address| cuMemAllocAsync(address, 256, stream)).unwrap();
    let second = get(|address| cuMemAllocAsync(address, 256, stream)).unwrap();
    done(cuMemcpyHtoDAsync_v2(first, source(&sent), 256, stream)).unwrap();
    done(cuMemcpyDtoDAsync_v2(second, first, 256, stream)).unwrap();
    let mut received = [0_u8; 256];
    done(cuMemcpyDtoHAsync_v2(target(&mut received), second, 256, stream)).unwrap();
    done(cuStreamSynchronize(stream)).unwrap();
    assert_eq!(received, *sent);
    done(cuMemFreeAsync(first, stream)).unwrap();
    assert_eq!(done(cuMemFreeAsync(first, stream)), Err(Error::InvalidValue));
    done(cuMemFree_v2(second)).unwrap();
    done(cuStreamDestroy_v2(stream)).unwrap();
}

#[test]
fn copies_do_not_leave_their_memory() {
    begin();
    let address = allocate(16);
    let mut host = [0_u8; 32];
    assert_eq!(done(cuMemcpyDtoH_v2(target(&mut host), address + 8, 16)), Err(Error::InvalidValue));
    // SAFETY: nothing is read from there.
    let nothing = unsafe { HostSource::new(std::ptr::null()) };
    assert_eq!(done(cuMemcpyHtoDAsync_v2(address, nothing, 16, LEGACY)), Err(Error::InvalidValue));
}

#[test]
fn memory_is_filled_with_values_of_each_size() {
    begin();
    let address = allocate(16);
    done(cuMemsetD32Async(address, 0x0403_0201, 4, LEGACY)).unwrap();
    done(cuMemsetD16_v2(address + 4, 0x0605, 2)).unwrap();
    done(cuMemsetD8Async(address + 8, 7, 3, LEGACY)).unwrap();
    let mut bytes = [0_u8; 16];
    done(cuMemcpyDtoH_v2(target(&mut bytes), address, 16)).unwrap();
    assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 5, 6, 7, 7, 7, 4, 1, 2, 3, 4]);
}

#[test]
fn host_memory_is_writable() {
    begin();
    let mut memory = std::ptr::null_mut::<u8>();
    // SAFETY: the pointer outlives the call.
    done(cuMemHostAlloc(unsafe { cuda::Out::new(&raw mut memory) }, 100, 0)).unwrap();
    // SAFETY: 100 bytes were allocated.
    unsafe { memory.write_bytes(1, 100) };
    done(cuMemFreeHost(memory)).unwrap();
    assert_eq!(done(cuMemFreeHost(memory)), Err(Error::InvalidValue));
}

#[test]
fn a_kernel_runs() {
    begin();
    let scale_function = function(c"scale");
    let data = upload(&[1.0, 2.0, 3.0]);
    scale(scale_function, data, 3, 2.0, stream()).unwrap();
    assert_eq!(download(data, 3), [2.0, 4.0, 6.0]);
}

#[test]
fn a_kernel_uses_the_shared_memory_that_its_launch_adds() {
    begin();
    let floats: Vec<f32> = (0..32_u8).map(f32::from).collect();
    let data = upload(&floats);
    launch(function(c"reverse"), 32, 128, LEGACY, &[(&raw const data).cast()]).unwrap();
    let reversed: Vec<f32> = floats.into_iter().rev().collect();
    assert_eq!(download(data, 32), reversed);
}

#[test]
fn much_shared_memory_has_to_be_asked_for() {
    begin();
    let reverse = function(c"reverse");
    let data = upload(&[0.0; 32]);
    let launch_with = |bytes| launch(reverse, 32, bytes, LEGACY, &[(&raw const data).cast()]);
    assert_eq!(launch_with(48 << 10), Ok(()));
    assert_eq!(launch_with((48 << 10) + 1), Err(Error::InvalidValue));
    assert_eq!(done(cuFuncSetAttribute(reverse, MAX_DYNAMIC, (163 << 10) + 1)), Err(Error::InvalidValue));
    done(cuFuncSetAttribute(reverse, MAX_DYNAMIC, 100 << 10)).unwrap();
    assert_eq!(launch_with(100 << 10), Ok(()));
    assert_eq!(launch_with((100 << 10) + 1), Err(Error::InvalidValue));
    assert_eq!(get(|value| cuFuncGetAttribute(value, MAX_DYNAMIC, reverse)), Ok(100 << 10));
}

#[test]
fn declared_shared_memory_counts() {
    begin();
    let declared = function(c"declared");
    assert_eq!(launch(declared, 32, 8 << 10, LEGACY, &[]), Ok(()));
    assert_eq!(launch(declared, 32, (8 << 10) + 1, LEGACY, &[]), Err(Error::InvalidValue));
    let blocks = get(|blocks| cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, declared, 1024, 0));
    assert_eq!(blocks, Ok(2));
}

#[test]
fn blocks_have_at_most_1024_threads() {
    begin();
    let declared = function(c"declared");
    assert_eq!(launch(declared, 1024, 0, LEGACY, &[]), Ok(()));
    assert_eq!(launch(declared, 1025, 0, LEGACY, &[]), Err(Error::InvalidValue));
    assert_eq!(launch(declared, 0, 0, LEGACY, &[]), Err(Error::InvalidValue));
}

#[test]
fn what_is_not_ptx_for_the_device_is_no_module() {
    begin();
    let load = |text| get(|module| cuModuleLoadData(module, Text::new(text)));
    assert_eq!(load(c"\x7fELF"), Err(Error::InvalidImage));
    assert_eq!(load(c".version 8.0\n.target sm_90a\n.address_size 64\n"), Err(Error::InvalidPtx));
    assert_eq!(load(c".version 8.0\n.target sm_80\n.address_size 64\n .nonsense"), Err(Error::InvalidPtx));
}

#[test]
fn functions_are_found_by_name_and_go_with_their_module() {
    begin();
    let module = get(|module| cuModuleLoadData(module, Text::new(common::PTX))).unwrap();
    let find = |name| get(|function| cuModuleGetFunction(function, module, Text::new(name)));
    assert_eq!(find(c"none"), Err(Error::NotFound));
    let scale_function = find(c"scale").unwrap();
    assert_eq!(find(c"scale"), Ok(scale_function));
    done(cuModuleUnload(module)).unwrap();
    assert_eq!(scale(scale_function, 0, 0, 0.0, LEGACY), Err(Error::InvalidHandle));
}

#[test]
fn wrong_handles_are_refused() {
    begin();
    let event = get(|event| cuEventCreate(event, 0)).unwrap();
    assert_eq!(done(cuStreamSynchronize(Handle(12_345))), Err(Error::InvalidHandle));
    assert_eq!(done(cuStreamSynchronize(event)), Err(Error::InvalidHandle));
    done(cuEventDestroy_v2(event)).unwrap();
    assert_eq!(done(cuEventQuery(event)), Err(Error::InvalidHandle));
}

#[test]
fn events_measure_time() {
    begin();
    let stream = stream();
    let [start, end, without_time] = [0, 0, 2].map(|flags| get(|event| cuEventCreate(event, flags)).unwrap());
    let elapsed = |start, end| get(|time| cuEventElapsedTime_v2(time, start, end));
    assert_eq!(elapsed(start, end), Err(Error::InvalidHandle));
    for event in [start, end, without_time] {
        done(cuEventRecord(event, stream)).unwrap();
    }
    assert!(elapsed(start, end).unwrap() >= 0.0);
    assert_eq!(elapsed(start, without_time), Err(Error::InvalidHandle));
    done(cuEventQuery(end)).unwrap();
    done(cuStreamWaitEvent(stream, end, 0)).unwrap();
}

#[test]
fn each_thread_sets_its_context() {
    begin();
    let elsewhere = std::thread::spawn(|| {
        (get(|context| cuCtxGetCurrent(context)), get(|address| cuMemAllocAsync(address, 1, LEGACY)))
    });
    assert_eq!(elsewhere.join().unwrap(), (Ok(Handle::NULL), Err(Error::InvalidContext)));
}
