//! A name for every request: the client's own, if it is a decent one.

use axum::extract::Request;
use axum::http::header::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_LENGTH: usize = 128;

/// The request's name, in its extensions.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Takes the name from `x-request-id` or makes one, and sends it back.
pub async fn request_id(mut request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(|| Uuid::now_v7().to_string());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

fn given(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let decent = (1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    decent.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_decent_names_are_taken() {
        let given =
            |value: &[u8]| given(&HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_bytes(value).unwrap())]));
        assert_eq!(given(b"abc-123").as_deref(), Some("abc-123"));
        assert_eq!(given(&[b'x'; 128]).map(|id| id.len()), Some(128));
        for wrong in [&b""[..], b"a b", b"a\tb", b"\xff", &[b'x'; 129]] {
            assert_eq!(given(wrong), None, "{wrong:?}");
        }
    }
}
