//! The fields whose range does not depend on the model.

use x0_openapi::{
    ErrorCode, GenerationRequest, ImageFormat, OnDisconnect, OutputRequest, Priority, ResolvedOutput, Seed,
};

use super::checks::Checks;
use super::{Answer, Limits};

/// The default quality of JPEG files.
const JPEG_QUALITY: u32 = 90;

/// What was asked for within the server's limits. `None` stands for the model's default, or for a field that was refused.
#[derive(Clone, Debug)]
pub(super) struct General {
    pub(super) n: u32,
    pub(super) seed: Seed,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    pub(super) steps: Option<u32>,
    pub(super) guidance_scale: Option<f64>,
    pub(super) guidance_rescale: f64,
    pub(super) eta: Option<f64>,
    pub(super) clip_skip: Option<u32>,
    pub(super) strength: Option<f64>,
    pub(super) output: ResolvedOutput,
    pub(super) priority: Priority,
    pub(super) deadline_seconds: Option<f64>,
    pub(super) on_disconnect: OnDisconnect,
}

impl General {
    pub(super) fn check(checks: &mut Checks, request: &GenerationRequest, answer: &Answer, limits: &Limits) -> Self {
        let n = checks.integer("n", request.n, 1..=limits.images, ErrorCode::OutOfRange).unwrap_or(1);
        if answer.one_image && n > 1 {
            checks.fail("n", ErrorCode::ConflictingParameters, "an answer that is an image can only be one");
        }
        let strength = checks.number("strength", request.strength, 0.0..=1.0);
        if strength == Some(0.0) {
            checks.fail("strength", ErrorCode::OutOfRange, "0 leaves no step to do");
        }
        Self {
            n,
            seed: seed(checks, "seed", request.seed, if request.variation.is_some() { 1 } else { n }),
            width: checks.integer("width", request.width, 1..=limits.side, ErrorCode::InvalidSize),
            height: checks.integer("height", request.height, 1..=limits.side, ErrorCode::InvalidSize),
            steps: checks.integer("steps", request.steps, 1..=limits.steps, ErrorCode::OutOfRange),
            guidance_scale: checks.number("guidance_scale", request.guidance_scale, 0.0..=limits.guidance_scale),
            guidance_rescale: checks.number("guidance_rescale", request.guidance_rescale, 0.0..=1.0).unwrap_or(0.0),
            eta: checks.number("eta", request.eta, 0.0..=1.0),
            clip_skip: checks.integer("clip_skip", request.clip_skip, 0..=12, ErrorCode::OutOfRange),
            strength,
            output: output(checks, request.output.unwrap_or_default(), answer.format),
            priority: request.priority.unwrap_or(Priority::Normal),
            deadline_seconds: checks.number(
                "deadline_seconds",
                request.deadline_seconds,
                1.0..=limits.deadline_seconds,
            ),
            on_disconnect: request.on_disconnect.unwrap_or(answer.on_disconnect),
        }
    }
}

/// The seed, or a random one that every JSON client reads exactly; the last image must still have a seed.
pub(super) fn seed(checks: &mut Checks, field: &str, seed: Option<Seed>, n: u32) -> Seed {
    let last = u64::from(n - 1);
    match seed {
        None => Seed(random() % (Seed::MAX_NUMBER - last)),
        Some(seed) => {
            if seed.0.checked_add(last).is_none() {
                let message = format!("the seed of image {last} would be over {}", u64::MAX);
                checks.fail(field, ErrorCode::OutOfRange, message);
            }
            seed
        }
    }
}

/// 64 bits from the same source as the ids of generations, the operating system's.
fn random() -> u64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    // A version 4 UUID has 6 fixed bits, 4 in the upper half and 2 at the top of the lower one.
    high.rotate_left(32) ^ low
}

fn output(checks: &mut Checks, output: OutputRequest, default: ImageFormat) -> ResolvedOutput {
    let format = output.format.unwrap_or(default);
    let quality = checks.integer("output.quality", output.quality, 1..=100, ErrorCode::OutOfRange);
    if format != ImageFormat::Jpeg {
        checks.refuse("output.quality", output.quality.as_ref(), "only JPEG has a quality");
    }
    ResolvedOutput {
        format,
        quality: (format == ImageFormat::Jpeg).then(|| quality.unwrap_or(JPEG_QUALITY)),
        metadata: Some(output.metadata.unwrap_or(true)),
        inline: output.inline.unwrap_or(false),
    }
}
