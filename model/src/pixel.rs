//! Pixel-space models: the network denoises the picture itself (Ho et al. 2020), whatever it shows or by class.

mod batch;
mod blueprint;
mod slot;

use std::sync::Arc;

use crate::error::{LoadError, StepError};
use crate::layout::push_channel_last;
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

impl Shape {
    fn area(self) -> usize {
        self.height * self.width
    }

    fn len(self) -> usize {
        self.channels * self.area()
    }
}

/// A pixel-space model with its weights.
#[derive(Debug)]
pub(crate) struct PixelPipeline {
    blueprint: Arc<PixelBlueprint>,
    unet: UNet2DModel,
}

impl PixelPipeline {
    pub(crate) fn load(blueprint: &Arc<PixelBlueprint>, placement: &Placement) -> Result<Self, LoadError> {
        let weights = blueprint.unet_folder().weights(blueprint::WEIGHTS)?.placed(placement);
        let unet = UNet2DModel::new(&weights, &blueprint.unet)?;
        Ok(Self { blueprint: Arc::clone(blueprint), unet })
    }

    pub(crate) fn blueprint(&self) -> &PixelBlueprint {
        &self.blueprint
    }

    pub(crate) fn begin(&self, request: &Request, image: u32) -> Result<PixelSlot, StepError> {
        PixelSlot::new(&self.blueprint, request, image)
    }

    /// Does the next step of every slot in one network call.
    pub(crate) fn step(&self, slots: &mut [&mut PixelSlot]) -> Vec<Result<StepReport, StepError>> {
        let shape = self.blueprint.shape;
        let mut batch = Batch::with_capacity(shape, 2 * slots.len());
        slots.iter().for_each(|slot| slot.push(&mut batch));
        match batch.run(&self.unet) {
            Ok(output) => {
                let mut rows = output.chunks_exact(self.unet.config().out_channels * shape.area());
                slots.iter_mut().map(|slot| slot.advance(&mut rows, shape)).collect()
            }
            // The call failed as a whole, and so did every slot in it.
            Err(error) => slots.iter().map(|_| Err(candle_core::Error::msg(&error).into())).collect(),
        }
    }

    /// The picture of a tensor, channel after channel, without its border.
    pub(crate) fn picture(&self, values: &[f32]) -> Picture {
        let Shape { channels, height, width } = self.blueprint.shape;
        let crop = self.blueprint.crop;
        let mut pixels = Vec::with_capacity(values.len());
        push_channel_last(values, channels, 1.0, &mut pixels);
        let inner = crop * channels..(width - crop) * channels;
        let lines = pixels.chunks_exact(width * channels).skip(crop).take(height - 2 * crop);
        let kept: Vec<f32> = lines.flat_map(|line| &line[inner.clone()]).copied().collect();
        let size = self.blueprint.info().size;
        Picture::from_signed(&kept, size.default_width, size.default_height, self.blueprint.channels)
    }
}
