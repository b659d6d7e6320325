//! What executes instructions.

mod block;
mod copies;
mod grid;
mod lanes;
mod products;
mod registers;
mod shadow;
mod space;
mod stored;
mod warp;

pub(crate) use copies::Copy;
pub(crate) use grid::{Program, Step, run_grid};
pub(crate) use lanes::{
    BoxedEffect, BoxedWork, Choose, Combine, Compare, Effect, Map1, Map2, Map3, Work, effect, work,
};
pub(crate) use products::{Accumulator, CHUNK};
pub(crate) use registers::{Condition, Lane, Mask, Predicate, Registers, Slot, WARP, lanes};
pub(crate) use space::{Space, Trouble, space_of, window};
pub(crate) use stored::Stored;
pub(crate) use warp::Warp;
