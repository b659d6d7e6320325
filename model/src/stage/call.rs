//! A call of one network with given inputs.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor};

use super::{Network, NetworkKind, Stage, Tensors};
use crate::autoencoder_kl::AutoencoderKL;
use crate::autoencoder_tiny::AutoencoderTiny;
use crate::clip::ClipTextModel;
use crate::error::StepError;
use crate::layout::numbers;
use crate::placement::Placement;
use crate::tokenizer::Tokens;
use crate::unet_2d::{Classes, UNet2DModel};
use crate::unet_2d_condition::{Condition, ConditionInputs, TextTime, UNet2DConditionModel};

/// A call that can be made again and again.
#[derive(Debug)]
pub struct Call<'a> {
    stage: Stage,
    prepared: Prepared<'a>,
    rows: usize,
    operations: f64,
}

/// Each network with inputs as it takes them; maps are `(rows, height, width, channels)`.
#[derive(Debug)]
enum Prepared<'a> {
    Text {
        network: &'a ClipTextModel,
        texts: Vec<Tokens>,
    },
    UNet2D {
        network: &'a UNet2DModel,
        sample: Tensor,
        timesteps: Vec<f32>,
        classes: Option<Vec<u32>>,
    },
    UNet2DCondition {
        network: &'a UNet2DConditionModel,
        sample: Tensor,
        timesteps: Vec<f32>,
        conditions: Vec<Condition>,
    },
    Kl {
        network: &'a AutoencoderKL,
        latents: Tensor,
    },
    Tiny {
        network: &'a AutoencoderTiny,
        latents: Tensor,
    },
}

impl Network {
    /// Prepares a call. What a server does once for all steps of a picture, the keys and values of its text, is done here.
    ///
    /// # Errors
    /// If an input is missing or does not suit the network.
    pub fn call(&self, inputs: &Tensors) -> std::result::Result<Call<'_>, StepError> {
        Ok(self.prepare(inputs)?)
    }

    fn prepare(&self, inputs: &Tensors) -> Result<Call<'_>> {
        let given = Given { inputs, prefix: self.stage.name(), placement: self.placement() };
        let (prepared, rows, operations) = match &self.kind {
            NetworkKind::Text(network) => {
                let ids = given.get("input_ids")?.to_dtype(DType::U32)?.to_vec2::<u32>()?;
                let tokens = ids.first().map_or(0, Vec::len);
                let texts: Vec<_> = ids.into_iter().map(|ids| Tokens { ids, removed: 0 }).collect();
                let rows = texts.len();
                (Prepared::Text { network, texts }, rows, network.config().operations(tokens))
            }
            NetworkKind::UNet2D(network) => {
                let (sample, timesteps) = (given.map("sample")?, given.floats("timestep")?);
                let classes = match given.find("class_labels") {
                    Some(labels) => Some(labels.to_dtype(DType::U32)?.to_vec1()?),
                    None => None,
                };
                let (rows, height, width, _) = sample.dims4()?;
                let operations = network.config().operations((height, width));
                (Prepared::UNet2D { network, sample, timesteps, classes }, rows, operations)
            }
            NetworkKind::UNet2DCondition(network) => {
                let (sample, timesteps) = (given.map("sample")?, given.floats("timestep")?);
                let (rows, height, width, _) = sample.dims4()?;
                let text = given.get("encoder_hidden_states")?;
                let condition = |row| given.condition(row, text, |inputs| network.condition(inputs));
                let conditions = x0_kernels::install(|| (0..rows).map(condition).collect::<Result<_>>())?;
                let operations = network.config().operations((height, width), text.dim(1)?);
                (Prepared::UNet2DCondition { network, sample, timesteps, conditions }, rows, operations)
            }
            NetworkKind::Kl(network) => {
                let latents = given.map("latents")?;
                let (rows, height, width, _) = latents.dims4()?;
                let operations = network.config().decode_operations((height, width));
                (Prepared::Kl { network, latents }, rows, operations)
            }
            NetworkKind::Tiny(network) => {
                let latents = given.map("latents")?;
                let (rows, height, width, _) = latents.dims4()?;
                let operations = network.config().decode_operations((height, width));
                (Prepared::Tiny { network, latents }, rows, operations)
            }
        };
        Ok(Call { stage: self.stage, prepared, rows, operations: operations * rows as f64 })
    }
}

impl Call<'_> {
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Floating-point operations of all rows together, as the network is defined: methods that need fewer do not change it.
    pub fn operations(&self) -> f64 {
        self.operations
    }

    /// Calls the network. The answer is named as the stage, and of the order of the inputs.
    ///
    /// # Errors
    /// If the inputs do not suit the network.
    pub fn run(&self) -> std::result::Result<Tensors, StepError> {
        let answer = x0_kernels::install(|| self.answer())?;
        Ok(Tensors(HashMap::from([(self.stage.name().to_owned(), answer)])))
    }

    /// Calls the network and waits until its answer is there, where it computes: what the call itself takes.
    ///
    /// # Errors
    /// If the inputs do not suit the network.
    pub fn compute(&self) -> std::result::Result<(), StepError> {
        Ok(x0_kernels::install(|| self.forward()?.device().synchronize())?)
    }

    /// As the network gives it.
    fn forward(&self) -> Result<Tensor> {
        match &self.prepared {
            Prepared::Text { network, texts } => {
                let texts: Vec<&Tokens> = texts.iter().collect();
                network.final_layer_norm(&network.forward(&texts, 0, false)?.hidden_state)
            }
            Prepared::UNet2D { network, sample, timesteps, classes } => {
                let classes = classes.as_deref().map_or(Classes::None, Classes::Labels);
                network.forward(sample, timesteps, classes)
            }
            Prepared::UNet2DCondition { network, sample, timesteps, conditions } => {
                network.forward(sample, timesteps, &conditions.iter().collect::<Vec<_>>())
            }
            Prepared::Kl { network, latents } => network.decode(latents),
            Prepared::Tiny { network, latents } => network.decode(latents),
        }
    }

    /// As others have it: float32, maps with their channels first.
    fn answer(&self) -> Result<Tensor> {
        let answer = self.forward()?.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
        match self.prepared {
            Prepared::Text { .. } => Ok(answer),
            Prepared::UNet2D { .. }
            | Prepared::UNet2DCondition { .. }
            | Prepared::Kl { .. }
            | Prepared::Tiny { .. } => answer.permute((0, 3, 1, 2))?.contiguous(),
        }
    }
}

/// The inputs of one stage.
struct Given<'a> {
    inputs: &'a Tensors,
    prefix: &'static str,
    placement: &'a Placement,
}

impl Given<'_> {
    fn find(&self, name: &str) -> Option<&Tensor> {
        self.inputs.0.get(&format!("{}.{name}", self.prefix))
    }

    fn get(&self, name: &str) -> Result<&Tensor> {
        match self.find(name) {
            Some(tensor) => Ok(tensor),
            None => candle_core::bail!("the input {}.{name} is missing", self.prefix),
        }
    }

    fn floats(&self, name: &str) -> Result<Vec<f32>> {
        self.get(name)?.to_dtype(DType::F32)?.to_vec1()
    }

    /// From `(rows, channels, height, width)`.
    fn map(&self, name: &str) -> Result<Tensor> {
        self.placement.place(&self.get(name)?.to_dtype(DType::F32)?.permute((0, 2, 3, 1))?.contiguous()?)
    }

    fn condition(
        &self,
        row: usize,
        text: &Tensor,
        make: impl Fn(&ConditionInputs<'_>) -> Result<Condition>,
    ) -> Result<Condition> {
        let of_row =
            |tensor: &Tensor| self.placement.place(&tensor.narrow(0, row, 1)?.to_dtype(DType::F32)?.contiguous()?);
        let optional = |name| self.find(name).map(of_row).transpose();
        let pooled = optional("text_embeds")?;
        let ids = self.find("time_ids").map(|ids| numbers(&ids.narrow(0, row, 1)?)).transpose()?;
        let time_ids = ids.unwrap_or_default();
        make(&ConditionInputs {
            encoder_hidden_states: &of_row(text)?,
            text_time: pooled.as_ref().map(|text_embeds| TextTime { text_embeds, time_ids: &time_ids }),
            class: None,
            timestep_cond: optional("timestep_cond")?.as_ref(),
        })
    }
}
