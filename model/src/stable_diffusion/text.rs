//! From prompts to the embeddings that the network is conditioned on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{D, Device, Result, Tensor};

use super::chunks::{Chunk, WeightedTokens};
use super::components::{Kind, Networks};
use crate::layout::numbers;

/// Embeddings that are kept for the next request with the same text. Stable Diffusion XL's take 0.6 MB each.
const KEPT: usize = 64;
/// By how much emphasis may change the scale of all states. AUTOMATIC1111 has no bound: where weights cancel each other so that the mean
/// all but vanishes, its embedding explodes.
const MAX_RESTORATION: f64 = 100.0;

/// What the encoders make of a text.
#[derive(Debug)]
pub(super) struct Embedding {
    /// `(1, tokens, all encoders' hidden sizes)`
    pub(super) states: Tensor,
    /// `(1, projection)`, of Stable Diffusion XL.
    pub(super) pooled: Option<Tensor>,
}

/// Which embedding of a chunk is meant.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    chunk: Chunk,
    clip_skip: usize,
}

/// The embeddings of the chunks that were encoded last.
#[derive(Debug, Default)]
pub(super) struct EmbeddingCache {
    /// The latest use goes last.
    kept: Mutex<VecDeque<(Key, Arc<Embedding>)>>,
}

impl EmbeddingCache {
    /// The embedding of a text, `clip_skip` layers before the one that the pipeline takes: its chunks' states one after the other, and
    /// the first one's pooled embedding. A chunk is encoded once as long as it is kept, which does not change a bit.
    pub(super) fn get(
        &self,
        networks: &Networks,
        kind: Kind,
        chunks: &[Chunk],
        clip_skip: usize,
    ) -> Result<Arc<Embedding>> {
        let mut embeddings = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            embeddings.push(self.chunk(networks, kind, chunk, clip_skip)?);
        }
        match embeddings.as_slice() {
            [only] => Ok(Arc::clone(only)),
            [first, ..] => {
                let states: Vec<&Tensor> = embeddings.iter().map(|embedding| &embedding.states).collect();
                Ok(Arc::new(Embedding { states: Tensor::cat(&states, 1)?, pooled: first.pooled.clone() }))
            }
            [] => candle_core::bail!("a text without a chunk"),
        }
    }

    fn chunk(&self, networks: &Networks, kind: Kind, chunk: &Chunk, clip_skip: usize) -> Result<Arc<Embedding>> {
        let key = Key { chunk: chunk.clone(), clip_skip };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().position(|(other, _)| *other == key).and_then(|at| kept.remove(at));
        let (key, embedding) = match found {
            Some(entry) => entry,
            None => (key, Arc::new(encode(networks, kind, chunk, clip_skip)?)),
        };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((key, Arc::clone(&embedding)));
        Ok(embedding)
    }
}

/// diffusers' `encode_prompt`: Stable Diffusion takes the last layer, normalised; XL the last but one of both encoders, as they
/// are, side by side, and the second encoder's pooled embedding. Weights are put on each encoder's states, not on the pooled embedding.
fn encode(networks: &Networks, kind: Kind, Chunk(texts): &Chunk, clip_skip: usize) -> Result<Embedding> {
    let last = networks.text_encoders.len() - 1;
    let (mut states, mut pooled) = (Vec::with_capacity(last + 1), None);
    for (i, (encoder, text)) in networks.text_encoders.iter().zip(texts).enumerate() {
        let state = match kind {
            Kind::StableDiffusion => {
                encoder.final_layer_norm(&encoder.forward(&[&text.tokens], clip_skip, false)?.hidden_state)?
            }
            Kind::StableDiffusionXl { .. } => {
                let output = encoder.forward(&[&text.tokens], clip_skip + 1, i == last)?;
                pooled = output.pooled;
                output.hidden_state
            }
        };
        states.push(emphasised(state, text)?);
    }
    let states = if last == 0 { states.remove(0) } else { Tensor::cat(&states, D::Minus1)? };
    Ok(Embedding { states, pooled })
}

/// AUTOMATIC1111's "Original" emphasis: each token's state times its weight, then all times what restores their mean.
fn emphasised(states: Tensor, text: &WeightedTokens) -> Result<Tensor> {
    let Some(weights) = &text.weights else { return Ok(states) };
    let (_, _, hidden) = states.dims3()?;
    let mut values = numbers(&states)?;
    let mean = |values: &[f32]| values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
    let before = mean(&values);
    for (state, weight) in values.chunks_exact_mut(hidden).zip(weights) {
        state.iter_mut().for_each(|value| *value *= weight);
    }
    let restoration = before / mean(&values);
    if restoration.abs() <= MAX_RESTORATION {
        values.iter_mut().for_each(|value| *value *= restoration as f32);
    }
    Tensor::from_vec(values, states.dims(), &Device::Cpu)?.to_dtype(states.dtype())?.to_device(states.device())
}
