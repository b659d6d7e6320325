//! `POST /v1/pictures/settings`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use x0_openapi::{FieldError, PictureSettings, PictureSettingsRequest, Problem};

use crate::app::AppState;
use crate::http::error::ApiError;
use crate::infotext::recovered;
use crate::picture::{DecodeError, decode_base64, texts};

/// How a picture was made
///
/// Reads what this server writes into its files, and what AUTOMATIC1111 does. Of files that say nothing of the kind, of whatever format,
/// there are no fields, and `source` is null.
#[utoipa::path(
    post,
    path = "/v1/pictures/settings",
    operation_id = "readPictureSettings",
    tag = "generations",
    request_body = PictureSettingsRequest,
    responses(
        (status = 200, description = "Fields of a request", body = PictureSettings),
        (status = "4XX", description = "The request is wrong, or its PNG, JPEG or WebP file is broken", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_picture_settings(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PictureSettings>, ApiError> {
    let (json, _memory) = app.bodies.json(&headers, body).await?;
    let (request, errors) = PictureSettingsRequest::read(json).map_err(|error| ApiError::fields(vec![error]))?;
    if !errors.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let image = request.image.unwrap_or_default();
    let texts = texts_of(&app, image).await?;
    Ok(Json(recovered(&texts, app.validator.catalog())))
}

/// The texts of a file in base64, read on the blocking pool.
pub(in crate::http) async fn texts_of(app: &AppState, image: String) -> Result<Vec<(String, String)>, ApiError> {
    let _permit = app.checking.acquire().await.map_err(|error| ApiError::internal(&error))?;
    let read = tokio::task::spawn_blocking(move || decode_base64(&image).and_then(|file| texts(&file))).await;
    read.map_err(|error| ApiError::internal(&error))?.map_err(|DecodeError { code, message }| {
        ApiError::fields(vec![FieldError { field: "image".to_owned(), code, message }])
    })
}
