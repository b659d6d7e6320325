//! Which previews are sent.

use x0_openapi::{ErrorCode, ImageFormat, Named as _, PreviewDecoder, PreviewRequest, ResolvedPreview};

use super::Limits;
use super::checks::Checks;

const EVERY: u32 = 5;
const MAX_SIZE: u32 = 512;
const LEAST_MAX_SIZE: u32 = 16;
/// Up to this side a PNG is small, and JPEG's blocks would show.
const SMALL_SIDE: u32 = 128;

/// Checks `preview`; `None` for no previews. The decoder may be `auto` still. `side` is the longer side of the pictures.
pub(super) fn preview(
    checks: &mut Checks,
    request: Option<PreviewRequest>,
    side: u32,
    possible: &[PreviewDecoder],
    limits: &Limits,
) -> Option<ResolvedPreview> {
    let request = request?;
    let decoder = request.decoder.unwrap_or(PreviewDecoder::Auto);
    if !matches!(decoder, PreviewDecoder::Auto | PreviewDecoder::None) && !possible.contains(&decoder) {
        let names: Vec<_> = possible.iter().map(|decoder| decoder.name()).collect();
        let message = format!("this model has no such decoder; it has auto, none, {}", names.join(", "));
        checks.fail("preview.decoder", ErrorCode::UnsupportedValue, message);
    }
    let every = checks.integer("preview.every", request.every, 1..=limits.steps, ErrorCode::OutOfRange);
    let sizes = LEAST_MAX_SIZE..=limits.side.max(LEAST_MAX_SIZE);
    let max_size = checks.integer("preview.max_size", request.max_size, sizes, ErrorCode::OutOfRange);
    let small = if side <= SMALL_SIDE { ImageFormat::Png } else { ImageFormat::Jpeg };
    (decoder != PreviewDecoder::None).then(|| ResolvedPreview {
        every: every.unwrap_or(EVERY),
        decoder,
        format: request.format.unwrap_or(small),
        max_size: max_size.unwrap_or(MAX_SIZE),
    })
}
