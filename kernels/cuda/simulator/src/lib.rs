//! Runs PTX on the processor.
//!
//! [`Module::parse`] reads what nvcc wrote; [`Function::launch`] runs a kernel: every thread of every block, warp by warp, with barriers,
//! shuffles, matrix instructions and asynchronous copies doing what NVIDIA's PTX ISA says. [`Memory`] is what the kernel may touch;
//! everything else is a [`Fault`].
//!
//! Results have the bits that the ISA says, with two exceptions: where it only bounds an error (`.approx`, and the sums of matrix
//! instructions) they are computed in float64 and rounded; and which NaN an operation in float32 or float64 gives is up to the host.
//! What the ISA leaves undefined shows: fresh global and shared memory is full of 0xFF bytes, a lane that is not there gives all bits
//! in a shuffle, and an asynchronous copy happens no earlier than it is waited for. Asynchronous matrix instructions read shared memory
//! where they are issued; what would let them find something else at another moment until they are waited for is a fault.

mod assemble;
mod fault;
mod instruction;
mod machine;
mod memory;
mod module;
mod number;
mod syntax;

pub use fault::{Fault, FaultKind, ParseError};
pub use memory::{Address, Memory};
pub use module::{Function, Launch, Module, Options, Parameter, WarpOrder};
