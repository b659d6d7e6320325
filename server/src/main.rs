//! The program `x0`.

use std::process::ExitCode;

use x0_model::BufferAllocator;
use x0_server::cli::Cli;

/// Pictures and tensors come and go in large pieces, from many threads.
#[global_allocator]
static ALLOCATOR: BufferAllocator<mimalloc::MiMalloc> = BufferAllocator::new(mimalloc::MiMalloc);

fn main() -> ExitCode {
    Cli::read().run()
}
