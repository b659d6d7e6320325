//! The life of a generation, from an accepted order to its last fact.
//!
//! [`Generations`] takes an order to the store and to the engine; requests reach it through [`Own`], which knows whose they are. What the engine tells of it comes through the [`Outlet`] to the
//! generation's recorder, which encodes pictures and appends [`Fact`]s to the store. A record is the [`Fold`] of its facts.
//!
//! What a process leaves unfinished the next one takes up again, where the store can keep it: see [`Generations::resume`].

mod fact;
mod fold;
mod outlet;
mod own;
mod recorder;
mod resume;
mod service;

pub use fact::{EventId, Fact, FinishedImage, Glimpse};
pub use fold::Fold;
pub use outlet::{Inboxes, Outlet};
pub use own::Own;
pub use service::{Accepted, CancelOnDrop, Generations, Refused};
