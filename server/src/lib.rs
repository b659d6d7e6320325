//! The server: HTTP in front, the engine and a model behind, and what joins them.
//!
//! [`server::Server`] puts it together. A request's way: [`http`] → [`validate`] → [`generation`] → the engine → [`store`] → [`http`].

pub mod app;
pub mod auth;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod denoiser;
pub mod device;
pub mod fetch;
pub mod generation;
pub mod http;
pub mod infotext;
pub mod metrics;
pub mod picture;
#[cfg(test)]
mod samples;
pub mod server;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod validate;
