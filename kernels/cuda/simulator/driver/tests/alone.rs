//! A capture that concerns all threads, and the legacy stream: one test, since others would be disturbed.

mod common;

use common::{allocate, begin, done, end_capture, get, stream};
use cuda::context::cuCtxSynchronize;
use cuda::fill::cuMemsetD8Async;
use cuda::graph::{cuStreamBeginCapture_v2, cuStreamIsCapturing};
use cuda::memory::cuMemAlloc_v2;
use cuda::stream::cuStreamCreate;
use cuda::{Error, Handle};

const LEGACY: Handle = Handle(1);
const OF_THREAD: Handle = Handle(2);
const GLOBAL: u32 = 0;
const RELAXED: u32 = 2;

#[test]
fn captures_forbid_what_they_have_to() {
    begin();
    let address = allocate(4);
    let allocate_elsewhere = || {
        let allocation = std::thread::spawn(|| {
            begin();
            get(|address| cuMemAlloc_v2(address, 4)).map(drop)
        });
        allocation.join().unwrap()
    };

    let non_blocking = stream();
    done(cuStreamBeginCapture_v2(non_blocking, GLOBAL)).unwrap();
    done(cuMemsetD8Async(address, 0, 4, LEGACY)).unwrap();
    assert_eq!(allocate_elsewhere(), Err(Error::CaptureUnsupported));
    assert_eq!(end_capture(non_blocking), Err(Error::CaptureInvalidated));

    done(cuStreamBeginCapture_v2(non_blocking, RELAXED)).unwrap();
    assert_eq!(allocate_elsewhere(), Ok(()));
    allocate(4);
    end_capture(non_blocking).unwrap();

    done(cuStreamBeginCapture_v2(non_blocking, RELAXED)).unwrap();
    assert_eq!(done(cuCtxSynchronize()), Err(Error::CaptureUnsupported));
    assert_eq!(end_capture(non_blocking), Err(Error::CaptureInvalidated));

    assert_eq!(done(cuStreamBeginCapture_v2(LEGACY, GLOBAL)), Err(Error::CaptureUnsupported));
    let blocking = get(|stream| cuStreamCreate(stream, 0)).unwrap();
    for stream in [blocking, OF_THREAD] {
        done(cuStreamBeginCapture_v2(stream, GLOBAL)).unwrap();
        assert_eq!(get(|status| cuStreamIsCapturing(LEGACY, status)), Err(Error::CaptureImplicit));
        assert_eq!(get(|status| cuStreamIsCapturing(stream, status)), Ok(1));
        assert_eq!(done(cuMemsetD8Async(address, 0, 4, LEGACY)), Err(Error::CaptureImplicit));
        assert_eq!(end_capture(stream), Err(Error::CaptureInvalidated));
    }
}
