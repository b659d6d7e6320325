//! What the tests of several modules begin with.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;
use x0_model::sampler::{SamplerKind, SamplerSpec};
use x0_model::{Conditioning, Cost, ModelInfo, Request, RequestError};
use x0_openapi::{
    GenerationRecord, ImageFormat, NoiseSchedule, OnDisconnect, PreviewDecoder, Priority, ResolvedOutput,
    ResolvedRequest, Seed,
};

use crate::catalog::Catalog;
use crate::validate::{Order, Work};

/// Steps of every image.
pub(crate) const STEPS: u32 = 3;
const SIDE: u32 = 8;

/// A request of `n` images for a model that takes nothing but a seed.
fn resolved(n: u32) -> ResolvedRequest {
    ResolvedRequest {
        model: "toy".to_owned(),
        prompt: None,
        negative_prompt: None,
        prompt_syntax: None,
        class_label: None,
        n,
        seed: Seed(7),
        width: SIDE,
        height: SIDE,
        steps: STEPS,
        guidance_scale: 1.0,
        guidance_rescale: 0.0,
        sampler: "ddim".to_owned(),
        noise_schedule: NoiseSchedule::Default,
        timestep_spacing: None,
        eta: None,
        noise_source: None,
        clip_skip: None,
        variation: None,
        highres: None,
        init_image: None,
        init_resize: None,
        mask_image: None,
        inpaint: None,
        strength: None,
        preview: None,
        output: ResolvedOutput { format: ImageFormat::Png, quality: None, metadata: Some(true), inline: false },
        priority: Priority::Normal,
        deadline_seconds: None,
        on_disconnect: OnDisconnect::Keep,
    }
}

/// An order of `n` images.
pub(crate) fn order(n: u32) -> Order {
    order_with(n, |_| {})
}

/// An order of `n` images whose request says something else, of what makes no other picture.
pub(crate) fn order_with(n: u32, change: impl FnOnce(&mut ResolvedRequest)) -> Order {
    let mut resolved = resolved(n);
    change(&mut resolved);
    let request = Request {
        conditioning: Conditioning::None,
        seed: 7,
        width: SIDE,
        height: SIDE,
        steps: STEPS,
        guidance_scale: 1.0,
        guidance_rescale: 0.0,
        sampler: SamplerSpec::from(SamplerKind::Ddim),
        noise_source: Default::default(),
        clip_skip: None,
        variation: None,
        init: None,
        highres: None,
    };
    let cost = Cost { calls: STEPS, rows: 1, tensor_height: SIDE, tensor_width: SIDE, context: 0, second_pass: None };
    Order::new(Work::new("toy", request, None), cost, resolved, Vec::new())
}

/// The record of a new generation of `n` images.
pub(crate) fn record(n: u32) -> GenerationRecord {
    order(n).record(Uuid::now_v7(), Timestamp::now())
}

/// A server without models.
#[derive(Debug)]
pub(crate) struct EmptyCatalog;

impl Catalog for EmptyCatalog {
    fn infos(&self) -> Vec<&ModelInfo> {
        Vec::new()
    }

    fn info(&self, _: &str) -> Option<&ModelInfo> {
        None
    }

    fn plan(&self, _: &str, _: &Request) -> Result<Cost, RequestError> {
        Err(RequestError { field: "model", message: "there are no models".to_owned() })
    }

    fn warnings(&self, _: &str, _: &Request) -> Vec<String> {
        Vec::new()
    }

    fn preview_decoders(&self, _: &str) -> Vec<PreviewDecoder> {
        Vec::new()
    }

    fn auto_preview(&self, _: &str, _: &Request) -> PreviewDecoder {
        PreviewDecoder::Full
    }

    fn is_loaded(&self, _: &str) -> bool {
        false
    }

    fn load(&self, name: &str) -> Result<(), String> {
        Err(format!("there is no model {name}"))
    }

    fn load_duration(&self, _: &str) -> Option<Duration> {
        None
    }

    fn unload(&self, _: &str) {}
}
