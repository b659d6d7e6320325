//! From AUTOMATIC1111's request to ours.

use x0_model::sampler::SamplerKind;
use x0_openapi::{
    ErrorCode, FieldError, GenerationRequest, HighresRequest, InitResize, InpaintRequest, MaskWhere, OnDisconnect,
    OutputRequest, PreviewRequest, PromptSyntax, SdapiRequest, TimestepSpacing, VariationRequest,
};

use super::options::Honoured;
use super::words;
use crate::infotext::{is_of_k_diffusion, usual_schedule};
use crate::validate::Answer;

/// What AUTOMATIC1111 takes for what a request leaves out.
const STEPS: i64 = 50;
const GUIDANCE: f64 = 7.0;
const SIDE: i64 = 512;
const SAMPLER: &str = "Euler";
const STRENGTH: f64 = 0.75;
const MASK_BLUR: i64 = 4;
const HIGHRES_SCALE: f64 = 2.0;

/// Our request for all images of all iterations, and how it is answered; `errors` are in AUTOMATIC1111's words.
#[derive(Clone, Debug)]
pub(super) struct Translated {
    pub(super) request: GenerationRequest,
    pub(super) answer: Answer,
    /// Images of one iteration.
    pub(super) batch_size: u32,
    pub(super) errors: Vec<FieldError>,
}

pub(super) fn translated(asked: &SdapiRequest, options: &Honoured, errors: Vec<FieldError>) -> Translated {
    let mut wrong = Wrong { errors };
    let batch_size = wrong.count("batch_size", asked.batch_size);
    let iterations = wrong.count("n_iter", asked.n_iter);
    let (sampler, schedule) = sampling(&mut wrong, asked);
    let variation = Some(VariationRequest { seed: asked.subseed, strength: asked.subseed_strength })
        .filter(|variation| variation.strength.is_some_and(|strength| strength != 0.0));
    let start = asked.init_images.as_ref().and_then(|images| images.first().cloned());
    let mask = asked.mask.clone().filter(|_| start.is_some());
    let request = GenerationRequest {
        model: options.model.clone(),
        prompt: Some(asked.prompt.clone().unwrap_or_default()),
        negative_prompt: Some(asked.negative_prompt.clone().unwrap_or_default()),
        prompt_syntax: Some(PromptSyntax::A1111),
        n: Some(batch_size.saturating_mul(iterations)),
        seed: asked.seed,
        variation,
        width: Some(asked.width.unwrap_or(SIDE)),
        height: Some(asked.height.unwrap_or(SIDE)),
        steps: Some(asked.steps.unwrap_or(STEPS)),
        guidance_scale: Some(asked.cfg_scale.unwrap_or(GUIDANCE)),
        sampler: sampler.map(|sampler| sampler.name().to_owned()),
        noise_schedule: schedule,
        timestep_spacing: sampler.filter(|sampler| is_of_k_diffusion(*sampler)).map(|_| TimestepSpacing::Linspace),
        eta: eta(&mut wrong, sampler, asked.eta),
        noise_source: Some(options.noise_source),
        clip_skip: options.clip_skip,
        highres: highres(&mut wrong, asked),
        strength: start.is_some().then(|| asked.denoising_strength.unwrap_or(STRENGTH)),
        init_resize: start.is_some().then(|| resize(&mut wrong, asked.resize_mode)).flatten(),
        mask_where: mask.is_some().then_some(match asked.inpainting_mask_invert {
            Some(true) => MaskWhere::Black,
            Some(false) | None => MaskWhere::White,
        }),
        inpaint: mask.is_some().then(|| inpaint(&mut wrong, asked)),
        init_image: start,
        mask_image: mask,
        preview: options.preview_every.map(|every| PreviewRequest { every: Some(every), ..PreviewRequest::default() }),
        output: Some(OutputRequest {
            format: Some(options.format),
            quality: options.quality,
            metadata: Some(options.metadata),
            inline: None,
        }),
        ..GenerationRequest::default()
    };
    let answer = Answer { one_image: false, format: options.format, on_disconnect: OnDisconnect::Cancel };
    let batch_size = u32::try_from(batch_size).unwrap_or(u32::MAX);
    Translated { request, answer, batch_size, errors: wrong.errors }
}

/// What was found wrong.
struct Wrong {
    errors: Vec<FieldError>,
}

impl Wrong {
    fn say(&mut self, field: &str, code: ErrorCode, message: impl Into<String>) {
        self.errors.push(FieldError { field: field.to_owned(), code, message: message.into() });
    }

    /// A number of things, at least one; 1 for what is wrong.
    fn count(&mut self, field: &str, number: Option<i64>) -> i64 {
        let number = number.unwrap_or(1);
        if number < 1 {
            self.say(field, ErrorCode::OutOfRange, format!("{number} is less than 1"));
        }
        number.max(1)
    }
}

/// The sampler, and the noise schedule: as it is named, or at the end of the sampler's name, or the sampler's usual one.
fn sampling(wrong: &mut Wrong, asked: &SdapiRequest) -> (Option<SamplerKind>, Option<x0_openapi::NoiseSchedule>) {
    let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let (field, name) = match (given(&asked.sampler_name), given(&asked.sampler_index)) {
        (Some(name), _) => ("sampler_name", name),
        (None, Some(name)) => ("sampler_index", name),
        (None, None) => ("sampler_name", SAMPLER.to_owned()),
    };
    let sampler = words::sampler(&name);
    if sampler.is_none() {
        wrong.say(field, ErrorCode::UnsupportedValue, "no such sampler; GET /sdapi/v1/samplers lists all");
    }
    let schedule = words::schedule(asked.scheduler.as_deref().unwrap_or_default());
    if schedule.is_none() {
        wrong.say("scheduler", ErrorCode::UnsupportedValue, "no such scheduler; GET /sdapi/v1/schedulers lists all");
    }
    let Some((kind, in_name)) = sampler else { return (None, None) };
    let usual = Some(usual_schedule(kind)).filter(|usual| *usual != x0_openapi::NoiseSchedule::Default);
    let chosen = schedule.flatten().or(in_name).or(usual);
    // The default of a sampler that has no other is not worth a word.
    (Some(kind), chosen.filter(|chosen| kind.has_noise_schedule() || *chosen != x0_openapi::NoiseSchedule::Default))
}

/// AUTOMATIC1111 reads `eta` for DDIM and for ancestral samplers, for which 1 is usual. With others it means nothing, and clients
/// send 0 or 1.
fn eta(wrong: &mut Wrong, sampler: Option<SamplerKind>, eta: Option<f64>) -> Option<f64> {
    let (sampler, eta) = (sampler?, eta?);
    if sampler.has_eta() {
        return Some(eta);
    }
    let usual = eta == 1.0 || eta == 0.0 && !words::is_ancestral(sampler);
    if !usual {
        wrong.say("eta", ErrorCode::UnsupportedValue, format!("{} takes no other than 1", sampler.label()));
    }
    None
}

fn highres(wrong: &mut Wrong, asked: &SdapiRequest) -> Option<HighresRequest> {
    if asked.enable_hr != Some(true) {
        return None;
    }
    let upscaler = match asked.hr_upscaler.as_deref() {
        None => Some(x0_openapi::Upscaler::Latent),
        Some(name) => words::upscaler(name),
    };
    if upscaler.is_none() {
        wrong.say(
            "hr_upscaler",
            ErrorCode::UnsupportedValue,
            "no such upscaler; there are those of GET /sdapi/v1/upscalers and /sdapi/v1/latent-upscale-modes",
        );
    }
    let given = |number: Option<i64>| number.filter(|number| *number != 0);
    let (width, height) = (given(asked.hr_resize_x), given(asked.hr_resize_y));
    Some(HighresRequest {
        scale: (width.is_none() && height.is_none()).then(|| asked.hr_scale.unwrap_or(HIGHRES_SCALE)),
        width,
        height,
        steps: given(asked.hr_second_pass_steps),
        strength: Some(asked.denoising_strength.unwrap_or(STRENGTH)),
        upscaler,
    })
}

fn resize(wrong: &mut Wrong, mode: Option<i64>) -> Option<InitResize> {
    match mode.unwrap_or(0) {
        0 => Some(InitResize::Stretch),
        1 => Some(InitResize::Crop),
        2 => Some(InitResize::Fill),
        3 => {
            wrong.say(
                "resize_mode",
                ErrorCode::UnsupportedValue,
                "latents of pictures are not enlarged; 0, 1 and 2 are possible",
            );
            None
        }
        other => {
            wrong.say("resize_mode", ErrorCode::OutOfRange, format!("{other} is not between 0 and 3"));
            None
        }
    }
}

fn inpaint(wrong: &mut Wrong, asked: &SdapiRequest) -> InpaintRequest {
    let fill = words::mask_fill(asked.inpainting_fill.unwrap_or(0));
    if fill.is_none() {
        wrong.say("inpainting_fill", ErrorCode::OutOfRange, "is not between 0 and 3");
    }
    let only_masked = asked.inpaint_full_res.unwrap_or(true);
    InpaintRequest {
        blur: Some(asked.mask_blur.unwrap_or(MASK_BLUR) as f64),
        fill,
        padding: only_masked.then(|| asked.inpaint_full_res_padding.unwrap_or(0)),
        overlay: Some(true),
    }
}
