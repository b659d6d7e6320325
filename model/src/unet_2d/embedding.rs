//! The embedding of a row's timestep and class, which all residual blocks see.

use candle_core::{Result, Tensor};
use x0_kernels::Activation;

use super::{ClassEmbedType, Classes, TimeEmbeddingType, UNet2DConfig};
use crate::error::LoadError;
use crate::layout::numbers;
use crate::nn::{TimestepEmbedding, Timesteps};
use crate::placement::Placement;
use crate::weights::Weights;

#[derive(Debug)]
pub(super) struct Embedding {
    time_proj: TimeProjection,
    time_embedding: TimestepEmbedding,
    class_embedding: ClassEmbedding,
}

#[derive(Debug)]
enum TimeProjection {
    Positional(Timesteps),
    Fourier(FourierProjection),
    Learned(Table),
}

#[derive(Debug)]
enum ClassEmbedding {
    None,
    Table(Table),
    Timestep(TimestepEmbedding),
    Identity,
}

impl Embedding {
    pub(super) fn new(weights: &Weights, config: &UNet2DConfig) -> std::result::Result<Self, LoadError> {
        let (channels, size) = (config.block_out_channels[0], config.time_embed_dim());
        let time_proj = weights.at("time_proj");
        let (time_proj, inputs) = match config.time_embedding_type {
            TimeEmbeddingType::Positional => {
                let timesteps =
                    Timesteps::new(weights.placement(), channels, config.flip_sin_to_cos, config.freq_shift);
                (TimeProjection::Positional(timesteps), channels)
            }
            TimeEmbeddingType::Fourier => {
                let frequencies = numbers(&time_proj.get("weight", channels)?)?;
                let placement = weights.placement().clone();
                (TimeProjection::Fourier(FourierProjection { frequencies, placement }), 2 * channels)
            }
            TimeEmbeddingType::Learned => {
                let rows = config.num_train_timesteps.unwrap_or_default();
                (TimeProjection::Learned(Table::new(&time_proj, rows, channels)?), channels)
            }
        };
        let embedding = |name| TimestepEmbedding::new(&weights.at(name), inputs, size, Activation::Silu);
        let class_embedding = match (config.class_embed_type, config.num_class_embeds) {
            (ClassEmbedType::Table, None) => ClassEmbedding::None,
            (ClassEmbedType::Table, Some(n)) => {
                ClassEmbedding::Table(Table::new(&weights.at("class_embedding"), n, size)?)
            }
            (ClassEmbedType::Timestep, _) => ClassEmbedding::Timestep(embedding("class_embedding")?),
            (ClassEmbedType::Identity, _) => ClassEmbedding::Identity,
        };
        Ok(Self { time_proj, time_embedding: embedding("time_embedding")?, class_embedding })
    }

    /// `(rows, time_embed_dim)`
    pub(super) fn forward(&self, timesteps: &[f32], classes: Classes<'_>) -> Result<Tensor> {
        let time = self.time_embedding.forward(&self.time_proj.forward(timesteps)?)?;
        let rows = timesteps.len();
        match (&self.class_embedding, classes) {
            (ClassEmbedding::None, Classes::None) => Ok(time),
            (ClassEmbedding::Table(table), Classes::Labels(labels)) if labels.len() == rows => {
                time + table.forward(labels)?
            }
            (ClassEmbedding::Timestep(embedding), Classes::Labels(labels)) if labels.len() == rows => {
                let labels: Vec<f32> = labels.iter().map(|&label| label as f32).collect();
                time + embedding.forward(&self.time_proj.forward(&labels)?)?
            }
            (ClassEmbedding::Identity, Classes::Embeddings(embeddings)) => time + embeddings,
            (wanted, given) => {
                candle_core::bail!("{given:?} for {rows} rows does not suit a network with {}", wanted.name())
            }
        }
    }
}

impl TimeProjection {
    fn forward(&self, timesteps: &[f32]) -> Result<Tensor> {
        match self {
            Self::Positional(timesteps_) => timesteps_.forward(timesteps),
            Self::Fourier(projection) => projection.forward(timesteps),
            Self::Learned(table) => {
                if let Some(t) = timesteps.iter().find(|t| t.fract() != 0.0 || **t < 0.0) {
                    candle_core::bail!("the timestep {t} is no whole number, as learned time embeddings need it");
                }
                table.forward(&timesteps.iter().map(|&t| t as u32).collect::<Vec<_>>())
            }
        }
    }
}

impl ClassEmbedding {
    fn name(&self) -> &'static str {
        match self {
            Self::None => "no classes",
            Self::Table(_) => "a table of classes",
            Self::Timestep(_) => "classes embedded like timesteps",
            Self::Identity => "classes given as embeddings",
        }
    }
}

/// diffusers' `GaussianFourierProjection` (Tancik et al. 2020) of the logarithm: sines, then cosines of `2π w ln(t)`.
#[derive(Debug)]
struct FourierProjection {
    frequencies: Vec<f32>,
    placement: Placement,
}

impl FourierProjection {
    fn forward(&self, timesteps: &[f32]) -> Result<Tensor> {
        let mut rows = Vec::with_capacity(2 * timesteps.len() * self.frequencies.len());
        for &t in timesteps {
            // One rounding an operation, as torch computes it.
            let log = f64::from(t).ln() as f32;
            let angles = || self.frequencies.iter().map(|w| f64::from(log * w * 2.0 * std::f32::consts::PI));
            rows.extend(angles().map(|a| a.sin() as f32));
            rows.extend(angles().map(|a| a.cos() as f32));
        }
        self.placement.tensor(rows, (timesteps.len(), 2 * self.frequencies.len()))
    }
}

/// torch's `Embedding`.
#[derive(Debug)]
struct Table {
    rows: Vec<f32>,
    width: usize,
    placement: Placement,
}

impl Table {
    fn new(weights: &Weights, rows: usize, width: usize) -> std::result::Result<Self, LoadError> {
        let rows = numbers(&weights.get("weight", (rows, width))?)?;
        Ok(Self { rows, width, placement: weights.placement().clone() })
    }

    fn forward(&self, indices: &[u32]) -> Result<Tensor> {
        let mut picked = Vec::with_capacity(indices.len() * self.width);
        for &index in indices {
            let Some(row) = self.rows.chunks_exact(self.width).nth(index as usize) else {
                candle_core::bail!("there is no embedding {index} among {}", self.rows.len() / self.width);
            };
            picked.extend_from_slice(row);
        }
        self.placement.tensor(picked, (indices.len(), self.width))
    }
}
