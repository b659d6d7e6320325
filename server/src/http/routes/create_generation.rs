//! `POST /v1/generations`.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use x0_openapi::{
    ErrorCode, FileBytes, GenerationRecord, GenerationRequest, ImageFormat, OnDisconnect, Problem, ServerSentEvent,
};

use super::with_files;
use crate::app::AppState;
use crate::auth::Caller;
use crate::generation::Own;
use crate::http::error::ApiError;
use crate::http::idempotency::GivenKey;
use crate::http::making::{self, Asked, Made, Making};
use crate::http::negotiate::{Wanted, preferred_wait, wanted};
use crate::http::sse;
use crate::store::StoredImage;
use crate::validate::Answer;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const X_SEED: HeaderName = HeaderName::from_static("x-seed");

/// Make pictures
///
/// What the answer is, the headers say:
///
/// - By default it is 202 and the record, at once. `Location` says where the record is from now on.
/// - `Prefer: wait=10` waits up to ten seconds for the end, and answers with 200 and the finished record if it came.
/// - `Accept: text/event-stream` answers with the event stream.
/// - `Accept: image/png` (or `image/jpeg`, `image/webp`) waits, and answers with the picture itself; `x-generation-id` and
///   `x-seed` say which it is.
///
/// The body is JSON; `Content-Type` may be left out, or be what curl sends with `-d`.
#[utoipa::path(
    post,
    path = "/v1/generations",
    operation_id = "createGeneration",
    tag = "generations",
    params(
        ("Accept" = Option<String>, Header, description = "What the answer shall be", example = "image/png"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: how many seconds to wait for the finished record", example = "wait=10"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key makes no new generation"),
    ),
    request_body = GenerationRequest,
    responses(
        (status = 200, description = "The finished record, the event stream, or the picture", content(
            (GenerationRecord = "application/json"),
            (ServerSentEvent = "text/event-stream"),
            (FileBytes = "image/png"),
            (FileBytes = "image/jpeg"),
            (FileBytes = "image/webp"),
        )),
        (status = 202, description = "Accepted", body = GenerationRecord, headers(("location" = String, description = "The record's address"))),
        (status = "4XX", description = "The request is wrong", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "The picture cannot be made", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_generation(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let wanted = wanted(&headers)?;
    let wait = preferred_wait(&headers).map(|wait| wait.min(app.max_wait));
    let key = GivenKey::read(&headers)?;
    making::open(&app)?;
    let (json, body_memory) = app.bodies.json(&headers, body).await?;
    let key = key.map(|key| key.of(&json));
    let (request, errors) = GenerationRequest::read(json).map_err(|error| making::invalid(&app, vec![error]))?;
    let answer = presumed(&request, &wanted, wait, key.is_some())?;
    let making = Making::begin(&app, &caller, Asked { request, errors }, answer, key).await?;
    drop(body_memory);

    let own = app.generations.of(&caller);
    let headers = making.headers();
    let response = match (wanted, wait) {
        (Wanted::Record, None) => {
            let record = making.leave();
            (StatusCode::ACCEPTED, Json(with_files(own, record).await?)).into_response()
        }
        (Wanted::Record, Some(wait)) => finished_record(own, making, wait).await?,
        (Wanted::Events, _) => making.told(sse::Native).await?,
        (Wanted::Image(formats), wait) => picture(making.made(wait.unwrap_or(app.max_wait)).await?, &formats)?,
    };
    Ok((headers, response).into_response())
}

/// What the wanted kind of answer means for a request that does not say otherwise.
fn presumed(
    request: &GenerationRequest,
    wanted: &Wanted,
    wait: Option<Duration>,
    comes_again: bool,
) -> Result<Answer, ApiError> {
    let asked = request.output.and_then(|output| output.format);
    let format = match (wanted, asked) {
        (Wanted::Record | Wanted::Events, asked) => asked.unwrap_or(ImageFormat::Png),
        (Wanted::Image(formats), None) => formats.first().copied().unwrap_or(ImageFormat::Png),
        (Wanted::Image(formats), Some(asked)) if formats.contains(&asked) => asked,
        (Wanted::Image(_), Some(asked)) => {
            let detail = format!("output.format is {}, which Accept does not allow", asked.media_type());
            return Err(ApiError::new(ErrorCode::NotAcceptable, detail));
        }
    };
    let (one_image, waits) = match wanted {
        Wanted::Record => (false, wait.is_some()),
        Wanted::Events => (false, true),
        Wanted::Image(_) => (true, true),
    };
    let on_disconnect = if waits && !comes_again { OnDisconnect::Cancel } else { OnDisconnect::Keep };
    Ok(Answer { one_image, format, on_disconnect })
}

/// The record when it is finished, or as it is when the wait is over.
async fn finished_record(own: Own<'_>, making: Making, wait: Duration) -> Result<Response, ApiError> {
    let applied =
        HeaderValue::try_from(format!("wait={}", wait.as_secs())).map_err(|error| ApiError::internal(&error))?;
    let id = making.record().id;
    let (status, record) = match making.ended(wait).await? {
        Some(record) => (StatusCode::OK, record),
        None => (StatusCode::ACCEPTED, own.get(id).await?.ok_or_else(ApiError::job_not_found)?),
    };
    Ok((status, [(PREFERENCE_APPLIED, applied)], Json(with_files(own, record).await?)).into_response())
}

/// The only picture. Where an equal request made it before, for another answer, it may have a format that this one does not allow.
fn picture(made: Made, formats: &[ImageFormat]) -> Result<Response, ApiError> {
    let StoredImage { format, file } = made.images.into_iter().next().ok_or_else(ApiError::job_not_found)?;
    if !formats.contains(&format) {
        let detail =
            format!("the picture that was made before is {}, which Accept does not allow", format.media_type());
        return Err(ApiError::new(ErrorCode::NotAcceptable, detail));
    }
    let seed = HeaderValue::from(made.record.request.seed.0);
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type())), (X_SEED, seed)], file).into_response())
}
