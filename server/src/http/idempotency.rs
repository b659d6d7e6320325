//! `Idempotency-Key`: which requests are one and the same.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::header::{HeaderMap, HeaderName};
use x0_openapi::{ErrorCode, Json};

use super::error::ApiError;
use crate::store::IdempotencyKey;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The key that a client gave, before it is known for which content.
#[derive(Clone, Debug)]
pub struct GivenKey(String);

impl GivenKey {
    /// Reads the header, if it is there.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
        let key = value.to_str().unwrap_or_default();
        if (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Ok(Some(Self(key.to_owned())));
        }
        let detail = "Idempotency-Key must be 1 to 255 visible ASCII characters";
        Err(ApiError::new(ErrorCode::InvalidIdempotencyKey, detail))
    }

    /// The key for a request of this content: the same for equal JSON values, and hardly ever for others.
    pub fn of(self, content: &Json) -> IdempotencyKey {
        let mut hasher = DefaultHasher::new();
        content.0.to_string().hash(&mut hasher);
        IdempotencyKey { key: self.0, fingerprint: hasher.finish() }
    }
}
