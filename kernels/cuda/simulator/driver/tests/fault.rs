//! A kernel that fails: one test, since a process cannot use the device afterwards.

mod common;

use common::{allocate, begin, description, done, function, get, scale, stream};
use cuda::context::cuCtxSynchronize;
use cuda::memory::{cuMemAlloc_v2, cuMemFree_v2};
use cuda::{Error, Handle};

#[test]
fn a_fault_sticks() {
    begin();
    let (address, scale_function, stream) = (allocate(4), function(c"scale"), stream());
    assert_eq!(scale(scale_function, address, 1, 2.0, stream), Ok(()));
    assert_eq!(scale(scale_function, address, 200, 2.0, stream), Err(Error::IllegalAddress));
    assert_eq!(scale(scale_function, address, 1, 2.0, stream), Err(Error::IllegalAddress));
    assert_eq!(get(|address| cuMemAlloc_v2(address, 4)), Err(Error::IllegalAddress));
    assert_eq!(done(cuMemFree_v2(address)), Err(Error::IllegalAddress));
    assert_eq!(done(cuCtxSynchronize()), Err(Error::IllegalAddress));
    assert_eq!(scale(Handle::NULL, address, 1, 2.0, stream), Err(Error::IllegalAddress));
    assert_eq!(description(Error::IllegalAddress), "a kernel accessed what is no memory of the device");
}
