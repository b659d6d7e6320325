//! What happens to every request before and after its route.

mod access_log;
mod origin;
mod problem;
mod request_id;
mod uri;

pub use access_log::access_log;
pub use origin::same_origin;
pub use problem::{panicked, problem};
pub use request_id::{RequestId, request_id};
pub use uri::short_uri;
