//! Reading a request's body, bounded in length and in time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderValue};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};
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
    /// Bytes per second that must come at least, in each [`WINDOW`] after the first [`GRACE`]; 0 for no such bound.
    pub rate: u64,
}

/// How long a body may take to begin.
const GRACE: Duration = Duration::from_secs(5);
/// Over what time a body's rate is measured: a link may stand still for a moment.
const WINDOW: Duration = Duration::from_secs(5);

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
    timeout(limits.time, read_in_windows(body, limits)).await.unwrap_or_else(|_| {
        let detail = format!("the body took longer than {} s", limits.time.as_secs_f64());
        Err(closing(ApiError::new(ErrorCode::RequestTimeout, detail)))
    })
}

/// Reads a body as long as enough of it comes in each window.
async fn read_in_windows(body: Body, limits: BodyLimits) -> Result<Bytes, ApiError> {
    let least = limits.rate.saturating_mul(WINDOW.as_secs());
    let mut body = Limited::new(body, limits.bytes);
    let mut read = BytesMut::new();
    let mut came: u64 = 0;
    let mut end = Instant::now() + GRACE + WINDOW;
    loop {
        // What has come counts before what has not: the end of a window may find this task late.
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = sleep_until(end) => {
                if came < least {
                    let detail = format!("the body came slower than {} bytes/s", limits.rate);
                    return Err(closing(ApiError::new(ErrorCode::RequestTimeout, detail)));
                }
                came = 0;
                end = Instant::now() + WINDOW;
                continue;
            }
        };
        match frame {
            None => return Ok(read.freeze()),
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    came += bytes.len() as u64;
                    read.extend_from_slice(bytes);
                }
            }
            Some(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large(limits)),
            Some(Err(_)) => return Err(closing(ApiError::new(ErrorCode::BadRequest, "the body broke off"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use tokio::time::sleep;

    use super::*;

    const LIMITS: BodyLimits =
        BodyLimits { bytes: 20 << 20, total_bytes: 20 << 20, time: Duration::from_secs(3600), rate: 1024 };

    /// A body whose pieces come after so many seconds each: seconds and bytes.
    fn body(pieces: impl IntoIterator<Item = (u64, usize), IntoIter: Send + 'static>) -> Body {
        Body::from_stream(stream::unfold(pieces.into_iter(), |mut pieces| async {
            let (seconds, length) = pieces.next()?;
            sleep(Duration::from_secs(seconds)).await;
            Some((Ok::<_, Infallible>(Bytes::from(vec![b'x'; length])), pieces))
        }))
    }

    /// How many bytes came, or what went wrong, and after how many seconds.
    async fn outcome(body: Body, limits: BodyLimits) -> (Result<usize, ErrorCode>, u64) {
        let begun = Instant::now();
        let read = read(body, limits).await.map(|bytes| bytes.len()).map_err(|error| error.code);
        (read, begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_read_and_a_trickling_one_is_not() {
        let too_slow = Err(ErrorCode::RequestTimeout);
        for (name, body, expected) in [
            ("nothing", body([]), (Ok(0), 0)),
            ("at once", body([(0, 100)]), (Ok(100), 0)),
            ("a little, late", body([(9, 100)]), (Ok(100), 9)),
            ("20 MiB at half a megabit", body(vec![(1, 64 << 10); 320]), (Ok(20 << 20), 320)),
            ("just fast enough", body(vec![(1, 1024); 60]), (Ok(60 << 10), 60)),
            ("with a pause", body([(1, 8192), (7, 8192), (4, 8192)]), (Ok(3 * 8192), 12)),
            ("never", body([(4000, 1)]), (too_slow, 10)),
            ("a byte a second", body(vec![(1, 1); 4000]), (too_slow, 10)),
            ("a little too slow", body(vec![(1, 1023); 4000]), (too_slow, 15)),
            ("fast, then a byte a second", body([(0, 1 << 20)].into_iter().chain(vec![(1, 1); 4000])), (too_slow, 15)),
        ] {
            assert_eq!(outcome(body, LIMITS).await, expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_other_bounds() {
        let unbound = BodyLimits { rate: 0, ..LIMITS };
        assert_eq!(outcome(body(vec![(1, 1); 300]), unbound).await, (Ok(300), 300), "0 is no bound");
        let short = BodyLimits { time: Duration::from_secs(30), ..LIMITS };
        assert_eq!(outcome(body(vec![(1, 4096); 60]), short).await, (Err(ErrorCode::RequestTimeout), 30));
        let small = BodyLimits { bytes: 5000, ..LIMITS };
        assert_eq!(outcome(body(vec![(1, 4096); 60]), small).await, (Err(ErrorCode::PayloadTooLarge), 2));
        let broken = Body::from_stream(stream::iter([Ok(Bytes::from("{")), Err("gone")]));
        assert_eq!(outcome(broken, LIMITS).await, (Err(ErrorCode::BadRequest), 0));
    }
}
