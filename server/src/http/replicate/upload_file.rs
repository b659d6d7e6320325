//! `POST /v1/files`.

use std::convert::Infallible;

use x0_openapi::{ErrorCode, Problem};

use crate::http::error::ApiError;

/// Upload a file (Replicate)
///
/// No files are stored: they go into the request itself, as data URLs. Replicate's JavaScript client does that by itself when it is
/// answered 501; Python's needs `file_encoding_strategy="base64"`.
#[utoipa::path(
    post,
    path = "/v1/files",
    operation_id = "uploadFile",
    tag = "Replicate",
    responses((status = 501, description = "Always", body = Problem, content_type = "application/problem+json")),
)]
pub async fn upload_file() -> Result<Infallible, ApiError> {
    let detail =
        "files are not stored; put them into the input as data URLs (Python: file_encoding_strategy=\"base64\")";
    Err(ApiError::new(ErrorCode::NotImplemented, detail))
}
