//! From prompts to the embeddings that the network is conditioned on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{D, Result, Tensor};

use super::components::{Kind, Networks, TextEncoderConfig};
use crate::request::RequestError;
use crate::tokenizer::Tokens;

/// Embeddings that are kept for the next request with the same text. Stable Diffusion XL's take 0.6 MB each.
const KEPT: usize = 64;

/// A text as each encoder's tokenizer has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt(Vec<Tokens>);

/// What the encoders make of a text.
#[derive(Debug)]
pub(super) struct Embedding {
    /// `(1, tokens, all encoders' hidden sizes)`
    pub(super) states: Tensor,
    /// `(1, projection)`, of Stable Diffusion XL.
    pub(super) pooled: Option<Tensor>,
}

/// Which embedding of a text is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    prompt: Prompt,
    clip_skip: usize,
}

/// The embeddings made last.
#[derive(Debug, Default)]
pub(super) struct EmbeddingCache {
    /// The latest use goes last.
    kept: Mutex<VecDeque<(Key, Arc<Embedding>)>>,
}

impl Prompt {
    pub(super) fn new(text: &str, encoders: &[TextEncoderConfig]) -> std::result::Result<Self, RequestError> {
        let refuse = |error: tokenizers::Error| RequestError { field: "prompt", message: error.to_string() };
        let tokens = encoders.iter().map(|encoder| encoder.tokenizer.encode(text).map_err(refuse));
        tokens.collect::<std::result::Result<_, _>>().map(Self)
    }

    /// How many tokens of the text no encoder sees.
    pub(super) fn removed(&self) -> usize {
        self.0.iter().map(|tokens| tokens.removed).min().unwrap_or(0)
    }
}

impl EmbeddingCache {
    /// The embedding of a text, `clip_skip` layers before the one that the pipeline takes. A text is encoded once as long as it is
    /// kept, which does not change a bit.
    pub(super) fn get(
        &self,
        networks: &Networks,
        kind: Kind,
        prompt: &Prompt,
        clip_skip: usize,
    ) -> Result<Arc<Embedding>> {
        let key = Key { prompt: prompt.clone(), clip_skip };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().position(|(other, _)| *other == key).and_then(|at| kept.remove(at));
        let (key, embedding) = match found {
            Some(entry) => entry,
            None => (key, Arc::new(encode(networks, kind, prompt, clip_skip)?)),
        };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((key, Arc::clone(&embedding)));
        Ok(embedding)
    }
}

/// diffusers' `encode_prompt`: Stable Diffusion takes the last layer, normalised; XL the last but one of both encoders, as they
/// are, side by side, and the second encoder's pooled embedding.
fn encode(networks: &Networks, kind: Kind, Prompt(prompt): &Prompt, clip_skip: usize) -> Result<Embedding> {
    let encoders = networks.text_encoders.iter().zip(prompt);
    match kind {
        Kind::StableDiffusion => {
            let states = encoders.map(|(encoder, tokens)| {
                encoder.final_layer_norm(&encoder.forward(&[tokens], clip_skip, false)?.hidden_state)
            });
            Ok(Embedding { states: beside(states.collect::<Result<_>>()?)?, pooled: None })
        }
        Kind::StableDiffusionXl { .. } => {
            let last = networks.text_encoders.len() - 1;
            let outputs =
                encoders.enumerate().map(|(i, (encoder, tokens))| encoder.forward(&[tokens], clip_skip + 1, i == last));
            let outputs = outputs.collect::<Result<Vec<_>>>()?;
            let pooled = outputs.last().and_then(|output| output.pooled.clone());
            Ok(Embedding { states: beside(outputs.into_iter().map(|output| output.hidden_state).collect())?, pooled })
        }
    }
}

fn beside(mut states: Vec<Tensor>) -> Result<Tensor> {
    if states.len() == 1 { Ok(states.remove(0)) } else { Tensor::cat(&states, D::Minus1) }
}
