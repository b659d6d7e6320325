//! The picture to start from, and where it may change.

use std::sync::Arc;

use x0_model::{InitImage, ModelInfo, Picture};
use x0_openapi::{ErrorCode, GenerationRequest, InputImage, MaskWhere};

use super::Limits;
use super::checks::Checks;
use crate::picture::{DecodeError, decode_base64, decode_image, decode_mask};

/// The share of the steps that are done when the request does not say.
const STRENGTH: f64 = 0.8;

/// Checks and decodes `init_image` and `mask_image`.
pub(super) fn start(
    checks: &mut Checks,
    request: &GenerationRequest,
    strength: Option<f64>,
    info: &ModelInfo,
    limits: &Limits,
) -> Option<InitImage> {
    if !info.image_to_image {
        let why = format!("{} starts from noise only", info.name);
        checks.refuse("init_image", request.init_image.as_ref(), &why);
        checks.refuse("mask_image", request.mask_image.as_ref(), &why);
        checks.refuse("mask_where", request.mask_where.as_ref(), &why);
        checks.refuse("strength", request.strength.as_ref(), &why);
        return None;
    }
    let Some(init_image) = &request.init_image else {
        checks.refuse("mask_image", request.mask_image.as_ref(), "there is no init_image that it could mask");
        checks.refuse("mask_where", request.mask_where.as_ref(), "there is no mask_image");
        checks.refuse("strength", request.strength.as_ref(), "there is no init_image to start from");
        return None;
    };
    if request.mask_image.is_none() {
        checks.refuse("mask_where", request.mask_where.as_ref(), "there is no mask_image");
    }
    let picture = decoded(checks, "init_image", init_image, |file| decode_image(file, limits.decode));
    let changes = request.mask_where.unwrap_or(MaskWhere::White);
    let mask = request
        .mask_image
        .as_ref()
        .and_then(|mask| decoded(checks, "mask_image", mask, |file| decode_mask(file, changes, limits.decode)));
    let picture = picture?;
    if let Some(mask) = mask.as_ref().filter(|mask| (mask.width, mask.height) != (picture.width, picture.height)) {
        let message =
            format!("is {} x {}, but init_image is {} x {}", mask.width, mask.height, picture.width, picture.height);
        checks.fail("mask_image", ErrorCode::MaskMismatch, message);
    }
    Some(InitImage { picture: Arc::new(picture), mask: mask.map(Arc::new), strength: strength.unwrap_or(STRENGTH) })
}

fn decoded(
    checks: &mut Checks,
    field: &str,
    text: &str,
    decode: impl FnOnce(&[u8]) -> Result<Picture, DecodeError>,
) -> Option<Picture> {
    match decode_base64(text).and_then(|file| decode(&file)) {
        Ok(picture) => Some(picture),
        Err(DecodeError { code, message }) => {
            checks.fail(field, code, message);
            None
        }
    }
}

/// What the record says of a picture that came with the request.
pub(super) fn size_of(picture: &Picture) -> InputImage {
    InputImage { width: picture.width, height: picture.height }
}
