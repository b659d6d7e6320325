//! Width and height, by what the model makes.

use x0_model::ModelInfo;
use x0_openapi::{ErrorCode, InputImage};

use super::Limits;
use super::checks::Checks;

/// The size of the pictures: what was asked for, the size of the picture to start from, or the model's.
pub(super) fn size(
    checks: &mut Checks,
    asked: (Option<u32>, Option<u32>),
    start: Option<InputImage>,
    info: &ModelInfo,
    limits: &Limits,
) -> (u32, u32) {
    let rule = &info.size;
    let (default_width, default_height) =
        start.map_or((rule.default_width, rule.default_height), |start| (start.width, start.height));
    let (width, height) = (asked.0.unwrap_or(default_width), asked.1.unwrap_or(default_height));
    for (field, side, default) in [("width", width, rule.default_width), ("height", height, rule.default_height)] {
        if rule.fixed && side != default {
            checks.fail(field, ErrorCode::InvalidSize, format!("{} makes {default} only, not {side}", info.name));
        } else if !side.is_multiple_of(rule.multiple) {
            checks.fail(field, ErrorCode::InvalidSize, not_a_multiple(side, rule.multiple, limits.side));
        }
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.pixels {
        let message =
            format!("{width} x {height} = {pixels} pixels are more than the {} that this server allows", limits.pixels);
        checks.fail("width", ErrorCode::ImageTooLarge, message);
    }
    if let Some(InputImage { width: w, height: h }) =
        start.filter(|start| (start.width, start.height) != (width, height))
    {
        let message = format!("is {w} x {h}, but {width} x {height} were asked for; both must be the same");
        checks.fail("init_image", ErrorCode::InvalidSize, message);
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
