//! What happens to every request before and after its route.

mod access_log;
mod authenticate;
mod framing;
mod origin;
mod problem;
mod rate_limit;
mod request_id;
mod trace;
mod uri;

pub use access_log::access_log;
pub use authenticate::authenticate;
pub use framing::framing;
pub use origin::{Names, Origins, known_origin};
pub use problem::{panicked, problem};
pub use rate_limit::rate_limit;
pub use request_id::{RequestId, request_id};
pub use trace::trace;
pub use uri::short_uri;
