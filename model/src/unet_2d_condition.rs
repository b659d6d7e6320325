//! diffusers' `UNet2DConditionModel`: the network of Stable Diffusion, which predicts noise from noisy latents and a text.

mod blocks;
mod condition;
mod config;
mod embedding;
mod operations;
mod options;
mod parse;
#[cfg(feature = "cuda")]
mod recorded;
mod transformer;

use candle_core::{Result, Tensor};
use x0_kernels::{Conv2d, Conv2dOptions, Linear, activate};

use crate::error::LoadError;
use crate::nn::{GroupNorm, conv2d, linear};
use crate::placement::Placement;
use crate::weights::Weights;
use blocks::{Builder, DownBlock, MidBlock, UpBlock};
use condition::Rows;
use embedding::{Constant, Embedding};
#[cfg(feature = "cuda")]
use recorded::Recorded;

pub use condition::{ClassInput, Condition, ConditionInputs, TextTime};
pub use config::UNet2DConditionConfig;
pub(crate) use config::{Block, Level};

/// The network. Every row of a batch has its own timestep and its own condition.
#[derive(Debug)]
pub struct UNet2DConditionModel {
    conv_in: Conv2d,
    embedding: Embedding,
    encoder_hid_proj: Option<Linear>,
    down_blocks: Vec<DownBlock>,
    mid_block: Option<MidBlock>,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    config: UNet2DConditionConfig,
    placement: Placement,
    #[cfg(feature = "cuda")]
    recorded: Recorded,
}

impl UNet2DConditionModel {
    /// Reads the weights of `unet/diffusion_pytorch_model.safetensors`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape than the configuration says; the message has its name.
    pub fn new(weights: &Weights, config: &UNet2DConditionConfig) -> std::result::Result<Self, LoadError> {
        type Loaded<T> = std::result::Result<T, LoadError>;
        let channels = config.levels[0].channels;
        let levels = config.levels.len();
        let conv = |name, from, to, kernel: usize| {
            conv2d(&weights.at(name), from, to, kernel, Conv2dOptions::padded((kernel - 1) / 2))
        };
        let mut builder = Builder { config, next: 0 };
        let block = |name: &str, i| weights.at(name).at(i);
        let down_blocks = (0..levels).map(|i| builder.down(&block("down_blocks", i), i)).collect::<Loaded<_>>()?;
        let mid_block = config.mid.as_ref().map(|mid| builder.mid(&weights.at("mid_block"), mid)).transpose()?;
        let up_blocks = (0..levels).map(|i| builder.up(&block("up_blocks", i), i)).collect::<Loaded<_>>()?;
        let text_dim = config.levels[0].cross_attention_dim;
        let encoder_hid_proj = |from| linear(&weights.at("encoder_hid_proj"), from, text_dim);
        Ok(Self {
            conv_in: conv("conv_in", config.in_channels, channels, config.conv_in_kernel)?,
            embedding: Embedding::new(weights, config)?,
            encoder_hid_proj: config.encoder_hid_dim.map(encoder_hid_proj).transpose()?,
            down_blocks,
            mid_block,
            up_blocks,
            conv_norm_out: GroupNorm::new(
                &weights.at("conv_norm_out"),
                config.norm_num_groups,
                channels,
                config.norm_eps,
            )?,
            conv_out: conv("conv_out", channels, config.out_channels, config.conv_out_kernel)?,
            config: config.clone(),
            placement: weights.placement().clone(),
            #[cfg(feature = "cuda")]
            recorded: Recorded::default(),
        })
    }

    /// Where it computes.
    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What the network was made from.
    pub fn config(&self) -> &UNet2DConditionConfig {
        &self.config
    }

    /// Prepares what rows can be conditioned on: keys and values of all cross-attentions, and what is added to the time
    /// embedding. It stays the same at all steps, and its bits are those of a computation at every step.
    ///
    /// # Errors
    /// If the inputs are not those that the network takes.
    pub fn condition(&self, inputs: &ConditionInputs<'_>) -> Result<Condition> {
        let projected = match &self.encoder_hid_proj {
            Some(project) => &project.forward(inputs.encoder_hidden_states)?,
            None => inputs.encoder_hidden_states,
        };
        let mut keys_values = Vec::new();
        for block in &self.down_blocks {
            block.keys_values(projected, &mut keys_values)?;
        }
        if let Some(block) = &self.mid_block {
            block.keys_values(projected, &mut keys_values)?;
        }
        for block in &self.up_blocks {
            block.keys_values(projected, &mut keys_values)?;
        }
        let Constant { added, beside, guidance } = self.embedding.constant(inputs)?;
        Ok(Condition {
            #[cfg(feature = "cuda")]
            identity: condition::Identity::new(),
            keys_values,
            added,
            beside,
            guidance,
        })
    }

    /// The prediction for `sample`, `(rows, height, width, in_channels)`, with one timestep and one condition for each row:
    /// `(rows, height, width, out_channels)`. Any height and width will do.
    ///
    /// # Errors
    /// If the number of timesteps or conditions is not that of the rows, or a condition is another network's.
    pub fn forward(&self, sample: &Tensor, timesteps: &[f32], conditions: &[&Condition]) -> Result<Tensor> {
        let count = sample.dim(0)?;
        if timesteps.len() != count || conditions.len() != count {
            candle_core::bail!("{} timesteps and {} conditions for {count} rows", timesteps.len(), conditions.len());
        }
        let rows = Rows::Each(conditions);
        // Every residual block applies this activation first; once for all of them is enough.
        let time = activate(&self.embedding.forward(timesteps, &rows)?, self.config.activation)?;
        #[cfg(feature = "cuda")]
        if self.placement.is_cuda() {
            return self.recorded.call(self, sample, &time, conditions);
        }
        self.body(sample, &time, &rows)
    }

    /// All that depends on the map. `time` is `(rows, time channels)`.
    fn body(&self, sample: &Tensor, time: &Tensor, rows: &Rows<'_>) -> Result<Tensor> {
        let centered;
        let sample = if self.config.center_input_sample {
            centered = ((sample * 2.0)? - 1.0)?;
            &centered
        } else {
            sample
        };
        let mut x = self.conv_in.forward(sample)?;
        let mut skips = vec![x.clone()];
        for block in &self.down_blocks {
            x = block.forward(x, time, rows, &mut skips)?;
        }
        if let Some(block) = &self.mid_block {
            x = block.forward(&x, time, rows)?;
        }
        for block in &self.up_blocks {
            x = block.forward(x, time, rows, &mut skips)?;
        }
        self.conv_out.forward(&self.conv_norm_out.forward(&x, self.config.activation)?)
    }
}
