//! Which launches compute an operation.

mod attention;
mod conv2d;
mod norm;
mod pointwise;
mod sampler;
