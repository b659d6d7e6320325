//! Reading a request's body: JSON, bounded in length and in time.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use x0_openapi::{ErrorCode, Json, parse};

use super::error::ApiError;

/// What a body may be at most.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    pub bytes: usize,
    /// From the head to the last byte.
    pub time: Duration,
}

/// Reads a JSON body.
///
/// The content type must be JSON, or absent, or `application/x-www-form-urlencoded`: that is what curl says of `-d '{..}'` when it is
/// not told otherwise.
pub async fn json(headers: &HeaderMap, body: Body, limits: BodyLimits) -> Result<Json, ApiError> {
    check_content_type(headers)?;
    check_encoding(headers)?;
    let bytes = read(headers, body, limits).await?;
    parse(&bytes).map_err(|error| ApiError::new(ErrorCode::InvalidJson, format!("the body is not JSON: {error}")))
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let media_type =
        value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json =
        media_type == "application/json" || media_type.starts_with("application/") && media_type.ends_with("+json");
    if json || media_type.is_empty() || media_type == "application/x-www-form-urlencoded" {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::UnsupportedMediaType, "the body must be JSON: send content-type: application/json"))
}

fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let plain =
        headers.get(header::CONTENT_ENCODING).is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if plain { Ok(()) } else { Err(ApiError::new(ErrorCode::UnsupportedEncoding, "the body must not be compressed")) }
}

async fn read(headers: &HeaderMap, body: Body, limits: BodyLimits) -> Result<bytes::Bytes, ApiError> {
    let BodyLimits { bytes: limit, time } = limits;
    // What is left of such a body is not read, so the connection cannot be used again.
    let close = |error: ApiError| error.with_header(header::CONNECTION, HeaderValue::from_static("close"));
    let too_large = || close(ApiError::new(ErrorCode::PayloadTooLarge, format!("the body is over {limit} bytes")));
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(time, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(close(ApiError::new(ErrorCode::BadRequest, "the body broke off"))),
        Err(_) => {
            let detail = format!("the body took longer than {} s", time.as_secs_f64());
            Err(close(ApiError::new(ErrorCode::RequestTimeout, detail)))
        }
    }
}
