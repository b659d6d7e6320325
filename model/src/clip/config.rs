//! `text_encoder/config.json` of a CLIP text model.

use serde::Deserialize;
use serde_json::Value;
use x0_kernels::Activation;

use crate::error::LoadError;
use crate::folder::Folder;

const FILE: &str = "config.json";
const MAX_LAYERS: usize = 256;
const MAX_SIZE: usize = 1 << 16;
const MAX_VOCABULARY: usize = 1 << 22;

/// A text encoder's shape, checked; only [`Self::read`] and [`Self::parse`] make one.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipTextConfig {
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(crate) max_position_embeddings: usize,
    pub(super) activation: Activation,
    pub(super) layer_norm_eps: f64,
    pub(crate) projection_dim: usize,
    pub(super) pooling: Pooling,
}

/// Which token's state stands for the whole text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// The one with the highest id: what files with the `eos_token_id` 2 mean, which was a mistake once.
    HighestId,
    /// The first with that id, or else the first of all.
    First(u32),
}

/// The keys and transformers' defaults, see `configuration_clip.py`. There are many more, which mean nothing to the network.
#[derive(Deserialize)]
#[serde(default)]
struct Options {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    projection_dim: usize,
    eos_token_id: u32,
    use_attention_mask: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
            projection_dim: 512,
            eos_token_id: 49407,
            use_attention_mask: false,
        }
    }
}

impl ClipTextConfig {
    /// Reads `config.json` of a `text_encoder` folder.
    ///
    /// # Errors
    /// If a value is not one that transformers knows, is not supported here, or does not fit the others.
    pub fn read(folder: &Folder) -> Result<Self, LoadError> {
        Self::from_json(folder.json(FILE)?).map_err(|message| LoadError::Config { path: folder.path_of(FILE), message })
    }

    /// Reads a configuration that `name` stands for in messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(name: &str, json: &str) -> Result<Self, LoadError> {
        let config = |message| LoadError::Config { path: name.to_owned(), message };
        let value = serde_json::from_str(json).map_err(|error| config(error.to_string()))?;
        Self::from_json(value).map_err(config)
    }

    fn from_json(mut value: Value) -> Result<Self, String> {
        // The configuration of a whole CLIP model has the text encoder's inside.
        if let Some(text) = value.get_mut("text_config") {
            value = text.take();
        }
        let options: Options = serde_json::from_value(value).map_err(|error| error.to_string())?;
        let config = Self {
            vocab_size: options.vocab_size,
            hidden_size: options.hidden_size,
            intermediate_size: options.intermediate_size,
            num_hidden_layers: options.num_hidden_layers,
            num_attention_heads: options.num_attention_heads,
            max_position_embeddings: options.max_position_embeddings,
            activation: match options.hidden_act.as_str() {
                "quick_gelu" => Activation::QuickGelu,
                "gelu" => Activation::Gelu,
                "relu" => Activation::Relu,
                "silu" | "swish" => Activation::Silu,
                other => return Err(format!("`hidden_act` = {other} is not supported")),
            },
            layer_norm_eps: options.layer_norm_eps,
            projection_dim: options.projection_dim,
            pooling: match options.eos_token_id {
                2 => Pooling::HighestId,
                id => Pooling::First(id),
            },
        };
        if options.use_attention_mask {
            return Err("`use_attention_mask` = true is not supported".into());
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let sizes = [
            ("vocab_size", self.vocab_size, MAX_VOCABULARY),
            ("hidden_size", self.hidden_size, MAX_SIZE),
            ("intermediate_size", self.intermediate_size, MAX_SIZE),
            ("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS),
            ("num_attention_heads", self.num_attention_heads, self.hidden_size),
            ("max_position_embeddings", self.max_position_embeddings, MAX_SIZE),
            ("projection_dim", self.projection_dim, MAX_SIZE),
        ];
        for (key, value, max) in sizes {
            if !(1..=max).contains(&value) {
                return Err(format!("`{key}` is {value}, not 1 to {max}"));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!(
                "`num_attention_heads` = {} does not divide `hidden_size` = {}",
                self.num_attention_heads, self.hidden_size
            ));
        }
        Ok(())
    }
}
