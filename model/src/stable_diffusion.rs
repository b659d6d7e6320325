//! Stable Diffusion 1, 2 and XL (Rombach et al. 2022; Podell et al. 2023): text-to-image, image-to-image and inpainting, as
//! diffusers' pipelines do them.

mod batch;
mod blueprint;
mod chunks;
mod components;
mod conditions;
mod cost;
mod enlarge;
mod fit;
mod interpolate;
mod latents;
mod linear;
mod maps;
mod preview;
mod slot;
mod source;
mod start;
mod text;

use std::sync::Arc;

use candle_core::Tensor;
use x0_kernels::Pace;

use crate::error::{LoadError, StepError};
use crate::guidance::Guidance;
use crate::joint_step::joint_step;
use crate::model::{PreviewDecoder, StepReport};
use crate::noise::Seeds;
use crate::picture::Picture;
use crate::placement::Placement;
use crate::request::Request;
use batch::Batch;
use components::Networks;
use conditions::ConditionCache;
use enlarge::Enlargement;
use preview::Previews;

pub(crate) use blueprint::StableDiffusionBlueprint;
pub(crate) use components::{AutoencoderConfig, ComponentWeights, Components, Kind, TextEncoderConfig};
pub(crate) use slot::StableDiffusionSlot;
pub(crate) use source::Source;

/// A Stable Diffusion model with its weights.
#[derive(Debug)]
pub(crate) struct StableDiffusionPipeline {
    blueprint: Arc<StableDiffusionBlueprint>,
    networks: Networks,
    conditions: ConditionCache,
    previews: Previews,
    pace: Pace,
}

impl StableDiffusionPipeline {
    pub(crate) fn load(blueprint: Arc<StableDiffusionBlueprint>, placement: &Placement) -> Result<Self, LoadError> {
        let networks = blueprint.load(placement)?;
        let previews = Previews::new(&blueprint);
        Ok(Self { blueprint, networks, conditions: ConditionCache::default(), previews, pace: Pace::default() })
    }

    pub(crate) fn blueprint(&self) -> &StableDiffusionBlueprint {
        &self.blueprint
    }

    /// Image `image` of a request: encodes its texts and its picture, and draws its noise from the seed `request.seed + image`.
    pub(crate) fn begin(&self, request: &Request, image: u32) -> Result<StableDiffusionSlot, StepError> {
        let parsed = self.blueprint.parse(request)?;
        let seeds = Seeds::new(request, image);
        let mut generator = seeds.generator();
        let guidance = Guidance { scale: request.guidance_scale, rescale: request.guidance_rescale };
        let (networks, kind) = (&self.networks, self.blueprint.kind());
        let (codec, sampler, second_pass) = (parsed.codec, parsed.sampler, parsed.second_pass);
        x0_kernels::install(|| {
            let conditions = self.conditions.get(networks, kind, &parsed.condition)?;
            let start_from = StableDiffusionBlueprint::start_from(request, parsed.mode)?;
            let start = start_from.begin(networks, codec, sampler, seeds, &mut generator)?;
            let enlargement = match second_pass {
                None => None,
                Some(pass) => {
                    let conditions =
                        self.conditions.get(networks, kind, &parsed.condition.at(&pass, networks, kind))?;
                    Some(Enlargement { pass, seeds, conditions })
                }
            };
            Ok(StableDiffusionSlot::new(start, generator, conditions, guidance, codec, enlargement))
        })
    }

    /// Makes the next network call of every slot, all in one.
    pub(crate) fn step(&self, slots: &mut [&mut StableDiffusionSlot]) -> Vec<Result<StepReport, StepError>> {
        let advance = |slot: &mut StableDiffusionSlot, output: &Tensor| {
            let report = slot.advance(output)?;
            slot.pass_on(&self.networks).map_err(StepError::after_step)?;
            Ok(report)
        };
        joint_step(&self.pace, slots, StableDiffusionSlot::rows, |slots| self.call(slots), advance)
    }

    /// What the network says about all rows.
    fn call(&self, slots: &[&mut StableDiffusionSlot]) -> candle_core::Result<Tensor> {
        let Some(shape) = slots.first().map(|slot| slot.shape()) else {
            candle_core::bail!("there is nothing to step")
        };
        if slots.iter().any(|slot| slot.shape() != shape) {
            candle_core::bail!("images of different sizes cannot be stepped together");
        }
        if slots.iter().any(|slot| slot.context() != slots[0].context()) {
            candle_core::bail!("images with texts of different lengths cannot be stepped together");
        }
        let mut batch = Batch::new(&self.networks.unet);
        slots.iter().try_for_each(|slot| slot.push(&mut batch))?;
        batch.run()
    }

    /// The picture as the last step predicted it.
    pub(crate) fn preview(&self, slot: &StableDiffusionSlot, decoder: PreviewDecoder) -> Result<Picture, StepError> {
        x0_kernels::install(|| Ok(self.previews.make(&self.networks, slot.codec(), &slot.predicted_x0()?, decoder)?))
    }

    /// The picture of a slot whose last step is done.
    pub(crate) fn decode(&self, slot: &mut StableDiffusionSlot) -> Result<Picture, StepError> {
        x0_kernels::install(|| {
            slot.finish()?;
            Ok(slot.codec().decode(&self.networks, slot.state().sample())?)
        })
    }
}
