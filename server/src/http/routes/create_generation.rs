//! `POST /v1/generations`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use x0_openapi::{
    ErrorCode, Event, FieldError, GenerationRecord, GenerationRequest, ImageFormat, OnDisconnect, Problem,
    State as JobState,
};

use super::{generation_events, with_files};
use crate::app::AppState;
use crate::generation::{Accepted, CancelOnDrop, Refused};
use crate::http::error::ApiError;
use crate::http::negotiate::{Wanted, preferred_wait, wanted};
use crate::shutdown::Stage;
use crate::store::{IdempotencyKey, StoredImage};
use crate::validate::{Answer, Order};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const X_GENERATION_ID: HeaderName = HeaderName::from_static("x-generation-id");
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
            (Event = "text/event-stream"),
            (Vec<u8> = "image/png"),
            (Vec<u8> = "image/jpeg"),
            (Vec<u8> = "image/webp"),
        )),
        (status = 202, description = "Accepted", body = GenerationRecord, headers(("location" = String, description = "The record's address"))),
        (status = "4XX", description = "The request is wrong", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "The picture cannot be made", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_generation(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let wanted = wanted(&headers)?;
    let wait = preferred_wait(&headers).map(|wait| wait.min(app.max_wait));
    let key = idempotency_key(&headers)?;
    if app.lifecycle.stage() >= Stage::Draining {
        return Err(refused(&app, Refused::ShuttingDown));
    }
    let (json, body_memory) = app.bodies.json(&headers, body).await?;
    let key = key.map(|key| IdempotencyKey { key, fingerprint: fingerprint(&json) });
    let read = GenerationRequest::read(json).map_err(|error| invalid(&app, vec![error]))?;
    let answer = presumed(&read.0, &wanted, wait)?;
    let order = order(&app, read, answer).await?;
    drop(body_memory);

    let cancels = order.resolved().on_disconnect == OnDisconnect::Cancel;
    let Accepted { record, replayed } =
        app.generations.accept(order, key).await.map_err(|reason| refused(&app, reason))?;
    let waits = wanted != Wanted::Record || wait.is_some();
    let cancel = CancelOnDrop::new(&app.generations, record.id, cancels && waits && !replayed);
    let headers = common_headers(&record, replayed);
    let response = match (wanted, wait) {
        (Wanted::Record, None) => {
            (StatusCode::ACCEPTED, Json(with_files(app.generations.store(), record).await?)).into_response()
        }
        (Wanted::Record, Some(wait)) => finished_record(&app, record, wait, cancel).await?,
        (Wanted::Events, _) => generation_events::stream(&app, record.id, None, cancel).await?,
        (Wanted::Image(_), wait) => picture(&app, record, wait.unwrap_or(app.max_wait), cancel).await?,
    };
    Ok((headers, response).into_response())
}

/// What the wanted kind of answer means for a request that does not say otherwise.
fn presumed(request: &GenerationRequest, wanted: &Wanted, wait: Option<Duration>) -> Result<Answer, ApiError> {
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
    let on_disconnect = if waits { OnDisconnect::Cancel } else { OnDisconnect::Keep };
    Ok(Answer { one_image, format, on_disconnect })
}

/// Checks a request on the blocking pool.
async fn order(
    app: &AppState,
    (request, errors): (GenerationRequest, Vec<FieldError>),
    answer: Answer,
) -> Result<Order, ApiError> {
    let _permit = app.checking.acquire().await.map_err(|error| ApiError::internal(&error))?;
    let validator = app.validator.clone();
    let checked = tokio::task::spawn_blocking(move || validator.order_after(errors, &request, &answer)).await;
    checked.map_err(|error| ApiError::internal(&error))?.map_err(|errors| invalid(app, errors))
}

fn invalid(app: &AppState, errors: Vec<FieldError>) -> ApiError {
    let error = ApiError::fields(errors);
    app.metrics.job_rejected(error.code);
    error
}

fn refused(app: &AppState, reason: Refused) -> ApiError {
    let detail = reason.to_string();
    let error = match reason {
        Refused::QueueFull { retry_after } => ApiError::new(ErrorCode::QueueFull, detail).retry_after(retry_after),
        Refused::ShuttingDown => ApiError::new(ErrorCode::ShuttingDown, detail)
            .retry_after(Duration::from_secs(1))
            .with_header(header::CONNECTION, HeaderValue::from_static("close")),
        Refused::EngineGone => ApiError::new(ErrorCode::EngineUnavailable, detail).retry_after(Duration::from_secs(5)),
        Refused::KeyMismatch => ApiError::new(ErrorCode::IdempotencyMismatch, detail),
        Refused::Store(error) => error.into(),
    };
    app.metrics.job_rejected(error.code);
    error
}

/// The record when it is finished, or as it is when the wait is over.
async fn finished_record(
    app: &AppState,
    record: GenerationRecord,
    wait: Duration,
    mut cancel: CancelOnDrop,
) -> Result<Response, ApiError> {
    let ended = tokio::select! {
        ended = app.generations.ended(record.id) => ended?,
        () = tokio::time::sleep(wait) => None,
        () = app.lifecycle.reached(Stage::Closing) => None,
    };
    cancel.disarm();
    let applied =
        HeaderValue::try_from(format!("wait={}", wait.as_secs())).map_err(|error| ApiError::internal(&error))?;
    let store = app.generations.store();
    let (status, record) = match ended {
        Some(record) => (StatusCode::OK, record),
        None => (StatusCode::ACCEPTED, store.get(record.id).await?.ok_or_else(ApiError::job_not_found)?),
    };
    Ok((status, [(PREFERENCE_APPLIED, applied)], Json(with_files(store, record).await?)).into_response())
}

/// The picture when it is finished.
async fn picture(
    app: &AppState,
    record: GenerationRecord,
    wait: Duration,
    mut cancel: CancelOnDrop,
) -> Result<Response, ApiError> {
    let ended = tokio::select! {
        ended = app.generations.ended(record.id) => ended?,
        () = tokio::time::sleep(wait) => None,
        () = app.lifecycle.reached(Stage::Closing) => None,
    };
    cancel.disarm();
    let Some(ended) = ended else {
        let location = location(&record)?;
        let detail = "the picture is not finished yet; ask for its record later";
        return Err(ApiError::new(ErrorCode::WaitTimeout, detail).with_header(header::LOCATION, location));
    };
    match (ended.state, ended.error) {
        (JobState::Cancelled, _) => Err(ApiError::new(ErrorCode::Cancelled, "the generation was cancelled")),
        (_, Some(error)) => Err(error.into()),
        (_, None) => {
            let image = app.generations.store().image(record.id, 0).await?;
            let StoredImage { format, file } = image.ok_or_else(ApiError::job_not_found)?;
            let seed = HeaderValue::from(record.request.seed.0);
            Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type())), (X_SEED, seed)], file)
                .into_response())
        }
    }
}

fn common_headers(record: &GenerationRecord, replayed: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::try_from(record.id.to_string()) {
        headers.insert(X_GENERATION_ID, id);
    }
    if let Ok(location) = location(record) {
        headers.insert(header::LOCATION, location);
    }
    if replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    headers
}

fn location(record: &GenerationRecord) -> Result<HeaderValue, ApiError> {
    HeaderValue::try_from(format!("/v1/generations/{}", record.id)).map_err(|error| ApiError::internal(&error))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    if (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Ok(Some(key.to_owned()));
    }
    let detail = "Idempotency-Key must be 1 to 255 visible ASCII characters";
    Err(ApiError::new(ErrorCode::InvalidIdempotencyKey, detail))
}

/// The same for equal JSON values, and hardly ever for others.
fn fingerprint(json: &x0_openapi::Json) -> u64 {
    let mut hasher = DefaultHasher::new();
    json.0.to_string().hash(&mut hasher);
    hasher.finish()
}
