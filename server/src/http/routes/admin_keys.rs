//! `GET /v1/admin/keys` and `DELETE /v1/admin/keys/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use x0_openapi::{ApiKeyList, ErrorCode, Problem};

use crate::app::AppState;
use crate::auth::{Auth, KeyId};
use crate::http::error::ApiError;

/// Every key
///
/// What would let anyone use one is not known to the server.
#[utoipa::path(
    get,
    path = "/v1/admin/keys",
    operation_id = "listKeys",
    tag = "admin",
    responses((status = 200, description = "The keys", body = ApiKeyList)),
)]
pub async fn list_keys(State(app): State<AppState>) -> Json<ApiKeyList> {
    let data = match &app.auth {
        Auth::Open { .. } => Vec::new(),
        Auth::Keys(keyring) => keyring.list(),
    };
    Json(ApiKeyList { object: "list".to_owned(), data })
}

/// Revoke a key
///
/// It opens nothing any more. What it asked for before is finished.
#[utoipa::path(
    delete,
    path = "/v1/admin/keys/{id}",
    operation_id = "revokeKey",
    tag = "admin",
    params(("id" = String, Path, description = "The key's id", example = "5d0c2f6a91e84b37")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "No such key", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The key file cannot be written", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn revoke_key(State(app): State<AppState>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let not_found = || ApiError::new(ErrorCode::KeyNotFound, "no such key; GET /v1/admin/keys lists all");
    let id: KeyId = id.parse().map_err(|_| not_found())?;
    let revoking = tokio::task::spawn_blocking(move || match &app.auth {
        Auth::Open { .. } => Ok(false),
        Auth::Keys(keyring) => keyring.revoke(id),
    });
    match revoking.await.map_err(|error| ApiError::internal(&error))? {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) => Err(not_found()),
        Err(error) => {
            tracing::error!(%error, key = %id, "a key could not be revoked");
            Err(ApiError::new(
                ErrorCode::KeysReadOnly,
                "the key file cannot be written; revoke the key where it is made",
            ))
        }
    }
}
