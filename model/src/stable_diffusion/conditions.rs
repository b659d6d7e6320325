//! The conditions of an image's rows.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use candle_core::{Result, Tensor};

use super::chunks::TokenizedText;
use super::components::{Kind, Networks};
use super::enlarge::SecondPass;
use super::text::{Embedding, EmbeddingCache};
use crate::unet_2d_condition::{Condition, ConditionInputs, TextTime};

/// What diffusers tells the refiner unless a request says otherwise.
const AESTHETIC_SCORE: f32 = 6.0;
const NEGATIVE_AESTHETIC_SCORE: f32 = 2.5;

/// What an image's rows of a network call are conditioned on.
#[derive(Clone, Debug)]
pub(super) enum Conditions {
    One(Arc<Condition>),
    Guided {
        /// Its row is the first.
        negative: Arc<Condition>,
        /// There is at least one.
        positive: Vec<Arc<Condition>>,
        /// One for each of them.
        weights: Vec<f32>,
    },
}

/// What the conditions of an image follow from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ConditionSpec {
    /// One, or several that are composed; all texts have as many chunks.
    pub(super) prompt: Vec<TokenizedText>,
    /// Of an image that is guided; no text at all is not always the empty text.
    pub(super) negative_prompt: Option<NegativePrompt>,
    pub(super) clip_skip: usize,
    pub(super) width: u32,
    pub(super) height: u32,
    /// For a network that takes the guidance scale as an input.
    pub(super) guidance_scale: f64,
}

impl ConditionSpec {
    /// The same for a second pass: Stable Diffusion XL is told the size of the picture.
    pub(super) fn at(&self, pass: &SecondPass, networks: &Networks, kind: Kind) -> Self {
        let scale = networks.vae.scale();
        match kind {
            Kind::StableDiffusion => self.clone(),
            Kind::StableDiffusionXl { .. } => Self {
                width: (pass.codec.shape.width * scale) as u32,
                height: (pass.codec.shape.height * scale) as u32,
                ..self.clone()
            },
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct NegativePrompt {
    pub(super) prompt: TokenizedText,
    pub(super) is_empty: bool,
    pub(super) clip_skip: usize,
}

/// The conditions of the images that are being made: images of one request share them. Keys and values of all
/// cross-attentions are computed once for all steps.
#[derive(Debug, Default)]
pub(super) struct ConditionCache {
    embeddings: EmbeddingCache,
    alive: Mutex<Vec<Alive>>,
}

#[derive(Debug)]
struct Alive {
    spec: ConditionSpec,
    positive: Vec<Weak<Condition>>,
    /// Never upgrades when there is none.
    negative: Weak<Condition>,
}

impl ConditionSpec {
    /// Rows of a network call.
    pub(super) fn rows(&self) -> usize {
        self.prompt.len() + usize::from(self.negative_prompt.is_some())
    }

    /// Chunks of each row's text.
    pub(super) fn chunks(&self) -> usize {
        self.prompt.first().map_or(0, |text| text.chunks.len())
    }
}

impl Conditions {
    /// In the order of the rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Arc<Condition>> {
        let (first, others) = match self {
            Self::One(condition) => (condition, [].as_slice()),
            Self::Guided { negative, positive, .. } => (negative, positive.as_slice()),
        };
        std::iter::once(first).chain(others)
    }
}

impl ConditionCache {
    pub(super) fn get(&self, networks: &Networks, kind: Kind, spec: &ConditionSpec) -> Result<Conditions> {
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        alive.retain(|entry| entry.positive.iter().all(|positive| positive.strong_count() > 0));
        if let Some(conditions) = alive.iter().filter(|entry| entry.spec == *spec).find_map(Alive::upgrade) {
            return Ok(conditions);
        }
        let conditions = self.make(networks, kind, spec)?;
        let (positive, negative) = match &conditions {
            Conditions::One(positive) => (vec![Arc::downgrade(positive)], Weak::new()),
            Conditions::Guided { negative, positive, .. } => {
                (positive.iter().map(Arc::downgrade).collect(), Arc::downgrade(negative))
            }
        };
        alive.push(Alive { spec: spec.clone(), positive, negative });
        Ok(conditions)
    }

    fn make(&self, networks: &Networks, kind: Kind, spec: &ConditionSpec) -> Result<Conditions> {
        let embedding = |text: &TokenizedText, clip_skip| self.embeddings.get(networks, kind, &text.chunks, clip_skip);
        let condition = |embedding: &Embedding, score| prepare(networks, kind, spec, embedding, score).map(Arc::new);
        let Some((first, others)) = spec.prompt.split_first() else { candle_core::bail!("there is no prompt") };
        let first = embedding(first, spec.clip_skip)?;
        let positive = condition(&first, AESTHETIC_SCORE)?;
        let Some(NegativePrompt { prompt, is_empty, clip_skip }) = &spec.negative_prompt else {
            return Ok(Conditions::One(positive));
        };
        let zeros = matches!(kind, Kind::StableDiffusionXl { force_zeros_for_empty_prompt: true, .. });
        let negative = if *is_empty && zeros {
            Arc::new(Embedding {
                states: first.states.zeros_like()?,
                pooled: first.pooled.as_ref().map(Tensor::zeros_like).transpose()?,
            })
        } else {
            embedding(prompt, *clip_skip)?
        };
        let others = others.iter().map(|text| condition(&*embedding(text, spec.clip_skip)?, AESTHETIC_SCORE));
        Ok(Conditions::Guided {
            negative: condition(&negative, NEGATIVE_AESTHETIC_SCORE)?,
            positive: std::iter::once(Ok(positive)).chain(others).collect::<Result<_>>()?,
            weights: spec.prompt.iter().map(|text| text.weight).collect(),
        })
    }
}

impl Alive {
    fn upgrade(&self) -> Option<Conditions> {
        let mut positive = self.positive.iter().map(Weak::upgrade).collect::<Option<Vec<_>>>()?;
        match &self.spec.negative_prompt {
            None => positive.pop().map(Conditions::One),
            Some(_) => Some(Conditions::Guided {
                negative: self.negative.upgrade()?,
                positive,
                weights: self.spec.prompt.iter().map(|text| text.weight).collect(),
            }),
        }
    }
}

fn prepare(networks: &Networks, kind: Kind, spec: &ConditionSpec, text: &Embedding, score: f32) -> Result<Condition> {
    let (height, width) = (spec.height as f32, spec.width as f32);
    // Original size, crop, and the target size or a score: Podell et al. 2023, sections 2.2 and 2.5.
    let time_ids: &[f32] = match kind {
        Kind::StableDiffusion => &[],
        Kind::StableDiffusionXl { requires_aesthetics_score: true, .. } => &[height, width, 0.0, 0.0, score],
        Kind::StableDiffusionXl { .. } => &[height, width, 0.0, 0.0, height, width],
    };
    let text_time = text.pooled.as_ref().map(|text_embeds| TextTime { text_embeds, time_ids });
    let timestep_cond = match networks.unet.config().time_cond_proj_dim() {
        Some(size) => {
            let row = guidance_scale_embedding(spec.guidance_scale - 1.0, size);
            Some(networks.unet.placement().tensor(row, (1, size))?)
        }
        None => None,
    };
    networks.unet.condition(&ConditionInputs {
        encoder_hidden_states: &text.states,
        text_time,
        class: None,
        timestep_cond: timestep_cond.as_ref(),
    })
}

/// The `size` sinusoids of a guidance scale: diffusers' `get_guidance_scale_embedding` (Luo et al. 2023, section 4.2).
fn guidance_scale_embedding(scale: f64, size: usize) -> Vec<f32> {
    let (half, scale) = (size / 2, scale as f32 * 1000.0);
    let step = 10000f32.ln() / (half as f32 - 1.0);
    let angles: Vec<f32> = (0..half).map(|i| scale * (i as f32 * -step).exp()).collect();
    let mut row: Vec<f32> =
        angles.iter().map(|angle| angle.sin()).chain(angles.iter().map(|angle| angle.cos())).collect();
    row.resize(size, 0.0);
    row
}
