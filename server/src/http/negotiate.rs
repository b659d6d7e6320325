//! What kind of answer a client wants.

use std::time::Duration;

use axum::http::header::{self, HeaderMap, HeaderName};
use x0_openapi::{ErrorCode, ImageFormat, Named as _};

use super::error::ApiError;

/// `Prefer` (RFC 7240).
pub const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The kinds of answer to `POST /v1/generations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The record, as JSON.
    Record,
    /// The events, as they happen.
    Events,
    /// The picture, in one of these formats; the first is preferred.
    Image(Vec<ImageFormat>),
}

/// What can be sent, best first where the client does not care.
const OFFERED: [&str; 5] = ["application/json", "text/event-stream", "image/png", "image/jpeg", "image/webp"];

/// Reads `Accept` (RFC 9110, section 12.5.1): the highest weight wins, of equal ones JSON before events before pictures. Without the header
/// it is the record.
pub fn wanted(headers: &HeaderMap) -> Result<Wanted, ApiError> {
    let ranges = accepted(headers);
    if ranges.is_empty() {
        return Ok(Wanted::Record);
    }
    let mut weighed: Vec<(&str, u16)> =
        OFFERED.iter().map(|offered| (*offered, weight(&ranges, offered))).filter(|(_, weight)| *weight > 0).collect();
    // The sort is stable, so ties keep the order of the offer.
    weighed.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    match weighed.first() {
        None => {
            let detail = format!("Accept allows none of {}", OFFERED.join(", "));
            Err(ApiError::new(ErrorCode::NotAcceptable, detail))
        }
        Some(("application/json", _)) => Ok(Wanted::Record),
        Some(("text/event-stream", _)) => Ok(Wanted::Events),
        Some(_) => Ok(Wanted::Image(weighed.iter().filter_map(|(media_type, _)| format(media_type)).collect())),
    }
}

fn format(media_type: &str) -> Option<ImageFormat> {
    ImageFormat::ALL.iter().copied().find(|format| format.media_type() == media_type)
}

/// One range of an `Accept` header, and its weight in thousandths.
type Range = (String, u16);

fn accepted(headers: &HeaderMap) -> Vec<Range> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter(|range| !range.trim().is_empty()).map(range).collect()
}

fn range(text: &str) -> Range {
    let mut parts = text.split(';').map(str::trim);
    let media_range = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality =
        parts.filter_map(|parameter| parameter.split_once('=')).find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let quality = quality.and_then(|(_, value)| value.trim().parse::<f32>().ok()).unwrap_or(1.0);
    (media_range, (quality.clamp(0.0, 1.0) * 1000.0).round() as u16)
}

/// The weight that the most specific of the ranges gives a media type; 0 if none fits.
fn weight(ranges: &[Range], media_type: &str) -> u16 {
    let group = media_type.split('/').next().unwrap_or_default();
    let fits = |wanted: &str| ranges.iter().filter(|(range, _)| range == wanted).map(|(_, weight)| *weight).max();
    fits(media_type).or_else(|| fits(&format!("{group}/*"))).or_else(|| fits("*/*")).unwrap_or(0)
}

/// How long the client would like to wait for the finished record: `Prefer: wait=10`, in seconds. What cannot be read is ignored, as
/// RFC 7240 wants it.
pub fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences =
        values.flat_map(|value| value.split([',', ';'])).filter_map(|preference| preference.split_once('='));
    let (_, seconds) = preferences.find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))?;
    let seconds: u64 = seconds.trim().trim_matches('"').parse().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    fn images(formats: &[ImageFormat]) -> Option<Wanted> {
        Some(Wanted::Image(formats.to_vec()))
    }

    #[test]
    fn accept_decides() {
        use ImageFormat::{Jpeg, Png, Webp};
        for (accept, expected) in [
            ("", Some(Wanted::Record)),
            ("*/*", Some(Wanted::Record)),
            ("application/json", Some(Wanted::Record)),
            ("application/*", Some(Wanted::Record)),
            ("text/event-stream", Some(Wanted::Events)),
            ("TEXT/Event-Stream", Some(Wanted::Events)),
            ("text/*;q=0.5, application/json;q=0.4", Some(Wanted::Events)),
            ("image/png", images(&[Png])),
            ("image/webp", images(&[Webp])),
            ("image/*", images(&[Png, Jpeg, Webp])),
            ("image/*;q=0.5, image/jpeg", images(&[Jpeg, Png, Webp])),
            ("image/*, image/jpeg;q=0", images(&[Png, Webp])),
            ("image/avif,image/webp,image/apng,*/*;q=0.8", images(&[Webp, Png, Jpeg])),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some(Wanted::Record)),
            ("image/png, application/json", Some(Wanted::Record)),
            ("image/png;q=0.9, */*;q=0", images(&[Png])),
            ("text/html", None),
            ("image/gif", None),
            ("application/json;q=0", None),
        ] {
            assert_eq!(wanted(&headers(header::ACCEPT, accept)).ok(), expected, "{accept}");
        }
        assert_eq!(wanted(&HeaderMap::new()).ok(), Some(Wanted::Record));
    }

    #[test]
    fn prefer_wait_is_in_seconds() {
        for (prefer, expected) in [
            ("wait=10", Some(10)),
            ("respond-async, wait=5", Some(5)),
            ("Wait = 7; foo", Some(7)),
            ("wait=\"3\"", Some(3)),
            ("wait=0", None),
            ("wait=-1", None),
            ("wait=soon", None),
            ("wait", None),
            ("respond-async", None),
        ] {
            assert_eq!(preferred_wait(&headers(PREFER, prefer)), expected.map(Duration::from_secs), "{prefer}");
        }
    }
}
