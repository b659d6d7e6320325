//! Width and height, by what the model makes.

use x0_model::ModelInfo;
use x0_openapi::{ErrorCode, InputImage};

use super::Limits;
use super::checks::Checks;

/// The size of the pictures: what was asked for, or the size of the picture to start from, or the model's. A picture to start from
/// is scaled to it.
pub(super) fn size(
    checks: &mut Checks,
    asked: (Option<u32>, Option<u32>),
    start: Option<InputImage>,
    info: &ModelInfo,
    limits: &Limits,
) -> (u32, u32) {
    let rule = &info.size;
    let (width, height) = match (asked, start) {
        ((None, None), Some(start)) => (start.width, start.height),
        ((width, height), _) => (width.unwrap_or(rule.default_width), height.unwrap_or(rule.default_height)),
    };
    let of_start = asked == (None, None) && start.is_some();
    let mut fail = |field, code, message: String| {
        if of_start {
            checks.fail("init_image", code, format!("{message}; with width and height it is scaled to these"));
        } else {
            checks.fail(field, code, message);
        }
    };
    for (field, side, default) in [("width", width, rule.default_width), ("height", height, rule.default_height)] {
        if rule.fixed && side != default {
            fail(field, ErrorCode::InvalidSize, format!("{} makes {default} only, not {side}", info.name));
        } else if side > limits.side {
            let most = limits.side;
            fail(field, ErrorCode::InvalidSize, format!("{side} is more than the {most} that this server allows"));
        } else if !side.is_multiple_of(rule.multiple) {
            fail(field, ErrorCode::InvalidSize, not_a_multiple(side, rule.multiple, limits.side));
        }
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.pixels {
        let most = limits.pixels;
        let message = format!("{width} x {height} = {pixels} pixels are more than the {most} that this server allows");
        fail("width", ErrorCode::ImageTooLarge, message);
    }
    (width, height)
}

/// Says which sizes are nearest; nothing is ever rounded silently.
fn not_a_multiple(side: u32, multiple: u32, most: u32) -> String {
    let below = side / multiple * multiple;
    let above = below.saturating_add(multiple);
    let nearest = match (below >= multiple, above <= most) {
        (true, true) => format!("{below} and {above} are"),
        (true, false) => format!("{below} is"),
        (false, _) => format!("{above} is"),
    };
    format!("{side} is not a multiple of {multiple}; {nearest}")
}
