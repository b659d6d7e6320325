//! The scheduler in virtual time: as scenarios, as properties, under load, by what part of the device tenants get, and against
//! those who would starve others.

mod load;
mod properties;
mod scenarios;
mod script;
mod shares;
mod starvation;
mod support;
mod witness;
