//! The end of the device's memory: one test, since others would take of it.

mod common;

use common::{begin, begin_capture, done, end_capture, get, stream};
use cuda::Error;
use cuda::context::{cuCtxSetCurrent, cuDevicePrimaryCtxRelease_v2};
use cuda::graph::cuGraphDestroy;
use cuda::memory::{cuMemAlloc_v2, cuMemAllocAsync, cuMemFree_v2, cuMemGetInfo_v2};
use cuda::pool::{cuDeviceGetDefaultMemPool, cuMemPoolGetAttribute};

const TOTAL: usize = 8 << 30;
const MEBIBYTE: usize = 1 << 20;

fn free() -> usize {
    let mut total = 0;
    // SAFETY: the number outlives the call.
    let free = get(|free| cuMemGetInfo_v2(free, unsafe { cuda::Out::new(&raw mut total) })).unwrap();
    assert_eq!(total, TOTAL);
    free
}

#[test]
fn memory_ends() {
    begin();
    assert_eq!(free(), TOTAL);
    let first = get(|address| cuMemAlloc_v2(address, MEBIBYTE)).unwrap();
    assert_eq!(free(), TOTAL - MEBIBYTE);
    assert_eq!(get(|address| cuMemAlloc_v2(address, TOTAL)), Err(Error::OutOfMemory));
    assert_eq!(get(|address| cuMemAlloc_v2(address, usize::MAX)), Err(Error::OutOfMemory));
    assert_eq!(get(|address| cuMemAllocAsync(address, TOTAL, stream())), Err(Error::OutOfMemory));

    let stream = stream();
    begin_capture(stream);
    get(|address| cuMemAllocAsync(address, MEBIBYTE, stream)).unwrap();
    assert_eq!(free(), TOTAL - 2 * MEBIBYTE, "what a graph allocates is reserved at once");
    let graph = end_capture(stream).unwrap();
    done(cuGraphDestroy(graph)).unwrap();

    done(cuMemFree_v2(first)).unwrap();
    assert_eq!(free(), TOTAL);
    let pool = get(|pool| cuDeviceGetDefaultMemPool(pool, 0)).unwrap();
    let mut peak = 0_u64;
    // SAFETY: the attribute is an integer of 64 bits.
    done(cuMemPoolGetAttribute(pool, 8, unsafe { cuda::Out::new((&raw mut peak).cast()) })).unwrap();
    assert_eq!(peak, 2 * MEBIBYTE as u64);

    get(|address| cuMemAlloc_v2(address, MEBIBYTE)).unwrap();
    done(cuDevicePrimaryCtxRelease_v2(0)).unwrap();
    assert_eq!(get(|address| cuMemAlloc_v2(address, 1)), Err(Error::InvalidContext));
    done(cuCtxSetCurrent(cuda::Handle::NULL)).unwrap();
    begin();
    assert_eq!(free(), TOTAL, "a context that is released leaves nothing");
}
