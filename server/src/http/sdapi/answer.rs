//! What a request for pictures is answered.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use x0_model::sampler::SamplerKind;
use x0_openapi::{GenerationRecord, ResolvedRequest, SdapiInfo, Seed};

use crate::infotext::{VERSION, infotext, schedule_label};
use crate::validate::request_of_image;

/// How the pictures of some generations were made. They come from one request, and differ in their seeds alone.
pub(super) fn info(records: &[GenerationRecord], subseed: Option<Seed>) -> Option<SdapiInfo> {
    let first = records.first()?;
    let request = &first.request;
    let images: Vec<ResolvedRequest> = records
        .iter()
        .flat_map(|record| record.images.iter().map(|image| request_of_image(&record.request, image.index)))
        .collect();
    let prompt = request.prompt.clone().or_else(|| request.class_label.clone()).unwrap_or_default();
    let negative_prompt = request.negative_prompt.clone().unwrap_or_default();
    let none = subseed.map_or(json!(-1), |seed| json!(seed));
    let subseed_of = |request: &ResolvedRequest| request.variation.map_or_else(|| none.clone(), |v| json!(v.seed));
    let sampler = SamplerKind::parse(&request.sampler).ok().map(|(kind, _)| kind);
    let mut further = Map::new();
    if let Some(sampler) = sampler {
        further.insert("Schedule type".to_owned(), json!(schedule_label(request.noise_schedule, sampler)));
    }
    Some(SdapiInfo {
        all_prompts: vec![prompt.clone(); images.len()],
        prompt,
        all_negative_prompts: vec![negative_prompt.clone(); images.len()],
        negative_prompt,
        seed: request.seed,
        all_seeds: images.iter().map(|image| image.seed).collect(),
        subseed: subseed_of(request),
        all_subseeds: images.iter().map(subseed_of).collect(),
        subseed_strength: request.variation.map_or(0.0, |variation| variation.strength),
        width: request.width,
        height: request.height,
        sampler_name: sampler.map_or(request.sampler.as_str(), |sampler| sampler.label()).to_owned(),
        cfg_scale: request.guidance_scale,
        steps: request.steps,
        batch_size: request.n,
        restore_faces: false,
        face_restoration_model: None,
        sd_model_name: first.model.clone(),
        sd_model_hash: None,
        sd_vae_name: None,
        sd_vae_hash: None,
        seed_resize_from_w: -1,
        seed_resize_from_h: -1,
        denoising_strength: request.strength.or(request.highres.map(|highres| highres.strength)),
        extra_generation_params: further,
        index_of_first_image: 0,
        infotexts: images.iter().map(infotext).collect(),
        styles: Vec::new(),
        job_timestamp: timestamp(first.created_at),
        clip_skip: request.clip_skip.unwrap_or(0) + 1,
        is_using_inpainting_conditioning: false,
        version: VERSION.to_owned(),
    })
}

/// A time as AUTOMATIC1111 writes it, in UTC.
pub(super) fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y%m%d%H%M%S").to_string()
}

/// The request as it came, without its pictures.
pub(super) fn echo(json: &Value, with_pictures: bool) -> Value {
    let mut echo = json.clone();
    if let Some(fields) = echo.as_object_mut().filter(|_| !with_pictures) {
        for picture in ["init_images", "mask"] {
            if let Some(value) = fields.get_mut(picture) {
                *value = Value::Null;
            }
        }
    }
    echo
}
