//! `POST /v1/admin/models/{id}/load` and `/unload`.

use axum::Json;
use axum::extract::{Path, State};
use x0_openapi::{ErrorCode, Model, Problem};

use super::models;
use crate::app::AppState;
use crate::http::error::ApiError;

/// Load a model
///
/// Reads its weights, so that the first request that needs them does not wait. Answers when they are there.
#[utoipa::path(
    post,
    path = "/v1/admin/models/{id}/load",
    operation_id = "loadModel",
    tag = "admin",
    params(("id" = String, Path, description = "The model's id", example = "fashion")),
    responses(
        (status = 200, description = "It is loaded", body = Model),
        (status = 404, description = "No such model", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its weights cannot be read", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn load_model(State(app): State<AppState>, Path(id): Path<String>) -> Result<Json<Model>, ApiError> {
    let model = models::find(&app, &id)?.id;
    let catalog = app.validator.catalog_handle();
    let loading = tokio::task::spawn_blocking(move || catalog.load(&model));
    if let Err(error) = loading.await.map_err(|error| ApiError::internal(&error))? {
        tracing::error!(model = id, error, "a model could not be loaded");
        return Err(ApiError::new(
            ErrorCode::ModelNotLoadable,
            "its weights cannot be read; the server's log says why",
        ));
    }
    Ok(Json(models::find(&app, &id)?))
}

/// Unload a model
///
/// Its weights leave the memory as soon as no picture is being made with them. The next request for it reads them again.
#[utoipa::path(
    post,
    path = "/v1/admin/models/{id}/unload",
    operation_id = "unloadModel",
    tag = "admin",
    params(("id" = String, Path, description = "The model's id", example = "fashion")),
    responses(
        (status = 200, description = "It is not loaded", body = Model),
        (status = 404, description = "No such model", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn unload_model(State(app): State<AppState>, Path(id): Path<String>) -> Result<Json<Model>, ApiError> {
    let model = models::find(&app, &id)?.id;
    let catalog = app.validator.catalog_handle();
    let unloading = tokio::task::spawn_blocking(move || catalog.unload(&model));
    unloading.await.map_err(|error| ApiError::internal(&error))?;
    Ok(Json(models::find(&app, &id)?))
}
