//! Pixel-space models: the network denoises the picture itself (Ho et al. 2020), whatever it shows or by class.

mod batch;
mod blueprint;
mod slot;

use std::sync::Arc;

use candle_core::Tensor;
use x0_kernels::Pace;

use crate::error::{LoadError, StepError};
use crate::joint_step::joint_step;
use crate::model::StepReport;
use crate::picture::Picture;
use crate::placement::Placement;
use crate::request::Request;
use crate::unet_2d::UNet2DModel;
use batch::Batch;

pub(crate) use blueprint::PixelBlueprint;
pub(crate) use slot::PixelSlot;

/// Of one image's tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    channels: usize,
    height: usize,
    width: usize,
}

/// A pixel-space model with its weights.
#[derive(Debug)]
pub(crate) struct PixelPipeline {
    blueprint: Arc<PixelBlueprint>,
    unet: UNet2DModel,
    pace: Pace,
}

impl PixelPipeline {
    pub(crate) fn load(blueprint: &Arc<PixelBlueprint>, placement: &Placement) -> Result<Self, LoadError> {
        let weights = blueprint.unet_folder().weights(blueprint::WEIGHTS)?.placed(placement);
        let unet = UNet2DModel::new(&weights, &blueprint.unet)?;
        Ok(Self { blueprint: Arc::clone(blueprint), unet, pace: Pace::default() })
    }

    pub(crate) fn blueprint(&self) -> &PixelBlueprint {
        &self.blueprint
    }

    pub(crate) fn begin(&self, request: &Request, image: u32) -> Result<PixelSlot, StepError> {
        PixelSlot::new(&self.blueprint, self.unet.placement(), request, image)
    }

    /// Does the next step of every slot in one network call.
    pub(crate) fn step(&self, slots: &mut [&mut PixelSlot]) -> Vec<Result<StepReport, StepError>> {
        let advance = |slot: &mut PixelSlot, output: &Tensor| slot.advance(output, self.blueprint.shape);
        joint_step(&self.pace, slots, PixelSlot::rows, |slots| self.call(slots), advance)
    }

    /// What the network says about all rows.
    fn call(&self, slots: &[&mut PixelSlot]) -> candle_core::Result<Tensor> {
        let mut batch = Batch::new(&self.unet);
        slots.iter().try_for_each(|slot| slot.push(&mut batch))?;
        batch.run()
    }

    /// The picture as the last step predicted it.
    pub(crate) fn preview(&self, slot: &PixelSlot) -> Result<Picture, StepError> {
        self.picture(slot.state().x0())
    }

    /// The picture of a slot whose last step is done.
    pub(crate) fn decode(&self, slot: &mut PixelSlot) -> Result<Picture, StepError> {
        slot.finish()?;
        self.picture(slot.state().sample())
    }

    /// The picture of a map without its border.
    fn picture(&self, map: &Tensor) -> Result<Picture, StepError> {
        let Shape { height, width, .. } = self.blueprint.shape;
        let crop = self.blueprint.crop;
        let kept = map.narrow(1, crop, height - 2 * crop)?.narrow(2, crop, width - 2 * crop)?.contiguous()?;
        let bytes = x0_kernels::picture_bytes(&kept)?;
        let size = self.blueprint.info().size;
        Ok(Picture { width: size.default_width, height: size.default_height, channels: self.blueprint.channels, bytes })
    }
}
