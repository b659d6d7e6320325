//! `GET /v1/generations/{id}/images/{index}`.

use axum::extract::{Path, State};
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use x0_openapi::{ErrorCode, FileBytes, Problem};

use super::generation_id;
use crate::app::AppState;
use crate::auth::Caller;
use crate::http::error::ApiError;
use crate::store::StoredImage;

/// A finished image's file
#[utoipa::path(
    get,
    path = "/v1/generations/{id}/images/{index}",
    operation_id = "getGenerationImage",
    tag = "generations",
    params(
        ("id" = String, Path, description = "The generation's id"),
        ("index" = u32, Path, description = "0 for the first image"),
    ),
    responses(
        (status = 200, description = "The file", content((FileBytes = "image/png"), (FileBytes = "image/jpeg"), (FileBytes = "image/webp"))),
        (status = 404, description = "No such image, or not yet", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn generation_image(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, index)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let id = generation_id(&id)?;
    let own = app.generations.of(&caller);
    let image = match index.parse() {
        Ok(index) => own.image(id, index).await?,
        Err(_) => None,
    };
    let Some(StoredImage { format, file }) = image else {
        let record = own.get(id).await?.ok_or_else(ApiError::job_not_found)?;
        let detail = if record.state.is_terminal() { "the generation has no such image" } else { "not finished yet" };
        return Err(ApiError::new(ErrorCode::ImageNotFound, detail));
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        // A finished image never changes.
        (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable")),
    ];
    Ok((headers, file).into_response())
}
