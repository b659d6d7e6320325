//! The engine's denoiser, made of the library's models. The only file that knows both the engine and the model.

use std::sync::Arc;
use std::time::Duration;

use x0_engine::{Denoiser, Failure, FailureCode, StepReport};
use x0_model::{Cost, Library, Model, ModelInfo, Picture, PreviewDecoder, Request, RequestError, StepError};

use crate::catalog::Catalog;
use crate::validate::Work;

impl Catalog for Library {
    fn infos(&self) -> Vec<&ModelInfo> {
        Library::infos(self).collect()
    }

    fn info(&self, name: &str) -> Option<&ModelInfo> {
        Library::info(self, name)
    }

    fn plan(&self, name: &str, request: &Request) -> Result<Cost, RequestError> {
        Library::plan(self, name, request)
    }

    fn warnings(&self, name: &str, request: &Request) -> Vec<String> {
        Library::warnings(self, name, request)
    }

    fn preview_decoders(&self, name: &str) -> Vec<x0_openapi::PreviewDecoder> {
        Library::preview_decoders(self, name).iter().map(|decoder| name_of(*decoder)).collect()
    }

    fn auto_preview(&self, name: &str, request: &Request) -> x0_openapi::PreviewDecoder {
        name_of(Library::auto_preview(self, name, request))
    }

    fn is_loaded(&self, name: &str) -> bool {
        Library::is_loaded(self, name)
    }

    fn load(&self, name: &str) -> Result<(), String> {
        Library::load(self, name).map(drop).map_err(|error| error.to_string())
    }

    fn load_duration(&self, name: &str) -> Option<Duration> {
        Library::load_duration(self, name)
    }

    fn unload(&self, name: &str) {
        Library::unload(self, name);
    }
}

fn name_of(decoder: PreviewDecoder) -> x0_openapi::PreviewDecoder {
    match decoder {
        PreviewDecoder::Auto => x0_openapi::PreviewDecoder::Auto,
        PreviewDecoder::Linear => x0_openapi::PreviewDecoder::Linear,
        PreviewDecoder::Tiny => x0_openapi::PreviewDecoder::Tiny,
        PreviewDecoder::Full => x0_openapi::PreviewDecoder::Full,
    }
}

/// Makes pictures with whichever model a job names. The weights of a model are read when its first job is admitted.
#[derive(Debug)]
pub struct ModelDenoiser {
    library: Arc<Library>,
}

impl ModelDenoiser {
    pub fn new(library: Arc<Library>) -> Self {
        Self { library }
    }
}

/// One image of one model.
#[derive(Debug)]
pub struct Slot {
    model: Arc<Model>,
    slot: x0_model::Slot,
    preview_decoder: PreviewDecoder,
}

impl Denoiser for ModelDenoiser {
    type Work = Work;
    type Slot = Slot;
    type Picture = Picture;

    fn admit(&mut self, work: &Arc<Work>, image: u32) -> Result<Slot, Failure> {
        let model = self.library.load(&work.model).map_err(|error| {
            // The message names files of the server, which are none of the client's business.
            tracing::error!(model = %work.model, %error, "a model could not be loaded");
            let message = format!("{} could not be loaded", work.model);
            error.device_fault().map_or(Failure { code: FailureCode::ModelError, message }, failure)
        })?;
        let slot = model.begin(&work.request, image).map_err(failure)?;
        let preview_decoder = match work.preview_decoder {
            x0_openapi::PreviewDecoder::Auto | x0_openapi::PreviewDecoder::None => PreviewDecoder::Auto,
            x0_openapi::PreviewDecoder::Linear => PreviewDecoder::Linear,
            x0_openapi::PreviewDecoder::Tiny => PreviewDecoder::Tiny,
            x0_openapi::PreviewDecoder::Full => PreviewDecoder::Full,
        };
        Ok(Slot { model, slot, preview_decoder })
    }

    fn step(&mut self, slots: &mut [&mut Slot]) -> Vec<Result<StepReport, Failure>> {
        // Slots of one batch are of one model: it is part of their batch key.
        let Some(model) = slots.first().map(|slot| slot.model.clone()) else { return Vec::new() };
        let mut batch: Vec<&mut x0_model::Slot> = slots.iter_mut().map(|slot| &mut slot.slot).collect();
        let reports = model.step(&mut batch).into_iter();
        let report = |report: x0_model::StepReport| StepReport { timestep: report.timestep, sigma: report.sigma };
        reports.map(|result| result.map(report).map_err(failure)).collect()
    }

    fn preview(&mut self, slot: &Slot) -> Result<Picture, Failure> {
        slot.model.preview(&slot.slot, slot.preview_decoder).map_err(failure)
    }

    fn decode(&mut self, slot: Slot) -> Result<Picture, Failure> {
        slot.model.decode(slot.slot).map_err(failure)
    }
}

fn failure(error: StepError) -> Failure {
    let code = match &error {
        StepError::NotFinite { .. } => FailureCode::NanOutput,
        StepError::OutOfMemory => FailureCode::OutOfMemory,
        StepError::DeviceLost(_) => FailureCode::DeviceLost,
        StepError::Unfinished { .. } | StepError::Sampler(_) | StepError::Request(_) | StepError::Backend(_) => {
            FailureCode::ModelError
        }
    };
    Failure { code, message: error.to_string() }
}
