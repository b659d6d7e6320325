//! `GET /v1/generations/{id}/events`.

use axum::extract::{Path, State};
use axum::http::header::{HeaderMap, HeaderName};
use axum::response::Response;
use x0_openapi::{Problem, ServerSentEvent};

use super::generation_id;
use crate::app::AppState;
use crate::auth::Caller;
use crate::generation::CancelOnDrop;
use crate::http::error::ApiError;
use crate::http::sse;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What happens to a generation, as it happens
///
/// The stream begins with a `snapshot` of the record. Then come the facts, old and new, with their ids; after a lost connection,
/// `Last-Event-ID` leaves out those that were received. The stream ends with the generation. When it had ended with
/// `Last-Event-ID` already, the answer is 204, so that browsers do not ask again.
#[utoipa::path(
    get,
    path = "/v1/generations/{id}/events",
    operation_id = "getGenerationEvents",
    tag = "generations",
    params(
        ("id" = String, Path, description = "The generation's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received", example = "1.2"),
    ),
    responses(
        (status = 200, description = "The events", body = ServerSentEvent, content_type = "text/event-stream"),
        (status = 204, description = "Nothing more will come"),
        (status = 404, description = "No such generation", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many streams are open", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn generation_events(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = generation_id(&id)?;
    let after = headers.get(LAST_EVENT_ID).map(|value| value.to_str().ok().and_then(|value| value.parse().ok()));
    if let Some(after) = after {
        app.metrics.stream_resumed(after.is_some());
    }
    let cancel = CancelOnDrop::new(&app.generations, id, false);
    sse::stream((&app, &caller), id, after.flatten(), cancel, sse::Native).await
}
