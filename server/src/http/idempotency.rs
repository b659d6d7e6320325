//! `Idempotency-Key`: which requests are one and the same.

use axum::http::header::{HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};
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

    /// The key for a request of this content: the same for equal JSON values, and hardly ever for others. It is kept beyond this process, and so
    /// must not depend on how it was built.
    pub fn of(self, content: &Json) -> IdempotencyKey {
        let digest: [u8; 32] = Sha256::digest(content.0.to_string()).into();
        let fingerprint = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        IdempotencyKey { key: self.0, fingerprint }
    }
}
