//! The rows of one network call.

use std::sync::Arc;

use candle_core::Result;

use super::maps::LatentShape;
use crate::placement::numbers;
use crate::sampler::ModelCall;
use crate::unet_2d_condition::{Condition, UNet2DConditionModel};

/// What the network is given: rows of many images, each at a timestep of its own.
#[derive(Debug)]
pub(super) struct Batch {
    shape: LatentShape,
    pixels: Vec<f32>,
    timesteps: Vec<f32>,
    conditions: Vec<Arc<Condition>>,
}

impl Batch {
    pub(super) fn new(shape: LatentShape, rows: usize) -> Self {
        let (timesteps, conditions) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        Self { shape, pixels: Vec::with_capacity(rows * shape.len()), timesteps, conditions }
    }

    /// Appends a row: a sample, channel after channel, and the further channels of the input, pixel after pixel.
    pub(super) fn push(&mut self, sample: &[f32], call: ModelCall, input: Option<&[f32]>, condition: &Arc<Condition>) {
        let area = self.shape.area();
        let further = input.map_or(0, |input| input.len() / area);
        for at in 0..area {
            self.pixels.extend(sample.iter().skip(at).step_by(area).map(|value| value * call.input_scale));
            self.pixels.extend(input.iter().flat_map(|input| &input[at * further..(at + 1) * further]));
        }
        self.timesteps.push(call.timestep);
        self.conditions.push(Arc::clone(condition));
    }

    /// What the network says about the rows, one after the other, pixel after pixel.
    pub(super) fn run(self, unet: &UNet2DConditionModel) -> Result<Vec<f32>> {
        let Self { shape: LatentShape { height, width, .. }, pixels, timesteps, conditions } = self;
        if timesteps.is_empty() {
            return Ok(Vec::new());
        }
        let (rows, channels) = (timesteps.len(), pixels.len() / (timesteps.len() * height * width));
        let conditions: Vec<&Condition> = conditions.iter().map(Arc::as_ref).collect();
        x0_kernels::install(|| {
            let sample = unet.placement().tensor(pixels, (rows, height, width, channels))?;
            numbers(&unet.forward(&sample, &timesteps, &conditions)?)
        })
    }
}
