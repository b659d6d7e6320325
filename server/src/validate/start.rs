//! The picture to start from, and where it may change.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use x0_model::{InitImage, ModelInfo, Picture};
use x0_openapi::{
    ErrorCode, GenerationRequest, InitResize, InpaintRequest, InputImage, MaskFill, MaskWhere, ResolvedInpaint,
};

use super::Limits;
use super::checks::Checks;
use crate::fetch::{FetchError, Fetched};
use crate::picture::{
    DecodeError, Overlay, Region, arranged, blurred, decode_base64, decode_image, decode_mask, surroundings, widened,
};

/// The share of the steps that are done when the request does not say.
const STRENGTH: f64 = 0.8;
/// The largest standard deviation of a mask's blur, in pixels.
const MAX_BLUR: f64 = 64.0;

/// What came with a request, decoded and checked.
#[derive(Clone, Debug)]
pub(super) struct Start {
    picture: Arc<Picture>,
    /// White where the picture may change.
    mask: Option<Arc<Picture>>,
    resize: InitResize,
    /// As it was asked for.
    pub(super) inpaint: Option<ResolvedInpaint>,
    strength: f64,
}

/// What the model starts from, and what becomes of the picture that it makes.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) init: InitImage,
    pub(super) overlay: Option<Overlay>,
}

/// Checks and decodes `init_image`, `mask_image` and what says how they are used. A picture that was named by its address is what was
/// fetched from there.
pub(super) fn start(
    checks: &mut Checks,
    request: &GenerationRequest,
    fetched: &Fetched,
    strength: Option<f64>,
    info: &ModelInfo,
    limits: &Limits,
) -> Option<Start> {
    if !info.image_to_image {
        let why = format!("{} starts from noise only", info.name);
        checks.refuse("init_image", request.init_image.as_ref(), &why);
        refuse_rest(checks, request, &why);
        checks.refuse("mask_image", request.mask_image.as_ref(), &why);
        return None;
    }
    let Some(init_image) = &request.init_image else {
        checks.refuse("mask_image", request.mask_image.as_ref(), "there is no init_image that it could mask");
        refuse_rest(checks, request, "there is no init_image to start from");
        return None;
    };
    if request.mask_image.is_none() {
        checks.refuse("mask_where", request.mask_where.as_ref(), "there is no mask_image");
        checks.refuse("inpaint", request.inpaint.as_ref(), "there is no mask_image");
    }
    let inpaint = request.inpaint.map(|inpaint| resolved(checks, inpaint, limits));
    let file = fetched.init_image.as_ref();
    let picture = decoded(checks, "init_image", init_image, file, |file| decode_image(file, limits.decode));
    let changes = request.mask_where.unwrap_or(MaskWhere::White);
    let file = fetched.mask_image.as_ref();
    let mask = request
        .mask_image
        .as_ref()
        .and_then(|mask| decoded(checks, "mask_image", mask, file, |file| decode_mask(file, changes, limits.decode)));
    let picture = picture?;
    if let Some(mask) = mask.as_ref().filter(|mask| (mask.width, mask.height) != (picture.width, picture.height)) {
        let message =
            format!("is {} x {}, but init_image is {} x {}", mask.width, mask.height, picture.width, picture.height);
        checks.fail("mask_image", ErrorCode::MaskMismatch, message);
        return None;
    }
    Some(Start {
        picture: Arc::new(picture),
        mask: mask.map(Arc::new),
        resize: request.init_resize.unwrap_or(InitResize::Stretch),
        inpaint,
        strength: strength.unwrap_or(STRENGTH),
    })
}

/// Fields that mean nothing without a picture to start from.
fn refuse_rest(checks: &mut Checks, request: &GenerationRequest, why: &str) {
    checks.refuse("strength", request.strength.as_ref(), why);
    checks.refuse("init_resize", request.init_resize.as_ref(), why);
    checks.refuse("mask_where", request.mask_where.as_ref(), why);
    checks.refuse("inpaint", request.inpaint.as_ref(), why);
}

fn resolved(checks: &mut Checks, request: InpaintRequest, limits: &Limits) -> ResolvedInpaint {
    let padding = checks.integer("inpaint.padding", request.padding, 0..=limits.side, ErrorCode::OutOfRange);
    if padding.is_some() && request.overlay == Some(false) {
        let message = "a part of a picture has to be put back into it";
        checks.fail("inpaint.overlay", ErrorCode::ConflictingParameters, message);
    }
    ResolvedInpaint {
        blur: checks.number("inpaint.blur", request.blur, 0.0..=MAX_BLUR).unwrap_or(0.0),
        fill: request.fill.unwrap_or(MaskFill::Picture),
        padding,
        overlay: request.overlay.unwrap_or(padding.is_some()),
    }
}

impl Start {
    pub(super) fn picture(&self) -> InputImage {
        size_of(&self.picture)
    }

    pub(super) fn mask(&self) -> Option<InputImage> {
        self.mask.as_deref().map(size_of)
    }

    /// As the request says it; absent where it is the default.
    pub(super) fn resize(&self) -> Option<InitResize> {
        Some(self.resize).filter(|resize| *resize != InitResize::Stretch)
    }

    /// The pictures as the model shall have them, for pictures of `size`.
    pub(super) fn prepared(self, size: (u32, u32)) -> Prepared {
        let Self { picture, mask, resize, inpaint, strength } = self;
        match (mask, inpaint) {
            (Some(mask), Some(inpaint)) => masked(&picture, &mask, resize, inpaint, size, strength),
            (mask, _) => {
                // The model stretches by itself.
                let shaped = |picture: Arc<Picture>| match resize {
                    InitResize::Stretch => picture,
                    InitResize::Crop | InitResize::Fill => Arc::new(arranged(&picture, size, resize)),
                };
                let (picture, mask) = (shaped(picture), mask.map(shaped));
                let init = InitImage { picture, mask, fill: x0_model::MaskFill::Picture, strength };
                Prepared { init, overlay: None }
            }
        }
    }
}

fn masked(
    picture: &Arc<Picture>,
    mask: &Picture,
    resize: InitResize,
    inpaint: ResolvedInpaint,
    size: (u32, u32),
    strength: f64,
) -> Prepared {
    let soft = blurred(mask, inpaint.blur);
    let part = inpaint.padding.and_then(|padding| Region::around(&soft, padding, size));
    let (under, soft, region) = match part {
        Some(region) => (picture.clone(), soft, region),
        None => {
            let under = Arc::new(arranged(picture, size, resize));
            (under.clone(), widened(&arranged(&soft, size, resize)), Region::whole(&under))
        }
    };
    // A part may lack a pixel of its proportions, or be at the picture's edge.
    let shaped = |picture: &Picture| arranged(&region.of(picture), size, InitResize::Fill);
    let (mask, picture) = (shaped(&soft), shaped(&under));
    let (picture, fill) = match inpaint.fill {
        MaskFill::Picture => (picture, x0_model::MaskFill::Picture),
        MaskFill::Surroundings => (surroundings(&picture, &mask), x0_model::MaskFill::Picture),
        MaskFill::Noise => (picture, x0_model::MaskFill::Noise),
        MaskFill::Nothing => (picture, x0_model::MaskFill::Nothing),
    };
    let init = InitImage { picture: Arc::new(picture), mask: Some(Arc::new(mask)), fill, strength };
    let overlay = inpaint.overlay.then_some(Overlay { under, mask: soft, region });
    Prepared { init, overlay }
}

fn decoded(
    checks: &mut Checks,
    field: &str,
    text: &str,
    fetched: Option<&Result<Bytes, FetchError>>,
    decode: impl FnOnce(&[u8]) -> Result<Picture, DecodeError>,
) -> Option<Picture> {
    let file = match fetched {
        Some(Ok(file)) => Ok(Cow::Borrowed(&file[..])),
        Some(Err(error)) => Err(DecodeError { code: error.code(), message: error.to_string() }),
        None => decode_base64(text).map(Cow::Owned),
    };
    match file.and_then(|file| decode(&file)) {
        Ok(picture) => Some(picture),
        Err(DecodeError { code, message }) => {
            checks.fail(field, code, message);
            None
        }
    }
}

/// What the record says of a picture that came with the request.
fn size_of(picture: &Picture) -> InputImage {
    InputImage { width: picture.width, height: picture.height }
}
