//! What the machine can do at best.

use std::fmt;

use serde::Serialize;
use x0_kernels::{Isa, memory_bandwidth, peak_flops, threads};
use x0_model::Placement;

use crate::commands::CommandError;

/// Measured when it is made, which takes about a second. Nothing else should run on the machine meanwhile.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Machine {
    Processor(Processor),
    Device(Device),
}

/// The processor, where models compute on it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Processor {
    isa: String,
    threads: usize,
    /// Of one thread, in billions of operations per second.
    peak_gflops_of_one_thread: f64,
    #[serde(skip)]
    peak_gflops: f64,
    /// Read by all threads together, in billions of bytes per second.
    memory_gigabytes_per_second: f64,
}

/// A GPU.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Device {
    device: String,
    /// Of weights and activations, and of the products that they are measured against.
    precision: &'static str,
    #[serde(skip)]
    peak_gflops: f64,
}

impl Machine {
    /// What `placement` computes on.
    pub(super) fn measure(placement: &Placement) -> Result<Self, CommandError> {
        let peak = placement.matrix_peak().map_err(CommandError::of_step)?;
        Ok(match placement.cuda_device().zip(peak) {
            Some((info, peak)) => Self::Device(Device {
                device: info.name.clone(),
                precision: placement.precision().name(),
                peak_gflops: peak / 1e9,
            }),
            None => Self::Processor(Processor::measure()),
        })
    }

    /// In billions of operations per second.
    pub(super) fn peak_gflops(&self) -> f64 {
        match self {
            Self::Processor(processor) => processor.peak_gflops,
            Self::Device(device) => device.peak_gflops,
        }
    }
}

impl Processor {
    fn measure() -> Self {
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
        match self {
            Self::Processor(Processor {
                isa,
                threads,
                peak_gflops_of_one_thread,
                peak_gflops,
                memory_gigabytes_per_second,
            }) => write!(
                f,
                "{isa}, {threads} threads: at best {peak_gflops:.0} GFLOP/s ({peak_gflops_of_one_thread:.0} of one thread), \
                 {memory_gigabytes_per_second:.0} GB/s from memory"
            ),
            Self::Device(Device { device, precision, peak_gflops }) => {
                write!(f, "{device}, {precision}: {peak_gflops:.0} GFLOP/s in products of matrices by cuBLAS")
            }
        }
    }
}
