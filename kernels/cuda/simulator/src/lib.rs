//! Runs PTX on the processor.
//!
//! [`Module::parse`] reads what nvcc wrote; [`Function::launch`] runs a kernel: every thread of every block, warp by warp, with barriers,
//! shuffles, matrix instructions and asynchronous copies doing what NVIDIA's PTX ISA says. [`Memory`] is what the kernel may touch;
//! everything else is a [`Fault`].

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
