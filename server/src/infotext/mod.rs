//! AUTOMATIC1111's text about a picture, which many programs read: the prompt, a line `Negative prompt: ...`, and a line of settings,
//! `Steps: 20, Sampler: Euler a, ...`.

mod parse;
mod recover;
mod settings;
mod write;

pub use parse::Infotext;
pub use recover::recovered;
pub use settings::settings;
pub use write::infotext;

use x0_model::sampler::SamplerKind;
use x0_openapi::NoiseSchedule;

/// The version that pictures are marked with.
pub const VERSION: &str = concat!("x0 ", env!("CARGO_PKG_VERSION"));

/// Settings that AUTOMATIC1111 has no words for.
const TIMESTEP_SPACING: &str = "Timestep spacing";
const GUIDANCE_RESCALE: &str = "Guidance rescale";

/// The words for an upscaler, as AUTOMATIC1111 lists them.
pub fn upscaler_label(upscaler: x0_openapi::Upscaler) -> &'static str {
    match upscaler {
        x0_openapi::Upscaler::Latent => "Latent",
        x0_openapi::Upscaler::LatentBicubic => "Latent (bicubic)",
        x0_openapi::Upscaler::LatentBicubicAntialiased => "Latent (bicubic antialiased)",
        x0_openapi::Upscaler::LatentNearest => "Latent (nearest)",
        x0_openapi::Upscaler::LatentNearestExact => "Latent (nearest-exact)",
        x0_openapi::Upscaler::Lanczos => "Lanczos",
        x0_openapi::Upscaler::Nearest => "Nearest",
    }
}

/// The words for a sampler's noise schedule, as AUTOMATIC1111 lists them.
pub fn schedule_label(schedule: NoiseSchedule, sampler: SamplerKind) -> &'static str {
    match schedule {
        NoiseSchedule::Default if usual_schedule(sampler) == NoiseSchedule::Default => "Automatic",
        NoiseSchedule::Default => "Uniform",
        NoiseSchedule::Karras => "Karras",
        NoiseSchedule::Exponential => "Exponential",
        NoiseSchedule::Beta => "Beta",
    }
}

/// The noise schedule that such words stand for, in any case.
pub fn schedule_of(label: &str, sampler: SamplerKind) -> Option<NoiseSchedule> {
    match label.to_ascii_lowercase().as_str() {
        "automatic" => Some(usual_schedule(sampler)),
        "uniform" => Some(NoiseSchedule::Default),
        "karras" => Some(NoiseSchedule::Karras),
        "exponential" => Some(NoiseSchedule::Exponential),
        "beta" => Some(NoiseSchedule::Beta),
        _ => None,
    }
}

/// The noise schedule that AUTOMATIC1111 takes with a sampler when it is not told: its "Automatic".
pub fn usual_schedule(sampler: SamplerKind) -> NoiseSchedule {
    match sampler {
        SamplerKind::Dpmpp2m | SamplerKind::Dpm2 | SamplerKind::Dpm2Ancestral => NoiseSchedule::Karras,
        SamplerKind::Dpmpp2mSde => NoiseSchedule::Exponential,
        SamplerKind::Ddpm
        | SamplerKind::Ddim
        | SamplerKind::Pndm
        | SamplerKind::Lms
        | SamplerKind::Euler
        | SamplerKind::EulerAncestral
        | SamplerKind::Heun
        | SamplerKind::Dpmpp2s
        | SamplerKind::Unipc
        | SamplerKind::Deis
        | SamplerKind::Lcm => NoiseSchedule::Default,
    }
}

/// Whether AUTOMATIC1111 has the sampler from k-diffusion, which spreads the timesteps evenly from the first to the last.
pub fn is_of_k_diffusion(sampler: SamplerKind) -> bool {
    match sampler {
        SamplerKind::Lms
        | SamplerKind::Euler
        | SamplerKind::EulerAncestral
        | SamplerKind::Heun
        | SamplerKind::Dpm2
        | SamplerKind::Dpm2Ancestral
        | SamplerKind::Dpmpp2m
        | SamplerKind::Dpmpp2mSde => true,
        SamplerKind::Ddpm
        | SamplerKind::Ddim
        | SamplerKind::Pndm
        | SamplerKind::Dpmpp2s
        | SamplerKind::Unipc
        | SamplerKind::Deis
        | SamplerKind::Lcm => false,
    }
}

/// The words for what a masked part starts from, in the order of AUTOMATIC1111's numbers.
pub const MASK_FILLS: [(x0_openapi::MaskFill, &str); 4] = [
    (x0_openapi::MaskFill::Surroundings, "fill"),
    (x0_openapi::MaskFill::Picture, "original"),
    (x0_openapi::MaskFill::Noise, "latent noise"),
    (x0_openapi::MaskFill::Nothing, "latent nothing"),
];
