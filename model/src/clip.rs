//! CLIP's text encoder, transformers' `CLIPTextModel` and `CLIPTextModelWithProjection`.

mod config;
mod layer;
mod operations;

use candle_core::{DType, Result, Tensor};
use x0_kernels::Linear;

use crate::error::LoadError;
use crate::nn::LayerNorm;
use crate::placement::Placement;
use crate::tokenizer::Tokens;
use crate::weights::Weights;
use config::Pooling;
use layer::Layer;

pub use config::ClipTextConfig;

/// A text encoder.
#[derive(Debug)]
pub struct ClipTextModel {
    /// `(vocabulary, hidden)`
    token_embedding: Tensor,
    /// `(positions, hidden)`
    position_embedding: Tensor,
    layers: Vec<Layer>,
    final_layer_norm: LayerNorm,
    text_projection: Option<Linear>,
    config: ClipTextConfig,
    placement: Placement,
}

/// What the encoder makes of some texts.
#[derive(Clone, Debug)]
pub struct ClipTextOutput {
    /// `(texts, tokens, hidden)`: the state after the layers that were not skipped, not normalised.
    pub hidden_state: Tensor,
    /// `(texts, projection_dim)`: the projected state of the end token, if it was asked for.
    pub pooled: Option<Tensor>,
}

impl ClipTextModel {
    /// Reads the weights of a `text_encoder` folder, whose names may begin with `text_model.` or not.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape than the configuration says; the message has its name.
    pub fn new(weights: &Weights, config: &ClipTextConfig) -> std::result::Result<Self, LoadError> {
        let prefixed = weights.contains("text_model.final_layer_norm.weight");
        let text_model = if prefixed { weights.at("text_model") } else { weights.clone() };
        let hidden = config.hidden_size;
        let embeddings = text_model.at("embeddings");
        let layer = |i| Layer::new(&text_model.at("encoder.layers").at(i), config);
        Ok(Self {
            token_embedding: embeddings.get_stored("token_embedding.weight", (config.vocab_size, hidden))?,
            position_embedding: embeddings
                .get("position_embedding.weight", (config.max_position_embeddings, hidden))?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<std::result::Result<_, _>>()?,
            final_layer_norm: LayerNorm::new(&text_model.at("final_layer_norm"), hidden, config.layer_norm_eps)?,
            text_projection: text_projection(weights, config)?,
            config: config.clone(),
            placement: weights.placement().clone(),
        })
    }

    /// Where it computes.
    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What the encoder was made from.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// Whether [`Self::forward`] can give a pooled embedding.
    pub fn has_projection(&self) -> bool {
        self.text_projection.is_some()
    }

    /// Encodes texts of equal length without the last `skipped` layers, as diffusers' `clip_skip` counts them.
    ///
    /// # Errors
    /// If there are fewer layers, an id is not in the vocabulary, a text is longer than the encoder's positions, or `pooled` is
    /// asked of an encoder without a projection.
    pub fn forward(&self, texts: &[&Tokens], skipped: usize, pooled: bool) -> Result<ClipTextOutput> {
        let Some(kept) = self.layers.len().checked_sub(skipped) else {
            candle_core::bail!("{skipped} of {} layers cannot be skipped", self.layers.len());
        };
        let mut x = self.embed(texts)?;
        for layer in &self.layers[..kept] {
            x = layer.forward(&x)?;
        }
        let hidden_state = x.clone();
        let pooled = if pooled {
            for layer in &self.layers[kept..] {
                x = layer.forward(&x)?;
            }
            Some(self.pool(&self.final_layer_norm(&x)?, texts)?)
        } else {
            None
        };
        Ok(ClipTextOutput { hidden_state, pooled })
    }

    /// The normalisation after the last layer, which Stable Diffusion 1 and 2 apply after whichever layer is taken.
    pub fn final_layer_norm(&self, hidden_state: &Tensor) -> Result<Tensor> {
        self.final_layer_norm.forward(hidden_state)
    }

    /// `(texts, tokens, hidden)`
    fn embed(&self, texts: &[&Tokens]) -> Result<Tensor> {
        let length = texts.first().map_or(0, |text| text.ids.len());
        if texts.iter().any(|text| text.ids.len() != length) {
            candle_core::bail!("texts of different lengths cannot be encoded together");
        }
        let ids: Vec<u32> = texts.iter().flat_map(|text| text.ids.iter().copied()).collect();
        let tokens = self.token_embedding.index_select(&Tensor::new(ids, self.token_embedding.device())?, 0)?;
        let tokens = tokens.reshape((texts.len(), length, self.config.hidden_size))?.to_dtype(DType::F32)?;
        self.placement.place(&tokens.broadcast_add(&self.position_embedding.narrow(0, 0, length)?)?)
    }

    fn pool(&self, last_hidden_state: &Tensor, texts: &[&Tokens]) -> Result<Tensor> {
        let Some(text_projection) = &self.text_projection else {
            candle_core::bail!("this text encoder has no projection");
        };
        let end =
            |(text, tokens): (usize, &&Tokens)| last_hidden_state.narrow(0, text, 1)?.narrow(1, self.end(tokens), 1);
        let ends = texts.iter().enumerate().map(end).collect::<Result<Vec<_>>>()?;
        text_projection.forward(&Tensor::cat(&ends, 0)?.squeeze(1)?)
    }

    /// The place of the token whose state stands for the text.
    fn end(&self, tokens: &Tokens) -> usize {
        let end = match self.config.pooling {
            Pooling::HighestId => tokens.ids.iter().max(),
            Pooling::First(id) => tokens.ids.iter().find(|token| **token == id),
        };
        tokens.ids.iter().position(|token| Some(token) == end).unwrap_or(0)
    }
}

/// `text_projection.weight` `(out, in)`, or OpenCLIP's `text_projection` `(in, out)`.
fn text_projection(weights: &Weights, config: &ClipTextConfig) -> std::result::Result<Option<Linear>, LoadError> {
    let (hidden, projected) = (config.hidden_size, config.projection_dim);
    let weight = if weights.contains("text_projection.weight") {
        weights.get_stored("text_projection.weight", (projected, hidden))?
    } else if weights.contains("text_projection") {
        weights.get_stored("text_projection", (hidden, projected))?.t()?.contiguous()?
    } else {
        return Ok(None);
    };
    Ok(Some(Linear::new(&weight, None)?))
}
