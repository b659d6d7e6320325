//! A second seed.

use x0_model::Variation;
use x0_openapi::{ErrorCode, Seed, VariationRequest};

use super::checks::Checks;
use super::general::seed;

/// Checks `variation`, for `n` images.
pub(super) fn variation(checks: &mut Checks, request: Option<VariationRequest>, n: u32) -> Option<Variation> {
    let request = request?;
    let Seed(seed) = seed(checks, "variation.seed", request.seed, n);
    let strength = checks.number("variation.strength", request.strength, 0.0..=1.0);
    match strength {
        Some(0.0) => checks.fail("variation.strength", ErrorCode::OutOfRange, "0 leaves nothing of it"),
        None => checks.fail("variation.strength", ErrorCode::MissingParameter, "a variation needs one"),
        Some(_) => {}
    }
    Some(Variation { seed, strength: strength? })
}
