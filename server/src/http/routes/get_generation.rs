//! `GET /v1/generations/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use x0_openapi::{GenerationRecord, Problem};

use super::{generation_id, with_files};
use crate::app::AppState;
use crate::auth::Caller;
use crate::http::error::ApiError;

/// Where a generation stands, and what came of it
#[utoipa::path(
    get,
    path = "/v1/generations/{id}",
    operation_id = "getGeneration",
    tag = "generations",
    params(("id" = String, Path, description = "The generation's id")),
    responses(
        (status = 200, description = "The record", body = GenerationRecord),
        (status = 404, description = "No such generation", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn get_generation(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<GenerationRecord>, ApiError> {
    let own = app.generations.of(&caller);
    let record = own.get(generation_id(&id)?).await?.ok_or_else(ApiError::job_not_found)?;
    Ok(Json(with_files(own, record).await?))
}
