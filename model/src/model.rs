//! A model with its weights, and the state of the images that it makes.

use std::sync::Arc;

use crate::error::{LoadError, StepError};
use crate::info::ModelInfo;
use crate::layout::channel_first;
use crate::library::Blueprint;
use crate::picture::Picture;
use crate::pixel::{PixelPipeline, PixelSlot};
use crate::placement::Placement;
use crate::request::Request;
use crate::sampler::SamplerState;
use crate::stable_diffusion::{StableDiffusionPipeline, StableDiffusionSlot};

/// A model with its weights. It does not change: many threads may share it.
#[derive(Debug)]
pub struct Model {
    pipeline: Pipeline,
}

#[derive(Debug)]
enum Pipeline {
    Pixel(Box<PixelPipeline>),
    StableDiffusion(Box<StableDiffusionPipeline>),
}

/// One image on its way from noise to picture: its sample, what its sampler remembers, its random numbers, its condition.
/// The model that began it steps it.
#[derive(Debug)]
pub struct Slot {
    kind: SlotKind,
}

#[derive(Debug)]
enum SlotKind {
    Pixel(Box<PixelSlot>),
    StableDiffusion(Box<StableDiffusionSlot>),
}

/// Where a slot stood in the model call that was just made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// As it was fed to the network: 0..=999 for most models, fractional for some samplers.
    pub timestep: f32,
    /// The noise's standard deviation over the signal's, at most 4096.
    pub sigma: f32,
}

/// How a preview is made of the predicted picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PreviewDecoder {
    /// The best that costs little.
    #[default]
    Auto,
    /// From latent channels to colours by a matrix.
    Linear,
    /// By a small decoder, if the model has one.
    Tiny,
    /// By the model's own decoder.
    Full,
}

impl Model {
    pub(crate) fn load(blueprint: &Blueprint, placement: &Placement) -> Result<Self, LoadError> {
        let pipeline = match blueprint {
            Blueprint::Pixel(blueprint) => Pipeline::Pixel(Box::new(PixelPipeline::load(blueprint, placement)?)),
            Blueprint::StableDiffusion(blueprint) => {
                Pipeline::StableDiffusion(Box::new(StableDiffusionPipeline::load(Arc::clone(blueprint), placement)?))
            }
        };
        Ok(Self { pipeline })
    }

    /// What it is and can do.
    pub fn info(&self) -> &ModelInfo {
        match &self.pipeline {
            Pipeline::Pixel(pipeline) => pipeline.blueprint().info(),
            Pipeline::StableDiffusion(pipeline) => pipeline.blueprint().info(),
        }
    }

    /// Begins image `image` (from 0) of a request: draws its noise, from the seed `request.seed + image`, and encodes its condition.
    ///
    /// # Errors
    /// If the model cannot serve the request; [`crate::Library::plan`] says so beforehand.
    pub fn begin(&self, request: &Request, image: u32) -> Result<Slot, StepError> {
        let kind = match &self.pipeline {
            Pipeline::Pixel(pipeline) => SlotKind::Pixel(Box::new(pipeline.begin(request, image)?)),
            Pipeline::StableDiffusion(pipeline) => SlotKind::StableDiffusion(Box::new(pipeline.begin(request, image)?)),
        };
        Ok(Slot { kind })
    }

    /// Makes the next model call of every slot, all in one call of the network. The slots are of this model, of one tensor size
    /// and, if they have texts, of as many tokens ([`crate::Cost`] says them); they may differ in everything else. What a slot becomes does not depend on its neighbours.
    ///
    /// The answer has an entry for each slot, in order: an error if its prediction is not finite, if it was done already, or if
    /// the call failed as a whole. A slot that failed cannot go on.
    pub fn step(&self, slots: &mut [&mut Slot]) -> Vec<Result<StepReport, StepError>> {
        let count = slots.len();
        let reports = match &self.pipeline {
            Pipeline::Pixel(pipeline) => slots
                .iter_mut()
                .map(|slot| slot.kind.pixel())
                .collect::<Option<Vec<_>>>()
                .map(|mut own| pipeline.step(&mut own)),
            Pipeline::StableDiffusion(pipeline) => slots
                .iter_mut()
                .map(|slot| slot.kind.stable_diffusion())
                .collect::<Option<Vec<_>>>()
                .map(|mut own| pipeline.step(&mut own)),
        };
        reports.unwrap_or_else(|| (0..count).map(|_| Err(foreign())).collect())
    }

    /// The finished picture as the last step predicted it; gray before the first step. A pixel-space model's prediction is a
    /// picture already, so every decoder gives the same; a latent one's may be smaller than the picture.
    ///
    /// # Errors
    /// If the network fails.
    pub fn preview(&self, slot: &Slot, decoder: PreviewDecoder) -> Result<Picture, StepError> {
        match (&self.pipeline, &slot.kind) {
            (Pipeline::Pixel(pipeline), SlotKind::Pixel(slot)) => pipeline.preview(slot),
            (Pipeline::StableDiffusion(pipeline), SlotKind::StableDiffusion(slot)) => pipeline.preview(slot, decoder),
            (Pipeline::Pixel(_) | Pipeline::StableDiffusion(_), _) => Err(foreign()),
        }
    }

    /// The picture of a slot whose last step is done.
    ///
    /// # Errors
    /// If it is not done, or the network fails.
    pub fn decode(&self, mut slot: Slot) -> Result<Picture, StepError> {
        if !slot.is_done() {
            return Err(StepError::Unfinished { done: slot.steps_done(), calls: slot.calls() });
        }
        match (&self.pipeline, &mut slot.kind) {
            (Pipeline::Pixel(pipeline), SlotKind::Pixel(slot)) => pipeline.decode(slot),
            (Pipeline::StableDiffusion(pipeline), SlotKind::StableDiffusion(slot)) => pipeline.decode(slot),
            (Pipeline::Pixel(_) | Pipeline::StableDiffusion(_), _) => Err(foreign()),
        }
    }
}

/// A slot that another model began.
fn foreign() -> StepError {
    candle_core::Error::msg("the slot was begun by a model of another kind").into()
}

impl SlotKind {
    fn pixel(&mut self) -> Option<&mut PixelSlot> {
        match self {
            Self::Pixel(slot) => Some(slot),
            Self::StableDiffusion(_) => None,
        }
    }

    fn stable_diffusion(&mut self) -> Option<&mut StableDiffusionSlot> {
        match self {
            Self::StableDiffusion(slot) => Some(slot),
            Self::Pixel(_) => None,
        }
    }
}

impl Slot {
    /// Whether its last step is done, so that it can be decoded.
    pub fn is_done(&self) -> bool {
        self.steps_done() == self.calls()
    }

    /// How often it was stepped.
    pub fn steps_done(&self) -> u32 {
        match &self.kind {
            SlotKind::Pixel(slot) => slot.state().sampler().position() as u32,
            SlotKind::StableDiffusion(slot) => slot.calls_made() as u32,
        }
    }

    /// How many steps it needs in all: the model calls, which some samplers have more of than the request has steps.
    pub fn calls(&self) -> u32 {
        match &self.kind {
            SlotKind::Pixel(slot) => slot.state().sampler().calls() as u32,
            SlotKind::StableDiffusion(slot) => slot.calls() as u32,
        }
    }

    /// The sample at its present noise level, in torch's order (channels, height, width).
    ///
    /// # Errors
    /// If the device fails.
    pub fn sample(&self) -> Result<Vec<f32>, StepError> {
        Ok(channel_first(self.state().sample())?)
    }

    /// The clean sample x₀ as the last step predicted it, in the same order; zeros before the first step.
    ///
    /// # Errors
    /// If the device fails.
    pub fn predicted_x0(&self) -> Result<Vec<f32>, StepError> {
        Ok(channel_first(self.state().x0())?)
    }

    fn state(&self) -> &SamplerState {
        match &self.kind {
            SlotKind::Pixel(slot) => slot.state(),
            SlotKind::StableDiffusion(slot) => slot.state(),
        }
    }
}
