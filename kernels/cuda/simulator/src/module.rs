//! Modules, functions and how they are launched.

use crate::fault::{Fault, ParseError};
use crate::memory::Memory;

/// A PTX module.
#[derive(Debug)]
pub struct Module {}

/// A kernel.
#[derive(Debug)]
pub struct Function {}

/// One parameter of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// From the beginning of the parameters.
    pub offset: usize,
    pub bytes: usize,
}

/// In which order the warps of a block run between two barriers. What a kernel computes must not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WarpOrder {
    #[default]
    Forward,
    Backward,
}

/// With what a kernel is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch<'a> {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    /// Beside what the kernel declares.
    pub shared_bytes: u32,
    /// All parameters, each at its [`Parameter::offset`].
    pub parameters: &'a [u8],
    pub order: WarpOrder,
}

impl Module {
    /// Reads PTX. Global variables are put into `memory`.
    pub fn parse(_ptx: &str, _memory: &mut Memory) -> Result<Self, ParseError> {
        todo!()
    }

    pub fn function(&self, _name: &str) -> Option<&Function> {
        todo!()
    }

    /// Names of all kernels.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// Where a global variable lies, and its bytes.
    pub fn global(&self, _name: &str) -> Option<(u64, usize)> {
        todo!()
    }
}

impl Function {
    pub fn parameters(&self) -> &[Parameter] {
        todo!()
    }

    /// Bytes of shared memory that the kernel declares, beside what a launch adds.
    pub fn shared_bytes(&self) -> u32 {
        todo!()
    }

    /// Runs all blocks to the end, one after the other or on several threads.
    pub fn launch(&self, _memory: &Memory, _launch: &Launch<'_>) -> Result<(), Fault> {
        todo!()
    }
}
