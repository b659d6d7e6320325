//! Where clients find this server.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::{self, HeaderName};
use axum::http::request::Parts;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The server as the client called it, such as `http://127.0.0.1:8000`, for answers that must hold whole addresses. Whoever lies about
/// it lies to themselves.
#[derive(Clone, Debug)]
pub struct Address(String);

impl Address {
    /// The whole address of a path on this server.
    pub fn of(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let header = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let scheme = header(X_FORWARDED_PROTO).filter(|scheme| *scheme == "https").unwrap_or("http");
        // HTTP/2 has the host in the URI, HTTP/1 in a header.
        let host = header(header::HOST).or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
        Ok(Self(format!("{scheme}://{}", host.unwrap_or("localhost"))))
    }
}
