//! What can go wrong.

/// PTX that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    pub message: String,
}

/// Why a launch was ended.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{function}, block {block:?}, thread {thread:?}: {instruction}: {kind}")]
pub struct Fault {
    pub function: String,
    pub block: [u32; 3],
    /// The first thread of those that met it.
    pub thread: [u32; 3],
    /// As it is written in the PTX.
    pub instruction: String,
    pub kind: FaultKind,
}

/// The kinds of faults.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FaultKind {
    #[error("{bytes} bytes at {address:#x} are no memory of the device")]
    OutOfBounds { address: u64, bytes: usize },
    #[error("{address:#x} is no multiple of {alignment}")]
    Misaligned { address: u64, alignment: usize },
    /// Threads that a barrier or a shuffle waits for went elsewhere.
    #[error("threads wait that can never go on")]
    Deadlock,
    #[error("more than the allowed instructions were executed")]
    Endless,
    /// A thread takes part in an exchange of which it is no member.
    #[error("the thread is not among the members that it names")]
    NotMember,
    /// `trap`, and what failed assertions call.
    #[error("the kernel gave up")]
    Trap,
    #[error("this instruction is not simulated")]
    Unsupported,
    /// Shared memory is written while an asynchronous instruction that nobody has waited for writes or reads it, or read by one while it
    /// is written.
    #[error("shared memory at {address:#x} is written while an asynchronous instruction is under way there")]
    Race { address: u64 },
    /// A matrix instruction reads shared memory whose writer has executed no `fence.proxy.async` since.
    #[error("shared memory at {address:#x} was written without a fence before a matrix instruction reads it")]
    Proxy { address: u64 },
    /// Registers are touched while a matrix instruction adds to them, or since the last `wgmma.fence` before it does.
    #[error("the registers of a matrix instruction are used without a fence or before they were waited for")]
    Accumulator,
    /// What a warpgroup cannot do.
    #[error("{0}")]
    Warpgroup(String),
    #[error("{0}")]
    Launch(String),
}
