//! `POST /v1/predictions/{id}/cancel`.

use axum::Json;
use axum::extract::{Path, State};
use x0_openapi::{Problem, ReplicatePrediction};

use super::prediction::prediction;
use crate::app::AppState;
use crate::auth::Caller;
use crate::http::address::Address;
use crate::http::error::ApiError;
use crate::http::making;
use crate::http::routes::generation_id;

/// Cancel a prediction (Replicate)
///
/// As `DELETE /v1/generations/{id}`.
#[utoipa::path(
    post,
    path = "/v1/predictions/{id}/cancel",
    operation_id = "cancelPrediction",
    tag = "Replicate",
    params(("id" = String, Path, description = "The generation's id")),
    responses(
        (status = 200, description = "It is cancelled, or will be with its present step", body = ReplicatePrediction),
        (status = 404, description = "No such generation", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn cancel_prediction(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    address: Address,
) -> Result<Json<ReplicatePrediction>, ApiError> {
    let record = making::cancel(app.generations.of(&caller), generation_id(&id)?).await?;
    Ok(Json(prediction(record, &address)))
}
