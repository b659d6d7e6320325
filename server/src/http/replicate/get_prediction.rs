//! `GET /v1/predictions/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use x0_openapi::{Problem, ReplicatePrediction};

use super::prediction::prediction;
use crate::app::AppState;
use crate::auth::Caller;
use crate::http::address::Address;
use crate::http::error::ApiError;
use crate::http::routes::generation_id;

/// Where a prediction stands (Replicate)
///
/// Generations that other surfaces began are predictions, too.
#[utoipa::path(
    get,
    path = "/v1/predictions/{id}",
    operation_id = "getPrediction",
    tag = "Replicate",
    params(("id" = String, Path, description = "The generation's id")),
    responses(
        (status = 200, description = "The prediction", body = ReplicatePrediction),
        (status = 404, description = "No such generation", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn get_prediction(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    address: Address,
) -> Result<Json<ReplicatePrediction>, ApiError> {
    let record = app.generations.of(&caller).get(generation_id(&id)?).await?.ok_or_else(ApiError::job_not_found)?;
    Ok(Json(prediction(record, &address)))
}
