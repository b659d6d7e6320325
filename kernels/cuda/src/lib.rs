//! The CUDA kernels, and how each is started.
//!
//! The kernels are the `.cu` files of this folder. [`plan`] says, from the sizes of the tensors and where it matters the device's
//! [`Architecture`], which of them compute an operation, with how many threads and which arguments; who has a device carries a [`Plan`]
//! out. Nothing here needs a GPU: the tests carry plans out on a simulator.
//!
//! Tensors are contiguous and channel-last, `(batch, height, width, channels)` for maps and `(batch, tokens, channels)` for sequences,
//! of [`Element`]s; sums are taken in float32. Weights of normalisations and biases are always float32.
//!
//! A row of a batch is computed by the same operations in the same order whatever the size of the batch: which kernel, how its work is
//! cut and in which order sums are taken depend on the layer and the size of a row, never on how many rows there are.

mod architecture;
mod element;
mod launch;
pub mod plan;
#[cfg(feature = "ptx")]
mod ptx;

pub use architecture::Architecture;
pub use element::{Activation, Element};
pub use launch::{Argument, Launch, Module, Plan};
