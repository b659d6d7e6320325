//! Web pages of other origins must not give us work, unless they are among those that may.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap};
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowHeaders, AllowMethods, CorsLayer};
use x0_openapi::ErrorCode;

use crate::http::error::ApiError;

/// Origins whose pages may use the server, besides its own; in lower case.
#[derive(Clone, Debug, Default)]
pub struct Origins(Arc<[HeaderValue]>);

/// How long browsers may remember what such a page may do.
const MAX_AGE: Duration = Duration::from_secs(600);
/// What such a page may read of an answer, besides its body.
const EXPOSED: [&str; 13] = [
    "content-disposition",
    "idempotency-replayed",
    "location",
    "preference-applied",
    "ratelimit-limit",
    "ratelimit-policy",
    "ratelimit-remaining",
    "ratelimit-reset",
    "retry-after",
    "traceresponse",
    "x-generation-id",
    "x-request-id",
    "x-seed",
];

impl Origins {
    pub fn new(origins: &[HeaderValue]) -> Self {
        Self(origins.into())
    }

    /// Tells browsers what pages of these origins may do; `None` where there are none. Keys come in a header that the page sets, so no
    /// browser needs to send what it has stored.
    pub fn cors(&self) -> Option<CorsLayer> {
        let cors = CorsLayer::new()
            .allow_origin(self.0.to_vec())
            .allow_methods(AllowMethods::mirror_request())
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(EXPOSED.map(HeaderName::from_static))
            .max_age(MAX_AGE);
        (!self.0.is_empty()).then_some(cors)
    }
}

/// Refuses requests that change something when a browser says that they come from a page of an origin that is neither ours nor among those
/// that may.
///
/// A page may send a form to any address without asking first, and we read forms as JSON for curl's sake; a server on somebody's own
/// machine must not be driven by whatever page they look at. Other clients send no `Origin`.
pub async fn known_origin(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || is_same_origin(request.headers(), request.uri()) || origins.hold(request.headers()) {
        return next.run(request).await;
    }
    ApiError::new(ErrorCode::CrossOrigin, "web pages of other origins are not served").into_response()
}

impl Origins {
    fn hold(&self, headers: &HeaderMap) -> bool {
        headers.get(header::ORIGIN).is_some_and(|origin| self.0.contains(origin))
    }
}

fn is_same_origin(headers: &HeaderMap, uri: &Uri) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    // HTTP/2 has the host in the URI, HTTP/1 in a header.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(|authority| authority.as_str()));
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_must_be_the_host() {
        let uri = Uri::from_static("/v1/generations");
        let check = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "localhost:8000".parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            is_same_origin(&headers, &uri)
        };
        for same in [None, Some("http://localhost:8000"), Some("https://LOCALHOST:8000")] {
            assert!(check(same), "{same:?}");
        }
        for other in ["http://localhost:8001", "http://evil.example", "null", "localhost:8000", ""] {
            assert!(!check(Some(other)), "{other}");
        }
    }
}
