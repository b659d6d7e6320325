//! Errors get their body here, whoever made them.

use std::any::Any;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::RequestId;
use crate::http::error::{ApiError, for_status};

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Writes every error as a problem: those of our routes, and those of the router and of the layers, which have a status only.
pub async fn problem(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
    let response = next.run(request).await;
    let error = match response.extensions().get::<ApiError>() {
        Some(error) => Some(error.clone()),
        None => for_status(response.status()),
    };
    let Some(error) = error else { return response };
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, PROBLEM);
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = serde_json::to_vec(&error.problem(id)).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

/// The answer of a route that panicked. The panic's message went to the log, through the panic hook.
pub fn panicked(_: Box<dyn Any + Send>) -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    for_status(status).map_or_else(|| status.into_response(), IntoResponse::into_response)
}
