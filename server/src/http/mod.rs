//! HTTP: the routes, what surrounds them, and the loop that accepts connections.

pub mod accept;
pub mod body;
pub mod error;
pub mod layers;
pub mod negotiate;
mod patience;
pub mod router;
pub mod routes;
pub mod sse;
