//! From what is written to what can be executed: names are resolved, calls are inlined, registers are placed.

mod accumulators;
mod flat;
mod flatten;
mod liveness;
mod module;
mod place;
mod scope;
mod shared;
mod special;

pub(crate) use accumulators::Accumulators;
pub(crate) use flat::{Arg, Flat};
pub(crate) use flatten::Flattened;
pub(crate) use module::Names;
pub(crate) use place::{Place, Placement, place};
pub(crate) use special::Special;
