//! A second pass at a larger size.

use x0_model::{Highres, ModelInfo, ModelKind, Upscaler};
use x0_openapi::{ErrorCode, HighresRequest, Named as _};

use super::Limits;
use super::checks::Checks;

const SCALE: f64 = 2.0;
const MAX_SCALE: f64 = 8.0;
const STRENGTH: f64 = 0.75;

/// Checks `highres`, for a first pass of `steps` steps at the size `(width, height)`.
pub(super) fn highres(
    checks: &mut Checks,
    request: Option<HighresRequest>,
    steps: u32,
    first: (u32, u32),
    info: &ModelInfo,
    limits: &Limits,
) -> Option<Highres> {
    let request = request?;
    if info.kind != ModelKind::TextToImage {
        checks.refuse("highres", Some(&request), &format!("{} makes pictures of one size", info.name));
        return None;
    }
    let (width, height) = size(checks, request, first, info, limits)?;
    let asked_steps = checks.integer("highres.steps", request.steps, 1..=limits.steps, ErrorCode::OutOfRange);
    let strength = checks.number("highres.strength", request.strength, 0.0..=1.0).unwrap_or(STRENGTH);
    if strength == 0.0 {
        checks.fail("highres.strength", ErrorCode::OutOfRange, "0 leaves no step to do");
    }
    let upscaler = request.upscaler.map(upscaler_of).unwrap_or_default();
    Some(Highres { width, height, steps: asked_steps.unwrap_or(steps), strength, upscaler })
}

/// The size of the second pass.
fn size(
    checks: &mut Checks,
    request: HighresRequest,
    (width, height): (u32, u32),
    info: &ModelInfo,
    limits: &Limits,
) -> Option<(u32, u32)> {
    let sides = 1..=limits.side;
    let asked = (
        checks.integer("highres.width", request.width, sides.clone(), ErrorCode::InvalidSize),
        checks.integer("highres.height", request.height, sides, ErrorCode::InvalidSize),
    );
    let scale = checks.number("highres.scale", request.scale, 1.0..=MAX_SCALE);
    if request.width.is_some() || request.height.is_some() {
        checks.refuse("highres.scale", scale.as_ref(), "the new size is given in pixels already");
    }
    let multiple = info.size.multiple;
    let down = |side: f64| (side as u32) / multiple * multiple;
    let other = |side: u32, of: u32, to: u32| down(f64::from(side) * f64::from(to) / f64::from(of));
    let size = match asked {
        (Some(w), Some(h)) => (w, h),
        (Some(w), None) => (w, other(w, width, height)),
        (None, Some(h)) => (other(h, height, width), h),
        (None, None) => {
            let scale = scale.unwrap_or(SCALE);
            (down(f64::from(width) * scale), down(f64::from(height) * scale))
        }
    };
    for (field, side, least) in [("highres.width", size.0, width), ("highres.height", size.1, height)] {
        if side < least {
            checks.fail(field, ErrorCode::InvalidSize, format!("{side} is less than the {least} of the first pass"));
        } else if side > limits.side {
            let message = format!("{side} is more than the {} that this server allows", limits.side);
            checks.fail(field, ErrorCode::InvalidSize, message);
        } else if !side.is_multiple_of(multiple) {
            checks.fail(field, ErrorCode::InvalidSize, format!("{side} is not a multiple of {multiple}"));
        }
    }
    // Sides that are rounded may be off by less than the multiple.
    let crossed = (u64::from(size.0) * u64::from(height)).abs_diff(u64::from(size.1) * u64::from(width));
    if crossed >= u64::from(multiple) * u64::from(width.max(height)) {
        let message = format!("{} x {} has other proportions than {width} x {height}", size.0, size.1);
        checks.fail("highres.width", ErrorCode::InvalidSize, message);
    }
    if u64::from(size.0) * u64::from(size.1) > limits.pixels {
        let message =
            format!("{} x {} is more than the {} pixels that this server allows", size.0, size.1, limits.pixels);
        checks.fail("highres.width", ErrorCode::ImageTooLarge, message);
    }
    Some(size).filter(|_| !checks.any())
}

fn upscaler_of(upscaler: x0_openapi::Upscaler) -> Upscaler {
    match upscaler {
        x0_openapi::Upscaler::Latent => Upscaler::Latent,
        x0_openapi::Upscaler::LatentBicubic => Upscaler::LatentBicubic,
        x0_openapi::Upscaler::LatentBicubicAntialiased => Upscaler::LatentBicubicAntialiased,
        x0_openapi::Upscaler::LatentNearest => Upscaler::LatentNearest,
        x0_openapi::Upscaler::LatentNearestExact => Upscaler::LatentNearestExact,
        x0_openapi::Upscaler::Lanczos => Upscaler::Lanczos,
        x0_openapi::Upscaler::Nearest => Upscaler::Nearest,
    }
}

/// The wire's name of an upscaler.
pub(super) fn upscaler_name(upscaler: Upscaler) -> x0_openapi::Upscaler {
    let same = |name: &&x0_openapi::Upscaler| upscaler_of(**name) == upscaler;
    x0_openapi::Upscaler::ALL.iter().find(same).copied().unwrap_or(x0_openapi::Upscaler::Latent)
}
