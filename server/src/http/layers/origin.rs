//! Web pages of other origins must not give us work.

use axum::extract::Request;
use axum::http::header::{self, HeaderMap};
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use x0_openapi::ErrorCode;

use crate::http::error::ApiError;

/// Refuses requests that change something when a browser says that they come from a page of another origin.
///
/// A page may send a form to any address without asking first, and we read forms as JSON for curl's sake; a server on somebody's own
/// machine must not be driven by whatever page they look at. Other clients send no `Origin`.
pub async fn same_origin(request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || is_same_origin(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    ApiError::new(ErrorCode::CrossOrigin, "web pages of other origins are not served").into_response()
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
