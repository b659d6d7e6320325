//! diffusers' `UNet2DModel`: the network of class-conditional and unconditional pixel-space models.

mod blocks;
mod config;
mod embedding;
mod operations;

use candle_core::{Result, Tensor};
use x0_kernels::{Activation, Conv2d, Conv2dOptions, activate, concatenate};

use crate::error::LoadError;
#[cfg(feature = "cuda")]
use crate::graphs::Graphs;
use crate::nn::{GroupNorm, conv2d};
use crate::placement::Placement;
use crate::weights::Weights;
use blocks::{DownBlock, MidBlock, UpBlock};
use embedding::Embedding;

pub use config::UNet2DConfig;
pub(crate) use config::{BlockType, ClassEmbedType, SampleSize, TimeEmbeddingType, activation, time_scale_shift};

/// The network of a pixel-space model.
#[derive(Debug)]
pub struct UNet2DModel {
    conv_in: Conv2d,
    embedding: Embedding,
    down_blocks: Vec<DownBlock>,
    mid_block: Option<MidBlock>,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    config: UNet2DConfig,
    placement: Placement,
    #[cfg(feature = "cuda")]
    recorded: Graphs<()>,
}

/// The condition of each row.
#[derive(Clone, Copy, Debug)]
pub enum Classes<'a> {
    /// Of a network without class embedding.
    None,
    /// One label a row, of a network that embeds labels.
    Labels(&'a [u32]),
    /// Embeddings `(rows, time_embed_dim)`, of a network whose `class_embed_type` is `identity`.
    Embeddings(&'a Tensor),
}

impl UNet2DModel {
    /// Reads the weights of `unet/diffusion_pytorch_model.safetensors`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape than the configuration says; the message has its name.
    pub fn new(weights: &Weights, config: &UNet2DConfig) -> std::result::Result<Self, LoadError> {
        let channels = &config.block_out_channels;
        let last = channels.len() - 1;
        let down = |i: usize| {
            let from = channels[i.saturating_sub(1)];
            let weights = &weights.at("down_blocks").at(i);
            DownBlock::new(weights, config, config.down_block_types[i], (from, channels[i]), i < last)
        };
        let up = |i: usize| {
            let level = last - i;
            let sizes = blocks::UpChannels {
                previous: channels[(level + 1).min(last)],
                skip: channels[level.saturating_sub(1)],
                out: channels[level],
            };
            UpBlock::new(&weights.at("up_blocks").at(i), config, config.up_block_types[i], sizes, level > 0)
        };
        let padded = Conv2dOptions::padded(1);
        Ok(Self {
            conv_in: conv2d(&weights.at("conv_in"), config.in_channels, channels[0], 3, padded)?,
            embedding: Embedding::new(weights, config)?,
            down_blocks: (0..=last).map(down).collect::<std::result::Result<_, _>>()?,
            mid_block: if config.mid_block { Some(MidBlock::new(&weights.at("mid_block"), config)?) } else { None },
            up_blocks: (0..=last).map(up).collect::<std::result::Result<_, _>>()?,
            conv_norm_out: GroupNorm::new(
                &weights.at("conv_norm_out"),
                config.norm_num_groups,
                channels[0],
                config.norm_eps,
            )?,
            conv_out: conv2d(&weights.at("conv_out"), channels[0], config.out_channels, 3, padded)?,
            config: config.clone(),
            placement: weights.placement().clone(),
            #[cfg(feature = "cuda")]
            recorded: Graphs::default(),
        })
    }

    /// Where it computes.
    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What the network was made from.
    pub fn config(&self) -> &UNet2DConfig {
        &self.config
    }

    /// The prediction for `sample`, `(rows, height, width, in_channels)`, with one timestep and one class for each row:
    /// `(rows, height, width, out_channels)`. Height and width are multiples of [`UNet2DConfig::size_multiple`].
    ///
    /// # Errors
    /// If the number of timesteps or classes is not that of the rows, a label is not among the network's, or `classes` is not of
    /// the network's kind.
    pub fn forward(&self, sample: &Tensor, timesteps: &[f32], classes: Classes<'_>) -> Result<Tensor> {
        let rows = sample.dim(0)?;
        if timesteps.len() != rows {
            candle_core::bail!("{} timesteps for {rows} rows", timesteps.len());
        }
        let time = self.embedding.forward(timesteps, classes)?;
        // Every residual block applies this activation first; once for all of them is enough.
        let time = activate(&time, self.config.act_fn)?;
        let x = self.call(sample, &time)?;
        match self.config.time_embedding_type {
            TimeEmbeddingType::Positional | TimeEmbeddingType::Learned => Ok(x),
            // The timesteps of these models are noise levels, and the network predicts in units of them.
            TimeEmbeddingType::Fourier => {
                let levels = Tensor::new(timesteps, x.device())?.to_dtype(x.dtype())?;
                x.broadcast_div(&levels.reshape((rows, 1, 1, 1))?)
            }
        }
    }

    #[cfg(not(feature = "cuda"))]
    fn call(&self, sample: &Tensor, time: &Tensor) -> Result<Tensor> {
        self.body(sample, time)
    }

    /// [`Self::body`], on a CUDA device by the graph for as many rows or a few more.
    #[cfg(feature = "cuda")]
    fn call(&self, sample: &Tensor, time: &Tensor) -> Result<Tensor> {
        if !self.placement.is_cuda() {
            return self.body(sample, time);
        }
        let rows = sample.dim(0)?;
        let compute = |inputs: &[Tensor]| self.body(&inputs[0], &inputs[1]);
        self.recorded.with(&self.placement, rows, &[sample, time], compute, |graph, ()| {
            graph.set(0, 0, sample)?;
            graph.set(1, 0, time)?;
            graph.run()?.narrow(0, 0, rows)
        })
    }

    /// All that depends on the map. `time` is `(rows, time embedding)`.
    fn body(&self, sample: &Tensor, time: &Tensor) -> Result<Tensor> {
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
            x = block.forward(x, time, &mut skips)?;
        }
        if let Some(block) = &self.mid_block {
            x = block.forward(&x, time)?;
        }
        for block in &self.up_blocks {
            x = block.forward(x, time, &mut skips)?;
        }
        self.conv_out.forward(&self.conv_norm_out.forward(&x, Activation::Silu)?)
    }
}

/// Joins two maps along their channels.
fn concat(x: &Tensor, skip: &Tensor) -> Result<Tensor> {
    concatenate(x, skip)
}
