//! The driver API on top of the simulator.
//!
//! Built as `libcuda.so`, which stands in for NVIDIA's `libcuda.so.1`, and for the little that programs built with candle need of
//! cuBLAS, cuRAND and the runtime library. What the functions do and answer is defined by the CUDA driver API, of which `cuda.h` is the
//! reference; the comments here say what is different.
//!
//! Work is done when it is submitted, in the order of the calls, whatever stream it is submitted to. All state is behind one lock.

mod capture;
mod clock;
pub mod context;
pub mod copy;
pub mod cublas;
pub mod cudart;
pub mod curand;
pub mod device;
pub mod event;
pub mod fill;
pub mod function;
pub mod graph;
mod handle;
pub mod host;
pub mod launch;
pub mod memory;
pub mod module;
mod operation;
mod pointer;
pub mod pool;
mod settings;
pub mod status;
pub mod stream;
pub mod unsupported;

pub use handle::Handle;
pub use pointer::{Arguments, HostSource, HostTarget, In, Out, Text};
pub use status::{Error, Status};
