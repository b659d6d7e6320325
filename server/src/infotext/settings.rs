//! From an infotext to a request of ours.

use serde_json::{Map, Value, json};
use x0_model::ModelKind;
use x0_model::sampler::SamplerKind;
use x0_openapi::{Named as _, NoiseSchedule, PromptSyntax, TimestepSpacing, Upscaler};

use super::{GUIDANCE_RESCALE, Infotext, TIMESTEP_SPACING, is_of_k_diffusion, schedule_of, upscaler_label};
use crate::catalog::Catalog;

/// The fields of a request that makes such a picture: as far as they are known here, and valid by themselves. Pictures that it started
/// from are not in the text.
pub fn settings(text: &Infotext, catalog: &dyn Catalog) -> Map<String, Value> {
    let mut fields = Map::new();
    let info = text.get("Model").and_then(|name| catalog.info(name));
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    set("model", info.map(|info| json!(info.name)));
    let (has_prompt, has_settings) = (!text.prompt.is_empty(), text.get("Seed").is_some());
    match info.map_or(ModelKind::TextToImage, |info| info.kind) {
        ModelKind::TextToImage => {
            // Where there are settings, an empty prompt is a prompt.
            set("prompt", (has_prompt || has_settings).then(|| json!(text.prompt)));
            let plain = text.get("Emphasis") == Some("None");
            set("prompt_syntax", (!plain).then(|| json!(PromptSyntax::A1111.name())));
            set("negative_prompt", Some(json!(text.negative_prompt)).filter(|_| !text.negative_prompt.is_empty()));
        }
        ModelKind::ClassConditional => set("class_label", has_prompt.then(|| json!(text.prompt))),
        ModelKind::Unconditional => {}
    }
    set("steps", number::<u32>(text, "Steps"));
    set("guidance_scale", number::<f64>(text, "CFG scale"));
    set("seed", number::<u64>(text, "Seed").map(seed));
    let (width, height) = text.get("Size").and_then(size).unzip();
    set("width", width.map(Value::from));
    set("height", height.map(Value::from));
    let sampler = text.get("Sampler").and_then(|name| SamplerKind::parse(name).ok());
    set("sampler", sampler.map(|(kind, _)| json!(kind.name())));
    set("noise_schedule", sampler.map(|(kind, in_name)| json!(schedule(text, kind, in_name).name())));
    let own = text.get("Version").is_some_and(|version| version.starts_with("x0 "));
    // AUTOMATIC1111's way, which is not every model's here.
    let even = sampler.is_some_and(|(kind, _)| is_of_k_diffusion(kind)) && !own;
    let spacing = text.get(TIMESTEP_SPACING).and_then(TimestepSpacing::from_name).filter(|_| own);
    let spacing = spacing.or(even.then_some(TimestepSpacing::Linspace));
    set("timestep_spacing", spacing.map(|spacing| json!(spacing.name())));
    set("guidance_rescale", number::<f64>(text, GUIDANCE_RESCALE).filter(|_| own));
    // AUTOMATIC1111 counts from 1, and writes it where it is more.
    set("clip_skip", number::<u32>(text, "Clip skip").and_then(|skip| Some(json!(skip.as_u64()?.checked_sub(1)?))));
    set("eta", number::<f64>(text, "Eta"));
    let philox = text.get("RNG") != Some("CPU");
    // Before the prompt's settings there is nothing that would say whose noise it was.
    set("noise_source", (philox && has_settings).then(|| json!("philox")));
    if let (Some(seed_), Some(strength)) =
        (number::<u64>(text, "Variation seed"), number::<f64>(text, "Variation seed strength"))
    {
        set("variation", Some(json!({"seed": seed(seed_), "strength": strength})));
    }
    set("highres", highres(text));
    fields
}

/// A number of this type, as JSON.
fn number<T: std::str::FromStr + Into<Value>>(text: &Infotext, name: &str) -> Option<Value> {
    Some(text.get(name)?.parse::<T>().ok()?.into()).filter(|value| !value.is_null())
}

/// A seed as it is written on the wire.
fn seed(value: Value) -> Value {
    value.as_u64().map_or(Value::Null, |seed| serde_json::to_value(x0_openapi::Seed(seed)).unwrap_or_default())
}

fn size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// The noise schedule, in its own setting or, as older versions have it, at the end of the sampler's name.
fn schedule(text: &Infotext, sampler: SamplerKind, in_name: x0_model::schedule::NoiseSchedule) -> NoiseSchedule {
    let labelled = text.get("Schedule type").and_then(|label| schedule_of(label, sampler));
    labelled.unwrap_or_else(|| crate::validate::noise_schedule_name(in_name))
}

fn highres(text: &Infotext) -> Option<Value> {
    let label = text.get("Hires upscaler")?;
    let upscaler = Upscaler::ALL.iter().find(|upscaler| upscaler_label(**upscaler) == label)?;
    let mut fields = Map::new();
    fields.insert("upscaler".to_owned(), json!(upscaler.name()));
    if let Some((width, height)) = text.get("Hires resize").and_then(size) {
        fields.insert("width".to_owned(), json!(width));
        fields.insert("height".to_owned(), json!(height));
    }
    for (name, setting) in [("scale", "Hires upscale"), ("strength", "Denoising strength")] {
        fields.extend(number::<f64>(text, setting).map(|value| (name.to_owned(), value)));
    }
    fields.extend(number::<u32>(text, "Hires steps").map(|value| ("steps".to_owned(), value)));
    Some(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use x0_openapi::{ResolvedHighres, ResolvedRequest, ResolvedVariation, Seed};

    use super::*;
    use crate::infotext::infotext;
    use crate::samples::{EmptyCatalog, order};

    /// Prompts as people write them: any printable text without a line that begins as another part does.
    fn prompt() -> impl Strategy<Value = String> {
        let line = "[^\\p{C}\\s]([^\\p{C}]{0,40}[^\\p{C}\\s])?";
        prop::collection::vec(line, 1..3)
            .prop_map(|lines| lines.join("\n"))
            .prop_filter("it looks like something else", |text| !text.contains("Negative prompt:"))
    }

    fn request() -> impl Strategy<Value = ResolvedRequest> {
        let variation = prop::option::of((any::<u64>(), 0.01..1.0));
        let highres = prop::option::of((64u32..2048, 64u32..2048, 1u32..99, 0.01..1.0, 0..Upscaler::ALL.len()));
        let numbers = (1u32..1000, 0.0..30.0, any::<u64>(), 8u32..2048, 8u32..2048);
        let sampler =
            (0..SamplerKind::ALL.len(), 0..NoiseSchedule::ALL.len(), any::<bool>(), prop::option::of(1u32..12));
        (prompt(), prop::option::of(prompt()), numbers, sampler, variation, highres).prop_map(
            |(
                prompt,
                negative,
                (steps, guidance, seed, width, height),
                (kind, schedule, philox, skip),
                variation,
                highres,
            )| {
                let kind = SamplerKind::ALL[kind];
                ResolvedRequest {
                    prompt: Some(if skip == Some(3) { String::new() } else { prompt }),
                    negative_prompt: Some(negative.unwrap_or_default()),
                    prompt_syntax: (seed % 2 == 0).then_some(PromptSyntax::A1111),
                    steps,
                    guidance_scale: guidance,
                    guidance_rescale: if seed % 3 == 0 { guidance / 30.0 } else { 0.0 },
                    timestep_spacing: skip.and_then(|skip| TimestepSpacing::ALL.get(skip as usize).copied()),
                    seed: Seed(seed),
                    width,
                    height,
                    sampler: kind.name().to_owned(),
                    noise_schedule: NoiseSchedule::ALL[schedule],
                    eta: kind.has_eta().then_some(0.5),
                    noise_source: philox.then_some(x0_openapi::NoiseSource::Philox),
                    clip_skip: skip,
                    variation: variation.map(|(seed, strength)| ResolvedVariation { seed: Seed(seed), strength }),
                    highres: highres.map(|(width, height, steps, strength, upscaler)| ResolvedHighres {
                        width,
                        height,
                        steps,
                        strength,
                        upscaler: Upscaler::ALL[upscaler],
                    }),
                    ..order(1).resolved().clone()
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// What is written about a picture is read as the request that makes it.
        #[test]
        fn what_is_written_is_read(request in request()) {
            let text = infotext(&request);
            let read = settings(&Infotext::parse(&text), &EmptyCatalog);
            let written = serde_json::to_value(&request).unwrap();
            for field in ["prompt", "prompt_syntax", "steps", "guidance_scale", "timestep_spacing", "seed", "width", "height", "sampler", "noise_schedule", "noise_source",
                "clip_skip", "eta", "variation", "highres"]
            {
                prop_assert_eq!(read.get(field), written.get(field), "{} of {}", field, text);
            }
            let rescale = read.get("guidance_rescale").cloned().unwrap_or_else(|| json!(0.0));
            prop_assert_eq!(&rescale, &written["guidance_rescale"]);
            let negative = read.get("negative_prompt").cloned().unwrap_or_else(|| json!(""));
            prop_assert_eq!(&negative, &written["negative_prompt"]);
        }

        #[test]
        fn any_text_is_read(text in "\\PC{0,200}") {
            settings(&Infotext::parse(&text), &EmptyCatalog);
        }
    }
}
