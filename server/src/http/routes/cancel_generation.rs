//! `DELETE /v1/generations/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use x0_openapi::{GenerationRecord, Problem};

use super::{generation_id, with_files};
use crate::app::AppState;
use crate::auth::Caller;
use crate::http::error::ApiError;
use crate::http::making;

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
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<GenerationRecord>), ApiError> {
    let own = app.generations.of(&caller);
    let record = making::cancel(own, generation_id(&id)?).await?;
    let status = if record.state.is_terminal() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(with_files(own, record).await?)))
}
