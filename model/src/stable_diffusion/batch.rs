//! The rows of one network call.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use x0_kernels::network_input;

use crate::sampler::ModelCall;
use crate::unet_2d_condition::{Condition, UNet2DConditionModel};

/// What the network is given: rows of many images, each at a timestep of its own.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    unet: &'a UNet2DConditionModel,
    /// Rows of each image.
    samples: Vec<Tensor>,
    timesteps: Vec<f32>,
    conditions: Vec<Arc<Condition>>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(unet: &'a UNet2DConditionModel) -> Self {
        Self { unet, samples: Vec::new(), timesteps: Vec::new(), conditions: Vec::new() }
    }

    /// Appends an image's rows: its sample with the further channels of the input, once for each condition.
    pub(super) fn push<'c>(
        &mut self,
        sample: &Tensor,
        call: ModelCall,
        input: Option<&Tensor>,
        conditions: impl Iterator<Item = &'c Arc<Condition>>,
    ) -> Result<()> {
        let before = self.conditions.len();
        self.conditions.extend(conditions.map(Arc::clone));
        let rows = self.conditions.len() - before;
        self.timesteps.resize(self.conditions.len(), call.timestep);
        let dtype = self.unet.placement().dtype();
        self.samples.push(network_input(sample, input, call.input_scale, rows, dtype)?);
        Ok(())
    }

    /// What the network says about the rows, `(rows, height, width, channels)`.
    pub(super) fn run(self) -> Result<Tensor> {
        let conditions: Vec<&Condition> = self.conditions.iter().map(Arc::as_ref).collect();
        self.unet.forward(&Tensor::cat(&self.samples, 0)?, &self.timesteps, &conditions)
    }
}
