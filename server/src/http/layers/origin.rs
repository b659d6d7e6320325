//! Web pages of other origins must not give us work, unless they are among those that may.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowHeaders, AllowMethods, CorsLayer};
use x0_openapi::ErrorCode;

use crate::http::error::ApiError;

/// Whose pages may use the server.
#[derive(Clone, Debug)]
pub struct Origins {
    /// Besides its own; in lower case.
    others: Arc<[HeaderValue]>,
    names: Names,
}

/// Which names of hosts are the server's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// It serves everyone on this machine, and nobody else: a page whose name was made to lead here after it was loaded (DNS rebinding) is of
    /// the same origin as the server, by its name alone. Only names that always mean this machine are taken.
    Local,
    /// It has whatever name leads to it, and asks for keys, or its operator said that it need not.
    Any,
}

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
    pub fn new(others: &[HeaderValue], names: Names) -> Self {
        Self { others: others.into(), names }
    }

    /// Tells browsers what pages of these origins may do; `None` where there are none. Keys come in a header that the page sets, so no
    /// browser needs to send what it has stored.
    pub fn cors(&self) -> Option<CorsLayer> {
        let cors = CorsLayer::new()
            .allow_origin(self.others.to_vec())
            .allow_methods(AllowMethods::mirror_request())
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(EXPOSED.map(HeaderName::from_static))
            .max_age(MAX_AGE);
        (!self.others.is_empty()).then_some(cors)
    }
}

/// Refuses requests to a name that is not ours, and those that change something when a browser says that they come from a page of an origin that is neither ours nor among those
/// that may.
///
/// A page may send a form to any address without asking first, and we read forms as JSON for curl's sake; a server on somebody's own
/// machine must not be driven by whatever page they look at. Other clients send no `Origin`.
pub async fn known_origin(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let host = host(request.headers(), request.uri());
    if !origins.are_served_at(host) {
        let detail = "this server is called localhost; --cors-origin names others, for a proxy before it";
        return ApiError::new(ErrorCode::CrossOrigin, detail).into_response();
    }
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || is_same_origin(request.headers(), host) || origins.hold(request.headers()) {
        return next.run(request).await;
    }
    ApiError::new(ErrorCode::CrossOrigin, "web pages of other origins are not served").into_response()
}

impl Origins {
    fn hold(&self, headers: &HeaderMap) -> bool {
        headers.get(header::ORIGIN).is_some_and(|origin| self.others.contains(origin))
    }

    /// Whether a host, with its port if it has one, is a name of ours. Who names none is no browser.
    fn are_served_at(&self, host: Option<&str>) -> bool {
        match (self.names, host) {
            (Names::Any, _) | (Names::Local, None) => true,
            (Names::Local, Some(host)) => is_of_this_machine(host) || self.have_host(host),
        }
    }

    fn have_host(&self, host: &str) -> bool {
        let mut hosts = self.others.iter().filter_map(|origin| Some(origin.to_str().ok()?.split_once("://")?.1));
        hosts.any(|other| other.eq_ignore_ascii_case(host))
    }
}

/// HTTP/2 has the host in the URI, HTTP/1 in a header.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.or_else(|| uri.authority().map(|authority| authority.as_str()))
}

/// Whether a host is an address, or a name that no name server is asked for (RFC 6761, section 6.3).
fn is_of_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().to_ascii_lowercase();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
    address.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

fn is_same_origin(headers: &HeaderMap, host: Option<&str>) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
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
            is_same_origin(&headers, host(&headers, &uri))
        };
        for same in [None, Some("http://localhost:8000"), Some("https://LOCALHOST:8000")] {
            assert!(check(same), "{same:?}");
        }
        for other in ["http://localhost:8001", "http://evil.example", "null", "localhost:8000", ""] {
            assert!(!check(Some(other)), "{other}");
        }
    }

    #[test]
    fn a_server_of_one_machine_has_no_other_name() {
        let others = [HeaderValue::from_static("https://x0.example:8443")];
        let (local, any) = (Origins::new(&others, Names::Local), Origins::new(&[], Names::Any));
        for own in
            ["localhost", "LOCALHOST:8000", "x0.localhost:8000", "127.0.0.1:8000", "127.0.0.9", "[::1]:8000", "[::1]"]
        {
            assert!(local.are_served_at(Some(own)), "{own}");
        }
        assert!(local.are_served_at(None) && local.are_served_at(Some("x0.example:8443")), "a proxy's name");
        for other in ["evil.example:8000", "x0.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b"]
        {
            assert!(!local.are_served_at(Some(other)), "{other}");
            assert!(any.are_served_at(Some(other)), "{other}");
        }
    }
}
