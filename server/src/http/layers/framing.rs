//! What RFC 9112 wants of a request's head, beyond what hyper sees to.

use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::uri::Authority;
use axum::http::{Method, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use x0_openapi::ErrorCode;

use crate::http::error::ApiError;

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Refuses requests that do not say exactly once which host they are for, or that give two lengths for their body, and hangs up.
///
/// It hangs up after every chunked body, too: hyper drops a `Content-Length` that comes after `Transfer-Encoding`, so whether another
/// program on the way might have believed it cannot be seen (RFC 9112, section 6.1: request smuggling).
pub async fn framing(request: Request, next: Next) -> Response {
    let (headers, version) = (request.headers(), request.version());
    let chunked = headers.contains_key(header::TRANSFER_ENCODING);
    let two_lengths = chunked && headers.contains_key(header::CONTENT_LENGTH);
    let wrong = wrong_host(headers, version).or(two_lengths.then_some("the body has two lengths"));
    let hang_up = chunked || wrong.is_some();
    let mut response = match wrong {
        Some(detail) => ApiError::new(ErrorCode::BadRequest, detail).into_response(),
        None if *request.method() == Method::CONNECT => no_proxy().into_response(),
        None => next.run(request).await,
    };
    if hang_up {
        response.headers_mut().insert(header::CONNECTION, CLOSE);
    }
    response
}

/// `CONNECT` has no path that a route could answer.
fn no_proxy() -> ApiError {
    let methods = HeaderValue::from_static("GET, HEAD, POST, DELETE");
    ApiError::new(ErrorCode::MethodNotAllowed, "this server is no proxy").with_header(header::ALLOW, methods)
}

/// Why the request does not say which host it is for (RFC 9112, section 3.2). HTTP/2 says it elsewhere, HTTP/1.0 need not.
fn wrong_host(headers: &HeaderMap, version: Version) -> Option<&'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Some("there is more than one Host"),
        (None, None) => (version == Version::HTTP_11).then_some("there is no Host"),
        (Some(host), None) => {
            let valid = host.is_empty() || Authority::try_from(host.as_bytes()).is_ok();
            (!valid).then_some("Host is no host")
        }
    }
}
