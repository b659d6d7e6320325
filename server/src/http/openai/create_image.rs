//! `POST /v1/images/generations`.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::HeaderMap;
use axum::response::Response;
use x0_openapi::{OpenAiImageRequest, OpenAiImages, OpenAiProblem, ServerSentEvent};

use super::answer;
use super::translate::{Subject, translate};
use crate::app::AppState;
use crate::auth::Caller;
use crate::http::address::Address;
use crate::http::error::ApiError;
use crate::http::idempotency::GivenKey;
use crate::http::making;

/// Make pictures (OpenAI)
///
/// As OpenAI's clients ask for them. Whether the answer is JSON or an event stream, `stream` says, not `Accept`.
///
/// Clients that go away cancel what they waited for, unless they gave an `Idempotency-Key`: then the picture is finished, and the same request
/// with the same key finds it. OpenAI's clients repeat a request by themselves when the connection broke or the server was
/// busy. Without a key such a repetition is a new generation; the one before it was cancelled, or was never begun.
#[utoipa::path(
    post,
    path = "/v1/images/generations",
    operation_id = "createImage",
    tag = "OpenAI",
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key makes no new generation")),
    request_body = OpenAiImageRequest,
    responses(
        (status = 200, description = "The pictures, or what happens until they are finished", content(
            (OpenAiImages = "application/json"),
            (ServerSentEvent = "text/event-stream"),
        )),
        (status = "4XX", description = "The request is wrong", body = OpenAiProblem),
        (status = "5XX", description = "The picture cannot be made", body = OpenAiProblem),
    ),
)]
pub async fn create_image(
    State(app): State<AppState>,
    caller: Caller,
    address: Address,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let key = GivenKey::read(&headers)?;
    making::open(&app)?;
    let (json, body_memory) = app.bodies.json(&headers, body).await?;
    let key = key.map(|key| key.of(&json));
    let (request, errors) = OpenAiImageRequest::read(json).map_err(|error| making::invalid(&app, vec![error]))?;
    let (asked, manner) = translate(&app.validator, Subject::Generation, request, errors);
    answer::answer(&app, answer::Client { caller, address }, asked, manner, key, body_memory).await
}
