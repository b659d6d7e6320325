//! HTTP: the routes, what surrounds them, and the loop that accepts connections.

pub mod accept;
pub mod body;
pub mod dialect;
pub mod error;
pub mod idempotency;
pub mod layers;
pub mod making;
pub mod negotiate;
mod patience;
pub mod router;
pub mod routes;
pub mod sse;
