//! The rows of one network call.

use candle_core::{Result, Tensor};
use x0_kernels::network_input;

use super::slot::Rows;
use crate::sampler::ModelCall;
use crate::unet_2d::{Classes, UNet2DModel};

/// What the network is given: rows of many images, each at a timestep of its own.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    unet: &'a UNet2DModel,
    /// Rows of each image.
    samples: Vec<Tensor>,
    timesteps: Vec<f32>,
    /// One for each row, of a class-conditional model.
    labels: Vec<u32>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(unet: &'a UNet2DModel) -> Self {
        Self { unet, samples: Vec::new(), timesteps: Vec::new(), labels: Vec::new() }
    }

    /// Appends an image's rows.
    pub(super) fn push(&mut self, sample: &Tensor, call: ModelCall, rows: Rows) -> Result<()> {
        let dtype = self.unet.placement().dtype();
        self.samples.push(network_input(sample, None, call.input_scale, rows.count(), dtype)?);
        self.timesteps.resize(self.timesteps.len() + rows.count(), call.timestep);
        match rows {
            Rows::Unconditional => {}
            Rows::Class(class) => self.labels.push(class),
            Rows::Guided { null_class, class } => self.labels.extend([null_class, class]),
        }
        Ok(())
    }

    /// What the network says about the rows, `(rows, height, width, channels)`.
    pub(super) fn run(self) -> Result<Tensor> {
        let classes = if self.labels.is_empty() { Classes::None } else { Classes::Labels(&self.labels) };
        self.unet.forward(&Tensor::cat(&self.samples, 0)?, &self.timesteps, classes)
    }
}
