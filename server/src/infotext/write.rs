//! Writing it.

use std::fmt::Write as _;

use x0_model::sampler::SamplerKind;
use x0_openapi::{InitResize, Named as _, NoiseSource, PromptSyntax, ResolvedInpaint, ResolvedRequest};

use super::{GUIDANCE_RESCALE, MASK_FILLS, TIMESTEP_SPACING, VERSION, schedule_label, upscaler_label};

/// What AUTOMATIC1111 would say about the one image of a request. What a class-conditional model shall show counts as the prompt.
pub fn infotext(request: &ResolvedRequest) -> String {
    let mut text = String::new();
    if let Some(prompt) = request.prompt.as_ref().or(request.class_label.as_ref()) {
        text += prompt;
    }
    if let Some(negative) = request.negative_prompt.as_ref().filter(|negative| !negative.is_empty()) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\nNegative prompt: {negative}");
    }
    let settings = settings(request);
    let line: Vec<String> = settings.iter().map(|(name, value)| format!("{name}: {}", quoted(value))).collect();
    text + "\n" + &line.join(", ")
}

fn settings(request: &ResolvedRequest) -> Vec<(&'static str, String)> {
    let sampler = SamplerKind::parse(&request.sampler).ok().map(|(kind, _)| kind);
    let mut settings = vec![
        ("Steps", request.steps.to_string()),
        ("Sampler", sampler.map_or(request.sampler.as_str(), |sampler| sampler.label()).to_owned()),
        (
            "Schedule type",
            sampler.map_or("Automatic", |sampler| schedule_label(request.noise_schedule, sampler)).to_owned(),
        ),
        ("CFG scale", request.guidance_scale.to_string()),
        ("Seed", request.seed.to_string()),
        ("Size", format!("{}x{}", request.width, request.height)),
        ("Model", request.model.clone()),
    ];
    if let Some(variation) = request.variation {
        settings.push(("Variation seed", variation.seed.to_string()));
        settings.push(("Variation seed strength", variation.strength.to_string()));
    }
    let strength = request.strength.or(request.highres.map(|highres| highres.strength));
    settings.extend(strength.map(|strength| ("Denoising strength", strength.to_string())));
    if request.prompt.is_some() && request.prompt_syntax != Some(PromptSyntax::A1111) {
        // AUTOMATIC1111's word for prompts in which every character is text.
        settings.push(("Emphasis", "None".to_owned()));
    }
    settings.extend(request.clip_skip.filter(|skip| *skip > 0).map(|skip| ("Clip skip", (skip + 1).to_string())));
    settings.extend(request.eta.filter(|eta| *eta > 0.0).map(|eta| ("Eta", eta.to_string())));
    // These two are our own words: AUTOMATIC1111 has none.
    settings.extend(request.timestep_spacing.map(|spacing| (TIMESTEP_SPACING, spacing.name().to_owned())));
    let rescale = Some(request.guidance_rescale).filter(|rescale| *rescale > 0.0);
    settings.extend(rescale.map(|rescale| (GUIDANCE_RESCALE, rescale.to_string())));
    if let Some(highres) = request.highres {
        settings.push(("Hires resize", format!("{}x{}", highres.width, highres.height)));
        settings.push(("Hires steps", highres.steps.to_string()));
        settings.push(("Hires upscaler", upscaler_label(highres.upscaler).to_owned()));
    }
    if let Some(resize) = request.init_resize {
        let label = match resize {
            InitResize::Stretch => "Just resize",
            InitResize::Crop => "Crop and resize",
            InitResize::Fill => "Resize and fill",
        };
        settings.push(("Resize mode", label.to_owned()));
    }
    settings.extend(request.inpaint.iter().flat_map(inpainting));
    if request.noise_source != Some(NoiseSource::Philox) {
        settings.push(("RNG", "CPU".to_owned()));
    }
    settings.push(("Version", VERSION.to_owned()));
    settings
}

fn inpainting(inpaint: &ResolvedInpaint) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if inpaint.blur > 0.0 {
        settings.push(("Mask blur", inpaint.blur.to_string()));
    }
    let fill = MASK_FILLS.iter().find(|(fill, _)| *fill == inpaint.fill);
    settings.extend(fill.map(|(_, label)| ("Masked content", (*label).to_owned())));
    if let Some(padding) = inpaint.padding {
        settings.push(("Inpaint area", "Only masked".to_owned()));
        settings.push(("Masked area padding", padding.to_string()));
    }
    settings
}

/// A value that would be cut at a comma is written as a JSON string.
fn quoted(value: &str) -> String {
    if value.contains([',', '\n', ':', '"']) { serde_json::Value::from(value).to_string() } else { value.to_owned() }
}
