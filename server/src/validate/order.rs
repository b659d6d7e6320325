//! A request that can be carried out.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;
use x0_engine::{BatchKey, Job, JobId, Tenant};
use x0_model::{Cost, Request};
use x0_openapi::{
    GenerationRecord, ImageFormat, PreviewDecoder, Priority, Progress, ResolvedPreview, ResolvedRequest, State, Timings,
};

use crate::picture::Encoding;

/// A request with every default filled in, checked against the server's limits and its model.
#[derive(Clone, Debug)]
pub struct Order {
    work: Arc<Work>,
    cost: Cost,
    resolved: ResolvedRequest,
    warnings: Vec<String>,
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
        Self { work: Arc::new(work), cost, resolved, warnings }
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
            progress: Progress { step: 0, steps: self.cost.calls * self.resolved.n },
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

    /// The same for the engine.
    pub fn job(&self, id: Uuid, now: Instant) -> Job<Work> {
        let Cost { calls, rows, tensor_height: height, tensor_width: width, context } = self.cost;
        Job {
            id: JobId(id.as_u128()),
            key: BatchKey { model: self.work.model.clone(), height, width, context },
            tenant: Tenant(0),
            priority: match self.resolved.priority {
                Priority::Low => x0_engine::Priority::Low,
                Priority::Normal => x0_engine::Priority::Normal,
                Priority::High => x0_engine::Priority::High,
            },
            images: at_least_one(self.resolved.n),
            steps: at_least_one(calls),
            rows: at_least_one(rows),
            preview_every: self.resolved.preview.and_then(|preview| NonZeroU32::new(preview.every)),
            deadline: self.resolved.deadline_seconds.map(|seconds| now + Duration::from_secs_f64(seconds)),
            work: self.work.clone(),
        }
    }

    /// How an image of this order is written.
    pub fn encoding(&self, index: u32) -> Encoding {
        let output = self.resolved.output;
        match output.format {
            ImageFormat::Png => Encoding::Png { text: output.metadata.unwrap_or(false).then(|| self.receipt(index)) },
            ImageFormat::Jpeg => Encoding::Jpeg { quality: output.quality.unwrap_or(90).min(100) as u8 },
            ImageFormat::Webp => Encoding::Webp,
        }
    }

    /// What makes the same picture again, as JSON: the request for this image alone, without what does not change the picture.
    fn receipt(&self, index: u32) -> String {
        let mut request = self.resolved.clone();
        request.n = 1;
        request.seed.0 = request.seed.0.wrapping_add(u64::from(index));
        // Sorted by name, whatever features serde_json was built with: the file's bytes must not depend on them.
        let fields: BTreeMap<String, Value> =
            serde_json::to_value(request).and_then(serde_json::from_value).unwrap_or_default();
        let makes_no_difference = ["n", "preview", "output", "priority", "deadline_seconds", "on_disconnect"];
        let fields: BTreeMap<_, _> =
            fields.into_iter().filter(|(name, _)| !makes_no_difference.contains(&name.as_str())).collect();
        serde_json::to_string(&fields).unwrap_or_default()
    }
}

/// Models never plan nothing, so this changes no number.
fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
