//! What a call answers.

use std::ffi::{CStr, c_char};

use x0_cuda_simulator::{Fault, FaultKind};

use crate::pointer::Out;

macro_rules! errors {
    ($($(#[$comment:meta])* $variant:ident = $code:literal, $name:literal, $description:literal;)*) => {
        /// Why a call failed: those of the errors of `CUresult` that occur here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        pub enum Error {
            $($(#[$comment])* $variant = $code,)*
        }

        impl Error {
            const ALL: &[Self] = &[$(Self::$variant,)*];

            fn name(self) -> &'static CStr {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            fn description(self) -> &'static CStr {
                match self {
                    $(Self::$variant => $description,)*
                }
            }
        }
    };
}

errors! {
    InvalidValue = 1, c"CUDA_ERROR_INVALID_VALUE", c"an argument is out of range";
    OutOfMemory = 2, c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory";
    NotInitialized = 3, c"CUDA_ERROR_NOT_INITIALIZED", c"cuInit was not called";
    NoDevice = 100, c"CUDA_ERROR_NO_DEVICE", c"there is no device";
    InvalidDevice = 101, c"CUDA_ERROR_INVALID_DEVICE", c"there is no such device";
    /// Not PTX.
    InvalidImage = 200, c"CUDA_ERROR_INVALID_IMAGE", c"the module's image is not PTX";
    InvalidContext = 201, c"CUDA_ERROR_INVALID_CONTEXT", c"no context, or the wrong one, is current";
    InvalidPtx = 218, c"CUDA_ERROR_INVALID_PTX", c"the PTX cannot be compiled for this device";
    FileNotFound = 301, c"CUDA_ERROR_FILE_NOT_FOUND", c"the file cannot be read";
    InvalidHandle = 400, c"CUDA_ERROR_INVALID_HANDLE", c"the handle names nothing";
    IllegalState = 401, c"CUDA_ERROR_ILLEGAL_STATE", c"not in the state that the call needs";
    NotFound = 500, c"CUDA_ERROR_NOT_FOUND", c"the name was not found";
    IllegalAddress = 700, c"CUDA_ERROR_ILLEGAL_ADDRESS", c"a kernel accessed what is no memory of the device";
    MisalignedAddress = 716, c"CUDA_ERROR_MISALIGNED_ADDRESS", c"a kernel accessed a misaligned address";
    LaunchFailed = 719, c"CUDA_ERROR_LAUNCH_FAILED", c"a kernel failed";
    NotSupported = 801, c"CUDA_ERROR_NOT_SUPPORTED", c"the simulator has no such function";
    CaptureUnsupported = 900, c"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", c"not permitted while a stream is capturing";
    CaptureInvalidated = 901, c"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", c"an earlier error has invalidated the capture";
    CaptureMerge = 902, c"CUDA_ERROR_STREAM_CAPTURE_MERGE", c"two captures would become one";
    CaptureUnmatched = 903, c"CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", c"the capture was not begun on this stream";
    CaptureUnjoined = 904, c"CUDA_ERROR_STREAM_CAPTURE_UNJOINED", c"a stream that joined the capture was not waited for";
    CaptureIsolation = 905, c"CUDA_ERROR_STREAM_CAPTURE_ISOLATION", c"captured work would depend on work outside of the capture";
    CaptureImplicit = 906, c"CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", c"the legacy stream would depend on a capturing stream";
    CapturedEvent = 907, c"CUDA_ERROR_CAPTURED_EVENT", c"the event was last recorded while its stream was capturing";
    CaptureWrongThread = 908, c"CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", c"the capture was begun by another thread";
}

impl Error {
    /// Whether it damages the context: every later call fails with it too.
    pub(crate) fn is_sticky(self) -> bool {
        matches!(self, Self::IllegalAddress | Self::MisalignedAddress | Self::LaunchFailed)
    }

    fn with_code(code: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|&error| error as i32 == code)
    }
}

impl From<&Fault> for Error {
    fn from(fault: &Fault) -> Self {
        match fault.kind {
            FaultKind::OutOfBounds { .. } => Self::IllegalAddress,
            FaultKind::Misaligned { .. } => Self::MisalignedAddress,
            FaultKind::Deadlock
            | FaultKind::Endless
            | FaultKind::NotMember
            | FaultKind::Trap
            | FaultKind::Unsupported
            | FaultKind::Race { .. }
            | FaultKind::Proxy { .. }
            | FaultKind::Accumulator
            | FaultKind::Warpgroup(_) => Self::LaunchFailed,
            FaultKind::Launch(_) => Self::InvalidValue,
        }
    }
}

/// `CUresult`: 0 for success, or an [`Error`]'s number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Status(i32);

impl From<Result<(), Error>> for Status {
    fn from(result: Result<(), Error>) -> Self {
        match result {
            Ok(()) => Self(0),
            Err(error) => Self(error as i32),
        }
    }
}

impl From<Status> for Result<(), Error> {
    fn from(status: Status) -> Self {
        Error::with_code(status.0).map_or(Ok(()), Err)
    }
}

/// The error's name. Works after a sticky error, too.
#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorName(code: i32, name: Out<*const c_char>) -> Status {
    text(code, name, c"CUDA_SUCCESS", Error::name)
}

/// What the error means. Works after a sticky error, too.
#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorString(code: i32, description: Out<*const c_char>) -> Status {
    text(code, description, c"no error", Error::description)
}

fn text(code: i32, place: Out<*const c_char>, success: &CStr, of: fn(Error) -> &'static CStr) -> Status {
    let text = if code == 0 { Some(success) } else { Error::with_code(code).map(of) };
    match text {
        Some(text) => place.set(text.as_ptr()).into(),
        None => place.set(std::ptr::null()).and(Err(Error::InvalidValue)).into(),
    }
}
