//! AUTOMATIC1111's names for samplers, noise schedules and upscalers, and for our request's fields.

use x0_model::sampler::SamplerKind;
use x0_openapi::{MaskFill, Named as _, NoiseSchedule, Upscaler};

use crate::infotext::{MASK_FILLS, upscaler_label};
use crate::validate::noise_schedule_name;

/// Whether the sampler adds noise at every step, of which `eta` 1 is all.
pub(super) fn is_ancestral(sampler: SamplerKind) -> bool {
    matches!(sampler, SamplerKind::EulerAncestral | SamplerKind::Dpm2Ancestral)
}

/// A sampler, and the noise schedule at the end of its name, in any case.
pub(super) fn sampler(name: &str) -> Option<(SamplerKind, Option<NoiseSchedule>)> {
    let (kind, schedule) = SamplerKind::parse(name).ok()?;
    let schedule = noise_schedule_name(schedule);
    Some((kind, Some(schedule).filter(|schedule| *schedule != NoiseSchedule::Default)))
}

/// The names of a noise schedule: label, then aliases. None is "Automatic".
pub(super) const SCHEDULES: [(Option<NoiseSchedule>, &str, &str); 5] = [
    (None, "automatic", "Automatic"),
    (Some(NoiseSchedule::Default), "uniform", "Uniform"),
    (Some(NoiseSchedule::Karras), "karras", "Karras"),
    (Some(NoiseSchedule::Exponential), "exponential", "Exponential"),
    (Some(NoiseSchedule::Beta), "beta", "Beta"),
];

/// A noise schedule by its name or label, in any case; `Some(None)` is "Automatic".
pub(super) fn schedule(name: &str) -> Option<Option<NoiseSchedule>> {
    let wanted = name.trim();
    if wanted.is_empty() {
        return Some(None);
    }
    let known = |(_, name, label): &&(Option<NoiseSchedule>, &str, &str)| {
        name.eq_ignore_ascii_case(wanted) || label.eq_ignore_ascii_case(wanted)
    };
    SCHEDULES.iter().find(known).map(|(schedule, ..)| *schedule)
}

/// Two of AUTOMATIC1111's names mean the same when a picture is made larger: latents enlarged linearly with and without antialiasing,
/// and pictures without an upscaler, which are enlarged by Lanczos' filter.
const SYNONYMS: [(&str, Upscaler); 2] = [("Latent (antialiased)", Upscaler::Latent), ("None", Upscaler::Lanczos)];

/// An upscaler by its name, in any case.
pub(super) fn upscaler(name: &str) -> Option<Upscaler> {
    let own = Upscaler::ALL.iter().map(|upscaler| (upscaler_label(*upscaler), *upscaler));
    own.chain(SYNONYMS).find(|(known, _)| known.eq_ignore_ascii_case(name.trim())).map(|(_, upscaler)| upscaler)
}

/// Names of the upscalers of latents, or of those of pictures.
pub(super) fn upscaler_names(latent: bool) -> Vec<&'static str> {
    let own = Upscaler::ALL.iter().map(|upscaler| upscaler_label(*upscaler));
    let mut names: Vec<_> = own.chain(SYNONYMS.map(|(name, _)| name)).collect();
    names.retain(|name| name.starts_with("Latent") == latent);
    names.sort_unstable();
    names
}

/// What the masked part starts from, by AUTOMATIC1111's number.
pub(super) fn mask_fill(number: i64) -> Option<MaskFill> {
    MASK_FILLS.get(usize::try_from(number).ok()?).map(|(fill, _)| *fill)
}

/// AUTOMATIC1111's name for a field of our request.
pub(super) fn field(native: &str) -> String {
    let name = match native {
        "model" => "sd_model_checkpoint",
        "class_label" => "prompt",
        "guidance_scale" => "cfg_scale",
        "sampler" => "sampler_name",
        "noise_schedule" | "timestep_spacing" => "scheduler",
        // Our request is for the images of all iterations.
        "n" => "batch_size times n_iter",
        "strength" => "denoising_strength",
        "clip_skip" => "CLIP_stop_at_last_layers",
        "noise_source" => "randn_source",
        "variation.seed" => "subseed",
        "variation.strength" | "variation" => "subseed_strength",
        "highres" => "enable_hr",
        "highres.scale" => "hr_scale",
        "highres.width" => "hr_resize_x",
        "highres.height" => "hr_resize_y",
        "highres.steps" => "hr_second_pass_steps",
        "highres.strength" => "denoising_strength",
        "highres.upscaler" => "hr_upscaler",
        "init_image" => "init_images",
        "init_resize" => "resize_mode",
        "mask_image" => "mask",
        "inpaint.blur" => "mask_blur",
        "inpaint.fill" => "inpainting_fill",
        "inpaint.padding" => "inpaint_full_res_padding",
        "output.quality" => "jpeg_quality",
        "preview.every" => "show_progress_every_n_steps",
        other => other,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        for (name, kind, schedule) in [
            ("Euler a", SamplerKind::EulerAncestral, None),
            ("euler A", SamplerKind::EulerAncestral, None),
            ("k_euler_a", SamplerKind::EulerAncestral, None),
            ("DPM++ 2M", SamplerKind::Dpmpp2m, None),
            ("DPM++ 2M Karras", SamplerKind::Dpmpp2m, Some(NoiseSchedule::Karras)),
            ("dpm++ 2m karras", SamplerKind::Dpmpp2m, Some(NoiseSchedule::Karras)),
            ("PLMS", SamplerKind::Pndm, None),
            ("UniPC", SamplerKind::Unipc, None),
        ] {
            assert_eq!(sampler(name), Some((kind, schedule)), "{name}");
        }
        assert_eq!(sampler("Restart"), None);
        for (name, expected) in [
            ("automatic", Some(None)),
            ("Automatic", Some(None)),
            ("", Some(None)),
            ("KARRAS", Some(Some(NoiseSchedule::Karras))),
            ("Uniform", Some(Some(NoiseSchedule::Default))),
            ("Align Your Steps", None),
        ] {
            assert_eq!(schedule(name), expected, "{name}");
        }
        assert_eq!(upscaler("latent (Nearest-exact)"), Some(Upscaler::LatentNearestExact));
        assert_eq!(upscaler("none"), Some(Upscaler::Lanczos));
        assert_eq!(upscaler("R-ESRGAN 4x+"), None);
        assert_eq!(
            [0, 1, 2, 3].map(mask_fill),
            [Some(MaskFill::Surroundings), Some(MaskFill::Picture), Some(MaskFill::Noise), Some(MaskFill::Nothing)]
        );
        assert_eq!((mask_fill(4), mask_fill(-1)), (None, None));
    }

    #[test]
    fn every_label_is_a_name() {
        for kind in SamplerKind::ALL {
            assert_eq!(sampler(kind.label()), Some((*kind, None)));
        }
        assert_eq!(upscaler_names(true).len(), 6);
        assert_eq!(upscaler_names(false), ["Lanczos", "Nearest", "None"]);
    }
}
