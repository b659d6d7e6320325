//! Reading a request's body, bounded in length and in time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderValue};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use x0_openapi::{ErrorCode, Json, parse};

use super::error::ApiError;
use super::form::{self, Part};

/// What bodies may be at most.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    pub bytes: usize,
    /// Of all bodies together that are being read or checked, small ones aside.
    pub total_bytes: usize,
    /// From the head to the last byte.
    pub time: Duration,
}

/// Bodies up to this length are bounded well enough by the number of connections.
const SMALL: usize = 64 << 10;
/// What the memory for bodies is counted in.
const PAGE: usize = 4 << 10;

/// Reads bodies within their limits. Clones share the memory that there is for bodies.
#[derive(Clone, Debug)]
pub struct BodyReader {
    limits: BodyLimits,
    /// A permit is a page.
    memory: Arc<Semaphore>,
}

/// A body's share of the memory for bodies, given back when it is dropped.
#[derive(Debug)]
pub struct BodyMemory {
    _permit: Option<OwnedSemaphorePermit>,
}

impl BodyReader {
    pub fn new(limits: BodyLimits) -> Self {
        let pages = limits.total_bytes.max(limits.bytes).div_ceil(PAGE).min(Semaphore::MAX_PERMITS);
        Self { limits, memory: Arc::new(Semaphore::new(pages)) }
    }

    /// Reads a JSON body, as [`json`] does.
    pub async fn json(&self, headers: &HeaderMap, body: Body) -> Result<(Json, BodyMemory), ApiError> {
        check_content_type(headers)?;
        let (bytes, memory) = self.bytes(headers, body).await?;
        Ok((json(headers, &bytes)?, memory))
    }

    /// Reads a form, `multipart/form-data`.
    pub async fn form(&self, headers: &HeaderMap, body: Body) -> Result<(Vec<Part>, BodyMemory), ApiError> {
        let boundary = form::boundary(headers)?;
        check_encoding(headers)?;
        let memory = self.reserve(headers)?;
        let bytes = read(body, self.limits).await?;
        Ok((form::parts(bytes, &boundary).await?, memory))
    }

    /// Reads a body of any kind.
    pub async fn bytes(&self, headers: &HeaderMap, body: Body) -> Result<(Bytes, BodyMemory), ApiError> {
        check_encoding(headers)?;
        let memory = self.reserve(headers)?;
        Ok((read(body, self.limits).await?, memory))
    }

    /// Takes the memory that a body will need, as far as its length is known before.
    fn reserve(&self, headers: &HeaderMap) -> Result<BodyMemory, ApiError> {
        let declared =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let length = declared.unwrap_or(self.limits.bytes);
        if length > self.limits.bytes {
            return Err(too_large(self.limits));
        }
        if length <= SMALL {
            return Ok(BodyMemory { _permit: None });
        }
        let pages = u32::try_from(length.div_ceil(PAGE)).unwrap_or(u32::MAX);
        match self.memory.clone().try_acquire_many_owned(pages) {
            Ok(permit) => Ok(BodyMemory { _permit: Some(permit) }),
            Err(_) => {
                let detail = "too many large requests are being read";
                Err(closing(ApiError::new(ErrorCode::Overloaded, detail)).retry_after(Duration::from_secs(1)))
            }
        }
    }
}

/// Reads JSON from a whole body.
///
/// The content type must be JSON, or absent, or `application/x-www-form-urlencoded`: that is what curl says of `-d '{..}'` when it
/// is not told otherwise.
pub fn json(headers: &HeaderMap, bytes: &[u8]) -> Result<Json, ApiError> {
    check_content_type(headers)?;
    parse(bytes).map_err(|error| ApiError::new(ErrorCode::InvalidJson, format!("the body is not JSON: {error}")))
}

/// What is left of the body is not read, so the connection cannot be used again.
fn closing(error: ApiError) -> ApiError {
    error.with_header(header::CONNECTION, HeaderValue::from_static("close"))
}

fn too_large(limits: BodyLimits) -> ApiError {
    closing(ApiError::new(ErrorCode::PayloadTooLarge, format!("the body is over {} bytes", limits.bytes)))
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

async fn read(body: Body, limits: BodyLimits) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(limits.time, Limited::new(body, limits.bytes).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limits)),
        Ok(Err(_)) => Err(closing(ApiError::new(ErrorCode::BadRequest, "the body broke off"))),
        Err(_) => {
            let detail = format!("the body took longer than {} s", limits.time.as_secs_f64());
            Err(closing(ApiError::new(ErrorCode::RequestTimeout, detail)))
        }
    }
}
