//! A request that can be carried out.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;
use x0_engine::{BatchKey, Job, JobId, SecondPass, Tenant};
use x0_model::{Cost, Picture, Request};
use x0_openapi::{
    GenerationRecord, GenerationRequest, ImageFormat, OutputRequest, PreviewDecoder, Priority, Progress,
    ResolvedPreview, ResolvedRequest, ResolvedVariation, Seed, State, Timings, VariationRequest,
};

use crate::infotext::infotext;
use crate::picture::{DigitalSource, Encoding, Overlay, Provenance};

/// A request with every default filled in, checked against the server's limits and its model.
#[derive(Clone, Debug)]
pub struct Order {
    work: Arc<Work>,
    cost: Cost,
    resolved: ResolvedRequest,
    warnings: Vec<String>,
    /// What the finished pictures are laid into.
    overlay: Option<Arc<Overlay>>,
    /// The request as it was asked, with its pictures.
    asked: Arc<GenerationRequest>,
}

/// What the denoiser needs to know of a job.
#[derive(Clone, Debug)]
pub struct Work {
    pub model: Arc<str>,
    pub request: Request,
    /// How previews are made, if any are.
    pub preview_decoder: PreviewDecoder,
}

impl Work {
    pub(crate) fn new(model: &str, request: Request, preview: Option<ResolvedPreview>) -> Self {
        let preview_decoder = preview.map_or(PreviewDecoder::None, |preview| preview.decoder);
        Self { model: model.into(), request, preview_decoder }
    }
}

impl Order {
    pub(crate) fn new(work: Work, cost: Cost, resolved: ResolvedRequest, warnings: Vec<String>) -> Self {
        Self { work: Arc::new(work), cost, resolved, warnings, overlay: None, asked: Arc::default() }
    }

    /// The same order, which remembers what was asked. Pictures that were named by their address have to be in it.
    pub(crate) fn asked(self, request: GenerationRequest) -> Self {
        Self { asked: Arc::new(request), ..self }
    }

    /// A request that makes the same pictures at another time, whatever has become of the defaults, and has its pictures in it. The order
    /// does not remember it any longer.
    pub fn take_request(&mut self) -> GenerationRequest {
        let asked = Arc::unwrap_or_clone(std::mem::take(&mut self.asked));
        let resolved = self.resolved.clone();
        let variation_seed = resolved.variation.map(|variation| variation.seed);
        GenerationRequest {
            model: Some(resolved.model),
            n: Some(i64::from(resolved.n)),
            seed: Some(resolved.seed),
            width: Some(i64::from(resolved.width)),
            height: Some(i64::from(resolved.height)),
            steps: Some(i64::from(resolved.steps)),
            guidance_scale: Some(resolved.guidance_scale),
            guidance_rescale: Some(resolved.guidance_rescale),
            sampler: Some(resolved.sampler),
            noise_schedule: Some(resolved.noise_schedule),
            timestep_spacing: resolved.timestep_spacing,
            eta: resolved.eta,
            noise_source: resolved.noise_source,
            clip_skip: resolved.clip_skip.map(i64::from),
            strength: resolved.strength,
            variation: asked.variation.map(|asked| VariationRequest { seed: variation_seed, ..asked }),
            output: Some(OutputRequest { format: Some(resolved.output.format), ..asked.output.unwrap_or_default() }),
            on_disconnect: Some(resolved.on_disconnect),
            ..asked
        }
    }

    /// The same order, whose finished pictures are laid into another one.
    pub(crate) fn laid_into(self, overlay: Option<Overlay>) -> Self {
        Self { overlay: overlay.map(Arc::new), ..self }
    }

    /// What becomes of a picture that the model has finished.
    pub fn finishing(&self) -> impl FnOnce(Picture) -> Picture + Send + 'static {
        let overlay = self.overlay.clone();
        move |picture| match overlay {
            Some(overlay) => overlay.lay(&picture),
            None => picture,
        }
    }

    /// The same pictures as several orders of at most `size` images each, at least one.
    pub fn split(self, size: u32) -> Vec<Self> {
        let (n, size) = (self.resolved.n, size.max(1));
        let part = |first: u32| {
            let mut resolved = request_of_image(&self.resolved, first);
            resolved.n = size.min(n - first);
            let mut work = Work::clone(&self.work);
            work.request.seed = resolved.seed.0;
            if let (Some(variation), Some(resolved)) = (&mut work.request.variation, resolved.variation) {
                variation.seed = resolved.seed.0;
            }
            Self { work: Arc::new(work), resolved, ..self.clone() }
        };
        (0..n).step_by(size as usize).map(part).collect()
    }

    /// The seed of image `index`.
    pub fn seed(&self, index: u32) -> Seed {
        image_seed(&self.resolved, index)
    }

    pub fn resolved(&self) -> &ResolvedRequest {
        &self.resolved
    }

    /// The record of a generation that is about to be accepted.
    pub fn record(&self, id: Uuid, now: Timestamp) -> GenerationRecord {
        GenerationRecord {
            id,
            state: State::Queued,
            model: self.resolved.model.clone(),
            position: None,
            eta_seconds: None,
            progress: Progress { step: 0, steps: self.cost.all_calls() * self.resolved.n },
            request: self.resolved.clone(),
            images: Vec::new(),
            warnings: self.warnings.clone(),
            error: None,
            timings: Timings::default(),
            created_at: now,
            started_at: None,
            finished_at: None,
        }
    }

    /// What it costs: images times pixels times model calls. A second pass has as many times more pixels as its tensor has more cells.
    pub fn pixel_steps(&self) -> u64 {
        let ResolvedRequest { n, width, height, .. } = &self.resolved;
        let cells = |height: u32, width: u32| u64::from(height) * u64::from(width);
        let first = cells(self.cost.tensor_height, self.cost.tensor_width).max(1);
        let second = self
            .cost
            .second_pass
            .map_or(0, |second| cells(second.tensor_height, second.tensor_width) * u64::from(second.calls));
        let all_cells = first * u64::from(self.cost.calls) + second;
        u64::from(*n) * (u128::from(cells(*height, *width)) * u128::from(all_cells) / u128::from(first)) as u64
    }

    /// The same for the engine. A deadline counts from when it was accepted.
    pub fn job(&self, id: Uuid, tenant: Tenant, accepted: Instant) -> Job<Work> {
        let Cost { calls, rows, tensor_height: height, tensor_width: width, context, second_pass } = self.cost;
        let model = &self.work.model;
        let key = |height, width| BatchKey { model: model.clone(), height, width, context };
        let second_pass = second_pass.map(|second| SecondPass {
            key: key(second.tensor_height, second.tensor_width),
            steps: at_least_one(second.calls),
        });
        Job {
            id: JobId(id.as_u128()),
            key: key(height, width),
            tenant,
            priority: match self.resolved.priority {
                Priority::Low => x0_engine::Priority::Low,
                Priority::Normal => x0_engine::Priority::Normal,
                Priority::High => x0_engine::Priority::High,
            },
            images: at_least_one(self.resolved.n),
            steps: at_least_one(calls),
            second_pass,
            rows: at_least_one(rows),
            preview_every: self.resolved.preview.and_then(|preview| NonZeroU32::new(preview.every)),
            deadline: self.resolved.deadline_seconds.map(|seconds| accepted + Duration::from_secs_f64(seconds)),
            work: self.work.clone(),
        }
    }

    /// How an image of this order is written.
    pub fn encoding(&self, index: u32) -> Encoding {
        let output = self.resolved.output;
        let text = output.metadata.unwrap_or(false).then(|| Box::new(self.provenance(index)));
        match output.format {
            ImageFormat::Png => Encoding::Png { text },
            ImageFormat::Jpeg => Encoding::Jpeg { quality: output.quality.unwrap_or(90).min(100) as u8, text },
            ImageFormat::Webp => Encoding::Webp { text },
        }
    }

    fn provenance(&self, index: u32) -> Provenance {
        Provenance {
            request: self.receipt(index),
            infotext: infotext(&request_of_image(&self.resolved, index)),
            source: match self.resolved.mask_image {
                None => DigitalSource::TrainedAlgorithmicMedia,
                Some(_) => DigitalSource::CompositeWithTrainedAlgorithmicMedia,
            },
        }
    }

    /// What makes the same picture again, as JSON: the request for this image alone, without what does not change the picture.
    fn receipt(&self, index: u32) -> String {
        let request = request_of_image(&self.resolved, index);
        // Sorted by name, whatever features serde_json was built with: the file's bytes must not depend on them.
        let fields: BTreeMap<String, Value> =
            serde_json::to_value(request).and_then(serde_json::from_value).unwrap_or_default();
        let makes_no_difference = ["n", "preview", "output", "priority", "deadline_seconds", "on_disconnect"];
        let fields: BTreeMap<_, _> =
            fields.into_iter().filter(|(name, _)| !makes_no_difference.contains(&name.as_str())).collect();
        serde_json::to_string(&fields).unwrap_or_default()
    }
}

/// The request for one of the images alone.
pub fn request_of_image(request: &ResolvedRequest, index: u32) -> ResolvedRequest {
    let variation = request.variation.map(|variation| ResolvedVariation {
        seed: Seed(variation.seed.0.wrapping_add(u64::from(index))),
        ..variation
    });
    ResolvedRequest { n: 1, seed: image_seed(request, index), variation, ..request.clone() }
}

/// Variations of one picture share its seed.
fn image_seed(request: &ResolvedRequest, index: u32) -> Seed {
    match request.variation {
        Some(_) => request.seed,
        None => Seed(request.seed.0.wrapping_add(u64::from(index))),
    }
}

/// Models never plan nothing, so this changes no number.
fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
