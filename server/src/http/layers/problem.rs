//! Errors get their body here, whoever made them.

use std::any::Any;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::RequestId;
use crate::http::dialect::Dialect;
use crate::http::error::{ApiError, for_status};

/// Writes every error in the dialect of its surface: those of our routes, and those of the router and of the layers, which have a
/// status only.
pub async fn problem(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
    let dialect = Dialect::of(request.uri().path());
    let response = next.run(request).await;
    let error = match response.extensions().get::<ApiError>() {
        Some(error) => Some(error.clone()),
        None => for_status(response.status()),
    };
    let Some(error) = error else { return response };
    let spoken = dialect.say(&error, id);
    let (mut parts, _) = response.into_parts();
    parts.status = spoken.status;
    for (name, value) in spoken.headers {
        // What the router's own answer says of its body is not true of this one.
        parts.headers.insert(name, value);
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(spoken.body))
}

/// The answer of a route that panicked. The panic's message went to the log, through the panic hook.
pub fn panicked(_: Box<dyn Any + Send>) -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    for_status(status).map_or_else(|| status.into_response(), IntoResponse::into_response)
}
