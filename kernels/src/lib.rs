//! Kernels for Stable Diffusion's networks.
//!
//! Activations are float32 candle tensors in channel-last order, `(batch, height, width, channels)` for maps and
//! `(batch, tokens, channels)` for sequences. Layers with weights ([`Linear`], [`Conv2d`]) pack them once, when they are
//! made, for the instruction set that the machine has ([`Isa`]).
//!
//! A row of a batch is computed by the same operations in the same order whatever the size of the batch, the number of
//! threads and the instruction set: its bits do not depend on its company.

mod activation;
mod aligned;
mod allocator;
mod attention;
mod calibrate;
mod conv2d;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod gemm;
mod linear;
mod math;
mod norm;
mod packed;
mod pool;
mod sampling;
mod scratch;
mod simd;
mod streams;
mod tensor;
mod tile;
mod trial;
mod winograd;

pub use activation::{Activation, activate, add_per_channel, concatenate, geglu};
pub use allocator::{BufferAllocator, Statistics as BufferStatistics};
pub use attention::{Mask, Options as AttentionOptions, attention, attention_with_isa};
pub use calibrate::{memory_bandwidth, peak_flops};
pub use conv2d::{Conv2d, Conv2dOptions};
#[cfg(feature = "cuda")]
pub use cuda::graph::Graph;
pub use device::{CudaDeviceInfo, DeviceFault, OpenError, cuda_devices, device_fault, matrix_peak, open_cuda};
pub use linear::Linear;
pub use norm::{group_norm, layer_norm};
pub use pool::{install, threads};
pub use sampling::{FiniteCheck, combine, latent_colors, network_input, picture_bytes, restore, restore_deviation};
pub use simd::Isa;
pub use streams::{Pace, hand_over};
pub use trial::{Deviation, deviation};
