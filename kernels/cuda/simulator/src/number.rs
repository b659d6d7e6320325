//! Numbers that the processor has no instructions for, and roundings that it has no instructions for.

mod rounding;
mod small;

pub(crate) use rounding::{
    Format, Rounding, add_directed, add_to_odd, fma_to_odd, from_integer, from_integer_directed,
};
pub(crate) use small::{Bf16, F16, Small};
