//! What the machine can do at best.

use std::fmt;

use serde::Serialize;
use x0_kernels::{Isa, memory_bandwidth, peak_flops, threads};

/// Measured when it is made, which takes about a second. Nothing else should run on the machine meanwhile.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    isa: String,
    threads: usize,
    /// Of one thread, in billions of operations per second.
    peak_gflops_of_one_thread: f64,
    #[serde(skip)]
    pub(super) peak_gflops: f64,
    /// Read by all threads together, in billions of bytes per second.
    memory_gigabytes_per_second: f64,
}

impl Machine {
    pub(super) fn measure() -> Self {
        let threads = threads();
        Self {
            isa: format!("{:?}", Isa::best()),
            threads,
            peak_gflops_of_one_thread: peak_flops(1) / 1e9,
            peak_gflops: peak_flops(threads) / 1e9,
            memory_gigabytes_per_second: memory_bandwidth(threads) / 1e9,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} threads: at best {:.0} GFLOP/s ({:.0} of one thread), {:.0} GB/s from memory",
            self.isa, self.threads, self.peak_gflops, self.peak_gflops_of_one_thread, self.memory_gigabytes_per_second
        )
    }
}
