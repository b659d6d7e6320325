//! The kernels on CUDA devices.
//!
//! [`x0_cuda`] says how an operation is computed; here it is done, on candle's tensors and in the order of candle's stream. Activations are
//! float32, float16 or bfloat16, weights of layers are of the same type, and those of normalisations and biases are float32.

pub(crate) mod device;
pub(crate) mod graph;
pub(crate) mod layers;
pub(crate) mod operations;
mod run;
pub(crate) mod sampling;
pub(crate) mod streams;
