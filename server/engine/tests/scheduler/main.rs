//! The scheduler in virtual time: as scenarios, as properties, under load, and against those who would starve others.

mod load;
mod properties;
mod scenarios;
mod script;
mod starvation;
mod support;
mod witness;
