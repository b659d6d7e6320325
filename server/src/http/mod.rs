//! HTTP: the routes, what surrounds them, and the loop that accepts connections.

pub mod accept;
pub mod address;
pub mod body;
pub mod dialect;
pub mod error;
pub mod form;
pub mod hugging_face;
pub mod idempotency;
pub mod layers;
pub mod making;
pub mod negotiate;
pub mod openai;
mod patience;
pub mod replicate;
pub mod router;
pub mod routes;
pub mod sdapi;
mod security;
pub mod sse;
