//! No address needs to be long.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use x0_openapi::ErrorCode;

use crate::http::error::ApiError;

const MAX_LENGTH: usize = 8 << 10;

/// Refuses requests with a longer path and query.
pub async fn short_uri(request: Request, next: Next) -> Response {
    if request.uri().path_and_query().is_some_and(|path| path.as_str().len() > MAX_LENGTH) {
        let detail = format!("the address is over {MAX_LENGTH} bytes");
        return ApiError::new(ErrorCode::UriTooLong, detail).into_response();
    }
    next.run(request).await
}
