//! The text encoders of a checkpoint: OpenAI's CLIP as transformers names it, or OpenCLIP's
//! (<https://github.com/mlfoundations/open_clip>).

use serde_json::json;

use super::names::{Names, count, shape_of, split, split_number};
use crate::clip::ClipTextConfig;
use crate::error::LoadError;
use crate::tokenizer::Pad;
use crate::weights::{TensorPart, Weights};

/// Channels of each attention head, in all the text encoders of Stable Diffusion.
const HEAD_CHANNELS: usize = 64;

/// A text encoder of a checkpoint, by where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextEncoder {
    OpenAi {
        prefix: &'static str,
    },
    OpenClip {
        prefix: &'static str,
        /// Whether its last layer is left out, as Stable Diffusion 2 does, which never uses it.
        without_last_layer: bool,
    },
}

impl TextEncoder {
    /// The token that texts are padded with.
    pub(super) fn pad(self) -> Pad {
        match self {
            Self::OpenAi { .. } => Pad::End,
            Self::OpenClip { .. } => Pad::ExclamationMark,
        }
    }

    /// The configuration that the tensors' names and shapes tell.
    pub(super) fn config(self, path: &str, weights: &Weights) -> Result<ClipTextConfig, LoadError> {
        let refuse = |message| LoadError::Format { path: path.to_owned(), message };
        let shape = |name: String| shape_of(weights, &name).map_err(refuse);
        let exists = |name: &str| weights.contains(name);
        let options = match self {
            Self::OpenAi { prefix } => {
                let model = text_model(weights, prefix);
                let tokens = shape(format!("{model}.embeddings.token_embedding.weight"))?;
                json!({
                    "vocab_size": tokens[0],
                    "hidden_size": tokens.get(1),
                    "max_position_embeddings": shape(format!("{model}.embeddings.position_embedding.weight"))?[0],
                    "intermediate_size": shape(format!("{model}.encoder.layers.0.mlp.fc1.weight"))?[0],
                    "num_hidden_layers": count(|i| format!("{model}.encoder.layers.{i}.mlp.fc1.weight"), exists),
                    "hidden_act": "quick_gelu",
                })
            }
            Self::OpenClip { prefix, without_last_layer } => {
                let tokens = shape(format!("{prefix}.token_embedding.weight"))?;
                let layers = count(|i| format!("{prefix}.transformer.resblocks.{i}.mlp.c_fc.weight"), exists);
                let projection = weights.shape(&format!("{prefix}.text_projection"));
                json!({
                    "vocab_size": tokens[0],
                    "hidden_size": tokens.get(1),
                    "max_position_embeddings": shape(format!("{prefix}.positional_embedding"))?[0],
                    "intermediate_size": shape(format!("{prefix}.transformer.resblocks.0.mlp.c_fc.weight"))?[0],
                    "num_hidden_layers": layers.saturating_sub(usize::from(without_last_layer)),
                    "hidden_act": "gelu",
                    "projection_dim": projection.as_ref().and_then(|shape| shape.get(1)).or(tokens.get(1)),
                    // OpenCLIP pools the token with the highest id.
                    "eos_token_id": 2,
                })
            }
        };
        let hidden = options["hidden_size"].as_u64().unwrap_or(0) as usize;
        let mut options = options;
        options["num_attention_heads"] = (hidden / HEAD_CHANNELS).max(1).into();
        ClipTextConfig::parse(path, &options.to_string())
    }

    /// The encoder's tensors by transformers' names.
    pub(super) fn view(self, weights: &Weights, config: &ClipTextConfig) -> Result<Weights, LoadError> {
        match self {
            Self::OpenAi { prefix } => Names::renamed(weights, prefix, |name| Some(name.to_owned())).view(weights),
            Self::OpenClip { prefix, without_last_layer } => {
                let mut names = Names::renamed(weights, prefix, |name| match name {
                    // Only Stable Diffusion XL pools.
                    "text_projection" if without_last_layer => None,
                    name => open_clip(name),
                });
                let hidden = config.hidden_size;
                for layer in 0..config.num_hidden_layers {
                    for (i, part) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
                        for kind in ["weight", "bias"] {
                            let joined = format!("{prefix}.transformer.resblocks.{layer}.attn.in_proj_{kind}");
                            let name = format!("text_model.encoder.layers.{layer}.self_attn.{part}.{kind}");
                            names.insert(name, TensorPart::rows(joined, i * hidden..(i + 1) * hidden));
                        }
                    }
                }
                names.view(weights)
            }
        }
    }
}

/// Older checkpoints lack a part of the name.
fn text_model(weights: &Weights, prefix: &str) -> String {
    let full = format!("{prefix}.text_model");
    if weights.contains(&format!("{full}.final_layer_norm.weight")) { full } else { prefix.to_owned() }
}

/// The name in transformers of a tensor of OpenCLIP's text encoder; queries, keys and values are one tensor there.
fn open_clip(name: &str) -> Option<String> {
    match name {
        "positional_embedding" => return Some("text_model.embeddings.position_embedding.weight".into()),
        "token_embedding.weight" => return Some("text_model.embeddings.token_embedding.weight".into()),
        "text_projection" => return Some(name.into()),
        _ => {}
    }
    if let Some(rest) = name.strip_prefix("ln_final.") {
        return Some(format!("text_model.final_layer_norm.{rest}"));
    }
    let (layer, rest) = split_number(name.strip_prefix("transformer.resblocks.")?)?;
    let (part, of_part) = split(rest)?;
    let renamed = match part {
        "ln_1" => format!("layer_norm1.{of_part}"),
        "ln_2" => format!("layer_norm2.{of_part}"),
        "attn" => format!("self_attn.out_proj.{}", of_part.strip_prefix("out_proj.")?),
        "mlp" => match split(of_part)? {
            ("c_fc", rest) => format!("mlp.fc1.{rest}"),
            ("c_proj", rest) => format!("mlp.fc2.{rest}"),
            _ => return None,
        },
        _ => return None,
    };
    Some(format!("text_model.encoder.layers.{layer}.{renamed}"))
}
