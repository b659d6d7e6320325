//! The embedding of a row's timestep and of what else is not in the map, which all residual blocks see.

use candle_core::{Result, Tensor};
use x0_kernels::{Activation, Linear, activate, concatenate};

use super::condition::{ClassInput, ConditionInputs, Rows, TextTime};
use super::config::{AddedConfig, ClassConfig, TimeProjectionConfig, UNet2DConditionConfig};
use crate::error::LoadError;
use crate::layout::numbers;
use crate::nn::{TimestepEmbedding, Timesteps, linear, linear_without_bias};
use crate::placement::Placement;
use crate::weights::Weights;

type Loaded<T> = std::result::Result<T, LoadError>;

#[derive(Debug)]
pub(super) struct Embedding {
    time_proj: TimeProjection,
    time_embedding: TimestepEmbedding,
    cond_proj: Option<Linear>,
    post_activation: Option<Activation>,
    sum_activation: Option<Activation>,
    class_embedding: ClassEmbedding,
    class_embeddings_concat: bool,
    added: Option<AddedEmbedding>,
    placement: Placement,
}

#[derive(Debug)]
enum TimeProjection {
    Positional(Timesteps),
    Fourier(FourierProjection),
}

#[derive(Debug)]
enum ClassEmbedding {
    None,
    /// `(classes, time embedding)`
    Table(Tensor),
    Timestep(TimestepEmbedding),
    Identity,
    Projection(TimestepEmbedding),
    SimpleProjection(Linear),
}

/// Stable Diffusion XL's `text_time` embedding.
#[derive(Debug)]
struct AddedEmbedding {
    time_proj: Timesteps,
    embedding: TimestepEmbedding,
    inputs: usize,
}

/// What a condition gives to the embedding, the same at all steps: each `(1, n)`.
pub(super) struct Constant {
    pub(super) added: Option<Tensor>,
    pub(super) beside: Option<Tensor>,
    pub(super) guidance: Option<Tensor>,
}

impl Embedding {
    pub(super) fn new(weights: &Weights, config: &UNet2DConditionConfig) -> Loaded<Self> {
        let time = config.time;
        let time_proj = match time.projection {
            TimeProjectionConfig::Positional { flip_sin_to_cos, freq_shift } => TimeProjection::Positional(
                Timesteps::new(weights.placement(), time.inputs, flip_sin_to_cos, freq_shift),
            ),
            TimeProjectionConfig::Fourier { flip_sin_to_cos } => {
                let frequencies = numbers(&weights.at("time_proj").get("weight", time.inputs / 2)?)?;
                let placement = weights.placement().clone();
                TimeProjection::Fourier(FourierProjection { frequencies, flip_sin_to_cos, placement })
            }
        };
        let embedding =
            |name, inputs, activation| TimestepEmbedding::new(&weights.at(name), inputs, time.outputs, activation);
        let class_embedding = match config.class {
            ClassConfig::None => ClassEmbedding::None,
            ClassConfig::Table(n) => {
                ClassEmbedding::Table(weights.at("class_embedding").get_stored("weight", (n, time.outputs))?)
            }
            ClassConfig::Timestep => {
                ClassEmbedding::Timestep(embedding("class_embedding", time.inputs, config.activation)?)
            }
            ClassConfig::Identity => ClassEmbedding::Identity,
            ClassConfig::Projection(n) => {
                ClassEmbedding::Projection(embedding("class_embedding", n, Activation::Silu)?)
            }
            ClassConfig::SimpleProjection(n) => {
                ClassEmbedding::SimpleProjection(linear(&weights.at("class_embedding"), n, time.outputs)?)
            }
        };
        let cond_proj = |n| linear_without_bias(&weights.at("time_embedding.cond_proj"), n, time.inputs);
        let added = |added: AddedConfig| {
            Ok::<_, LoadError>(AddedEmbedding {
                time_proj: Timesteps::new(
                    weights.placement(),
                    added.time_embed_dim,
                    added.flip_sin_to_cos,
                    added.freq_shift,
                ),
                embedding: embedding("add_embedding", added.inputs, Activation::Silu)?,
                inputs: added.inputs,
            })
        };
        Ok(Self {
            time_proj,
            time_embedding: embedding("time_embedding", time.inputs, config.activation)?,
            cond_proj: time.cond_proj_dim.map(cond_proj).transpose()?,
            post_activation: time.post_activation,
            sum_activation: time.sum_activation,
            class_embedding,
            class_embeddings_concat: config.class_embeddings_concat,
            added: config.added.map(added).transpose()?,
            placement: weights.placement().clone(),
        })
    }

    /// `(rows, time channels)`
    pub(super) fn forward(&self, timesteps: &[f32], rows: &Rows<'_>) -> Result<Tensor> {
        let mut time = self.time_proj.forward(timesteps)?;
        if let Some(guidance) = rows.gather(|row| row.guidance.as_ref())? {
            time = (time + guidance)?;
        }
        let mut time = self.time_embedding.forward(&time)?;
        if let Some(activation) = self.post_activation {
            time = activate(&time, activation)?;
        }
        if let Some(beside) = rows.gather(|row| row.beside.as_ref())? {
            time = concatenate(&time, &beside)?;
        }
        if let Some(added) = rows.gather(|row| row.added.as_ref())? {
            time = (time + added)?;
        }
        match self.sum_activation {
            Some(activation) => activate(&time, activation),
            None => Ok(time),
        }
    }

    /// What a condition adds at every step.
    pub(super) fn constant(&self, inputs: &ConditionInputs<'_>) -> Result<Constant> {
        let class = self.class(inputs.class)?;
        let added = match (&self.added, inputs.text_time) {
            (None, None) => None,
            (Some(embedding), Some(text_time)) => Some(embedding.forward(text_time)?),
            (Some(_), None) => candle_core::bail!("a network with text_time needs pooled text and sizes"),
            (None, Some(_)) => candle_core::bail!("a network without text_time was given pooled text and sizes"),
        };
        let (added, beside) = match (class, added) {
            (class, added) if self.class_embeddings_concat => (added, class),
            (Some(class), Some(added)) => (Some((class + added)?), None),
            (class, added) => (class.or(added), None),
        };
        let guidance = match (&self.cond_proj, inputs.timestep_cond) {
            (Some(project), Some(embedding)) => Some(project.forward(embedding)?),
            (_, None) => None,
            (None, Some(_)) => candle_core::bail!("a network without time_cond_proj_dim was given a guidance scale"),
        };
        Ok(Constant { added, beside, guidance })
    }

    fn class(&self, input: Option<ClassInput<'_>>) -> Result<Option<Tensor>> {
        Ok(Some(match (&self.class_embedding, input) {
            (ClassEmbedding::None, None) => return Ok(None),
            (ClassEmbedding::Table(table), Some(ClassInput::Label(label)))
                if label >= 0.0 && (label as usize) < table.dim(0)? =>
            {
                self.placement.place(&table.narrow(0, label as usize, 1)?)?
            }
            (ClassEmbedding::Timestep(embedding), Some(ClassInput::Label(label))) => {
                embedding.forward(&self.time_proj.forward(&[label])?)?
            }
            (ClassEmbedding::Identity, Some(ClassInput::Vector(vector))) => vector.clone(),
            (ClassEmbedding::Projection(embedding), Some(ClassInput::Vector(vector))) => embedding.forward(vector)?,
            (ClassEmbedding::SimpleProjection(layer), Some(ClassInput::Vector(vector))) => layer.forward(vector)?,
            (_, given) => candle_core::bail!("the class {given:?} does not suit the network's class embedding"),
        }))
    }
}

impl TimeProjection {
    fn forward(&self, timesteps: &[f32]) -> Result<Tensor> {
        match self {
            Self::Positional(projection) => projection.forward(timesteps),
            Self::Fourier(projection) => projection.forward(timesteps),
        }
    }
}

impl AddedEmbedding {
    fn forward(&self, TextTime { text_embeds, time_ids }: TextTime<'_>) -> Result<Tensor> {
        let times = self.time_proj.forward(time_ids)?.reshape((1, ()))?;
        let joined = concatenate(text_embeds, &times)?;
        if joined.dim(1)? != self.inputs {
            candle_core::bail!(
                "pooled text and sizes make {} numbers, the network takes {}",
                joined.dim(1)?,
                self.inputs
            );
        }
        self.embedding.forward(&joined)
    }
}

/// diffusers' `GaussianFourierProjection` (Tancik et al. 2020): sines and cosines of `2π w t`.
#[derive(Debug)]
struct FourierProjection {
    frequencies: Vec<f32>,
    placement: Placement,
    /// Cosines first.
    flip_sin_to_cos: bool,
}

impl FourierProjection {
    fn forward(&self, timesteps: &[f32]) -> Result<Tensor> {
        let mut rows = Vec::with_capacity(2 * timesteps.len() * self.frequencies.len());
        for &t in timesteps {
            // One rounding an operation, as torch computes it.
            let angles = || self.frequencies.iter().map(|w| f64::from(t * w * 2.0 * std::f32::consts::PI));
            let (sines, cosines) = (angles().map(|a| a.sin() as f32), angles().map(|a| a.cos() as f32));
            if self.flip_sin_to_cos {
                rows.extend(cosines.chain(sines));
            } else {
                rows.extend(sines.chain(cosines));
            }
        }
        self.placement.tensor(rows, (timesteps.len(), 2 * self.frequencies.len()))
    }
}
