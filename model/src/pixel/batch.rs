//! The rows of one network call.

use candle_core::Result;

use super::Shape;
use crate::layout::push_channel_last;
use crate::placement::numbers;
use crate::sampler::ModelCall;
use crate::unet_2d::{Classes, UNet2DModel};

/// What the network is given: rows of many images, each at a timestep of its own.
#[derive(Debug)]
pub(super) struct Batch {
    shape: Shape,
    pixels: Vec<f32>,
    timesteps: Vec<f32>,
    /// One for each row, of a class-conditional model.
    labels: Vec<u32>,
}

impl Batch {
    pub(super) fn with_capacity(shape: Shape, rows: usize) -> Self {
        let pixels = Vec::with_capacity(rows * shape.len());
        Self { shape, pixels, timesteps: Vec::with_capacity(rows), labels: Vec::with_capacity(rows) }
    }

    /// Appends a row: a sample, channel after channel.
    pub(super) fn push(&mut self, sample: &[f32], call: ModelCall, label: Option<u32>) {
        push_channel_last(sample, self.shape.channels, call.input_scale, &mut self.pixels);
        self.timesteps.push(call.timestep);
        self.labels.extend(label);
    }

    /// What the network says about the rows, one after the other, pixel after pixel.
    pub(super) fn run(self, unet: &UNet2DModel) -> Result<Vec<f32>> {
        let Self { shape: Shape { channels, height, width }, pixels, timesteps, labels } = self;
        if timesteps.is_empty() {
            return Ok(Vec::new());
        }
        x0_kernels::install(|| {
            let sample = unet.placement().tensor(pixels, (timesteps.len(), height, width, channels))?;
            let classes = if labels.is_empty() { Classes::None } else { Classes::Labels(&labels) };
            numbers(&unet.forward(&sample, &timesteps, classes)?)
        })
    }
}
