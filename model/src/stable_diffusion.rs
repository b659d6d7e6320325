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

use crate::error::{LoadError, StepError};
use crate::guidance::Guidance;
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
}

impl StableDiffusionPipeline {
    pub(crate) fn load(blueprint: Arc<StableDiffusionBlueprint>, placement: &Placement) -> Result<Self, LoadError> {
        let networks = blueprint.load(placement)?;
        let previews = Previews::new(&blueprint);
        Ok(Self { blueprint, networks, conditions: ConditionCache::default(), previews })
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
        match self.call(slots) {
            Ok((output, row)) => {
                let mut rows = output.chunks_exact(row);
                let reports: Vec<_> = slots.iter_mut().map(|slot| slot.advance(&mut rows)).collect();
                let pass_on = |(slot, report): (&mut &mut StableDiffusionSlot, Result<StepReport, StepError>)| {
                    let report = report?;
                    slot.pass_on(&self.networks)?;
                    Ok(report)
                };
                x0_kernels::install(|| slots.iter_mut().zip(reports).map(pass_on).collect())
            }
            // The network failed as a whole, and so does every slot.
            Err(error) => slots.iter().map(|_| Err(candle_core::Error::msg(&error).into())).collect(),
        }
    }

    /// What the network says about all rows, and how many numbers that is for each.
    fn call(&self, slots: &[&mut StableDiffusionSlot]) -> candle_core::Result<(Vec<f32>, usize)> {
        let Some(shape) = slots.first().map(|slot| slot.shape()) else { return Ok((Vec::new(), 1)) };
        if slots.iter().any(|slot| slot.shape() != shape) {
            candle_core::bail!("images of different sizes cannot be stepped together");
        }
        if slots.iter().any(|slot| slot.context() != slots[0].context()) {
            candle_core::bail!("images with texts of different lengths cannot be stepped together");
        }
        let mut batch = Batch::new(shape, slots.iter().map(|slot| slot.rows()).sum());
        slots.iter().for_each(|slot| slot.push(&mut batch));
        let row = shape.area() * self.networks.unet.config().out_channels;
        Ok((batch.run(&self.networks.unet)?, row))
    }

    /// The picture as the last step predicted it.
    pub(crate) fn preview(&self, slot: &StableDiffusionSlot, decoder: PreviewDecoder) -> Result<Picture, StepError> {
        x0_kernels::install(|| Ok(self.previews.make(&self.networks, slot.codec(), &slot.predicted_x0(), decoder)?))
    }

    /// The picture of a slot whose last step is done.
    pub(crate) fn decode(&self, slot: &StableDiffusionSlot) -> Result<Picture, StepError> {
        x0_kernels::install(|| Ok(slot.codec().decode(&self.networks, slot.state().sample())?))
    }
}
