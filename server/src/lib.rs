//! The server: HTTP in front, the engine and a model behind, and what joins them.

pub mod app;
pub mod catalog;
pub mod generation;
pub mod http;
pub mod metrics;
pub mod picture;
pub mod shutdown;
pub mod store;
pub mod validate;
