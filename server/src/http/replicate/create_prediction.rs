//! `POST /v1/predictions` and `POST /v1/models/{owner}/{name}/predictions`.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap};
use axum::response::{IntoResponse, Response};
use x0_openapi::{ImageFormat, OnDisconnect, Problem, ReplicatePrediction, ReplicateRequest, ReplicateStatus};

use super::prediction::prediction;
use super::translate::{Version, translate};
use crate::app::AppState;
use crate::auth::Caller;
use crate::http::address::Address;
use crate::http::error::ApiError;
use crate::http::idempotency::GivenKey;
use crate::http::making::{self, Making};
use crate::http::negotiate::{PREFER, preferred_wait};
use crate::validate::Answer;

/// How long `Prefer: wait` waits that names no time.
const WAIT: Duration = Duration::from_secs(60);

/// Make pictures (Replicate)
///
/// The answer comes at once, or with `Prefer: wait` (or `wait=N`, in seconds) when the pictures are finished. A prediction that has not ended by
/// then is `starting`, as Replicate's clients expect it: they ask for it again.
#[utoipa::path(
    post,
    path = "/v1/predictions",
    operation_id = "createPrediction",
    tag = "Replicate",
    params(
        ("Prefer" = Option<String>, Header, description = "`wait`, or `wait=N` for N seconds", example = "wait"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key makes no new generation"),
    ),
    request_body = ReplicateRequest,
    responses(
        (status = 201, description = "Accepted, or finished", body = ReplicatePrediction),
        (status = "4XX", description = "The request is wrong", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "The picture cannot be made", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_prediction(
    State(app): State<AppState>,
    caller: Caller,
    address: Address,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    create(&app, &caller, &address, Version::InBody, &headers, body).await
}

/// Make pictures with a model (Replicate)
///
/// As `POST /v1/predictions`, without a version.
#[utoipa::path(
    post,
    path = "/v1/models/{owner}/{name}/predictions",
    operation_id = "createModelPrediction",
    tag = "Replicate",
    params(
        ("owner" = String, Path, description = "Always `x0`", example = "x0"),
        ("name" = String, Path, description = "The model's id", example = "fashion"),
        ("Prefer" = Option<String>, Header, description = "`wait`, or `wait=N` for N seconds", example = "wait"),
    ),
    request_body = ReplicateRequest,
    responses(
        (status = 201, description = "Accepted, or finished", body = ReplicatePrediction),
        (status = "4XX", description = "The request is wrong", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "The picture cannot be made", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_model_prediction(
    State(app): State<AppState>,
    caller: Caller,
    Path((owner, name)): Path<(String, String)>,
    address: Address,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    create(&app, &caller, &address, Version::InPath { owner, name }, &headers, body).await
}

async fn create(
    app: &AppState,
    caller: &Caller,
    address: &Address,
    version: Version,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let key = GivenKey::read(headers)?;
    making::open(app)?;
    let (json, body_memory) = app.bodies.json(headers, body).await?;
    let key = key.map(|key| key.of(&json));
    let (request, errors) = ReplicateRequest::read(json).map_err(|error| making::invalid(app, vec![error]))?;
    let (asked, words) = translate(&app.validator, version, request, errors);
    // Who asks this way can ask again.
    let answer = Answer { one_image: false, format: ImageFormat::Png, on_disconnect: OnDisconnect::Keep };
    let making = Making::begin(app, caller, asked, answer, key).await;
    let making = making.map_err(|error| error.in_words_of(|field| words.name_of(field)))?;
    drop(body_memory);
    let mut accepted = making.headers();
    let record = match wait(headers) {
        None => making.leave(),
        Some(wait) => {
            let record = making.record().clone();
            making.ended(wait.min(app.max_wait)).await?.unwrap_or(record)
        }
    };
    let mut answer = prediction(record, address);
    if answer.status == ReplicateStatus::Processing {
        answer.status = ReplicateStatus::Starting;
    }
    if let Ok(location) = answer.urls.get.parse() {
        accepted.insert(header::LOCATION, location);
    }
    Ok((StatusCode::CREATED, accepted, Json(answer)).into_response())
}

/// How long the client would like to wait.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split([',', ';']));
    let forever = preferences.any(|preference| preference.trim().eq_ignore_ascii_case("wait"));
    preferred_wait(headers).or(forever.then_some(WAIT))
}
