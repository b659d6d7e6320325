//! `DELETE /v1/generations/{id}`.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use x0_openapi::{GenerationRecord, Problem};

use super::{generation_id, with_files};
use crate::app::AppState;
use crate::http::error::ApiError;

/// How long the answer waits for the cancellation to take effect, which it does at the next step.
const PATIENCE: Duration = Duration::from_secs(2);

/// Cancel a generation
///
/// Its place is free with the next step. The same again does no harm, and what has ended stays as it ended.
#[utoipa::path(
    delete,
    path = "/v1/generations/{id}",
    operation_id = "cancelGeneration",
    tag = "generations",
    params(("id" = String, Path, description = "The generation's id")),
    responses(
        (status = 200, description = "It has ended: cancelled, or as it had before", body = GenerationRecord),
        (status = 202, description = "It will be cancelled when its present step is done", body = GenerationRecord),
        (status = 404, description = "No such generation", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn cancel_generation(
    State(app): State<AppState>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<GenerationRecord>), ApiError> {
    let id = generation_id(&id)?;
    app.generations.cancel(id);
    let store = app.generations.store();
    let (status, record) = match tokio::time::timeout(PATIENCE, app.generations.ended(id)).await {
        Ok(ended) => (StatusCode::OK, ended?),
        Err(_) => (StatusCode::ACCEPTED, store.get(id).await?),
    };
    Ok((status, Json(with_files(store, record.ok_or_else(ApiError::job_not_found)?).await?)))
}
