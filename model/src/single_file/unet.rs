//! The UNet of a checkpoint, `openaimodel.py` of <https://github.com/CompVis/stable-diffusion>: its blocks stand in one row, each input
//! block beside the output block that takes its skip connection.

use serde_json::json;

use super::names::{Names, count, shape_of, split, split_number};
use crate::error::LoadError;
use crate::unet_2d_condition::{Block, Level, UNet2DConditionConfig};
use crate::weights::Weights;

const PREFIX: &str = "model.diffusion_model";
/// Channels of each attention head, of the models that do not have a fixed number of heads.
const HEAD_CHANNELS: usize = 64;

/// How many heads an attention has, which a checkpoint does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heads {
    Eight,
    OfSixtyFour,
}

/// Where the blocks of the row stand in diffusers' levels.
#[derive(Debug)]
pub(super) struct Layout {
    /// Layers of each level, from the largest maps to the smallest.
    layers: Vec<usize>,
}

/// One block of the row.
enum Place {
    Layer { level: usize, layer: usize },
    Resampler { level: usize },
}

impl Layout {
    fn read(weights: &Weights) -> Result<Self, String> {
        let exists =
            |block: usize, part: &str| weights.contains(&format!("{PREFIX}.input_blocks.{block}.0.{part}.weight"));
        let mut layers = vec![0];
        for block in 1.. {
            if exists(block, "op") {
                layers.push(0);
            } else if exists(block, "in_layers.2") {
                let last = layers.len() - 1;
                layers[last] += 1;
            } else {
                break;
            }
        }
        if layers.contains(&0) {
            return Err(format!("the blocks of {PREFIX} are not those of a Stable Diffusion UNet"));
        }
        Ok(Self { layers })
    }

    /// Where input block `index` stands; the first one is the input convolution.
    fn input(&self, index: usize) -> Option<Place> {
        let mut first = 1;
        for (level, layers) in self.layers.iter().enumerate() {
            let layer = index.checked_sub(first)?;
            if layer < *layers {
                return Some(Place::Layer { level, layer });
            }
            if layer == *layers {
                return Some(Place::Resampler { level });
            }
            first += layers + 1;
        }
        None
    }

    fn first_input(&self, level: usize) -> usize {
        1 + self.layers[..level].iter().map(|layers| layers + 1).sum::<usize>()
    }

    /// Level and layer of output block `index`. Each level has one layer more than on the way down.
    fn output(&self, index: usize) -> Option<(usize, usize)> {
        let mut first = 0;
        for (level, layers) in self.layers.iter().enumerate().rev() {
            let layer = index.checked_sub(first)?;
            if layer <= *layers {
                return Some((level, layer));
            }
            first += layers + 1;
        }
        None
    }

    fn first_output(&self, level: usize) -> usize {
        self.layers[level + 1..].iter().map(|layers| layers + 1).sum()
    }

    fn levels(&self) -> usize {
        self.layers.len()
    }

    /// The name in diffusers of a tensor below the UNet's prefix.
    fn rename(&self, name: &str) -> Option<String> {
        let (first, rest) = split(name)?;
        match first {
            "time_embed" => Some(format!("time_embedding.{}", pair(rest)?)),
            "label_emb" => Some(format!("add_embedding.{}", pair(rest.strip_prefix("0.")?)?)),
            "out" => match split_number(rest)? {
                (0, rest) => Some(format!("conv_norm_out.{rest}")),
                (2, rest) => Some(format!("conv_out.{rest}")),
                _ => None,
            },
            "input_blocks" => {
                let (block, rest) = split_number(rest)?;
                if block == 0 {
                    return Some(format!("conv_in.{}", rest.strip_prefix("0.")?));
                }
                match self.input(block)? {
                    Place::Layer { level, layer } => layer_name(&format!("down_blocks.{level}"), layer, rest),
                    Place::Resampler { level } => {
                        Some(format!("down_blocks.{level}.downsamplers.0.conv.{}", rest.strip_prefix("0.op.")?))
                    }
                }
            }
            "middle_block" => match split_number(rest)? {
                (0, rest) => Some(format!("mid_block.resnets.0.{}", resnet(rest)?)),
                (1, rest) => Some(format!("mid_block.attentions.0.{rest}")),
                (2, rest) => Some(format!("mid_block.resnets.1.{}", resnet(rest)?)),
                _ => None,
            },
            "output_blocks" => {
                let (block, rest) = split_number(rest)?;
                let (level, layer) = self.output(block)?;
                let up_block = format!("up_blocks.{}", self.levels() - 1 - level);
                // The enlargement is the block's last part, after an attention if there is one.
                let (part, of_part) = split_number(rest)?;
                match of_part.strip_prefix("conv.") {
                    Some(rest) if part > 0 => Some(format!("{up_block}.upsamplers.0.conv.{rest}")),
                    _ => layer_name(&up_block, layer, rest),
                }
            }
            _ => None,
        }
    }
}

/// A residual block or the transformer after it.
fn layer_name(block: &str, layer: usize, rest: &str) -> Option<String> {
    match split_number(rest)? {
        (0, rest) => Some(format!("{block}.resnets.{layer}.{}", resnet(rest)?)),
        (1, rest) => Some(format!("{block}.attentions.{layer}.{rest}")),
        _ => None,
    }
}

/// The layers of a residual block are numbered in its three sequences.
fn resnet(rest: &str) -> Option<String> {
    let names = [
        ("in_layers.0.", "norm1"),
        ("in_layers.2.", "conv1"),
        ("emb_layers.1.", "time_emb_proj"),
        ("out_layers.0.", "norm2"),
        ("out_layers.3.", "conv2"),
        ("skip_connection.", "conv_shortcut"),
    ];
    names.iter().find_map(|(old, new)| Some(format!("{new}.{}", rest.strip_prefix(old)?)))
}

/// Two linear layers around an activation.
fn pair(rest: &str) -> Option<String> {
    match split_number(rest)? {
        (0, rest) => Some(format!("linear_1.{rest}")),
        (2, rest) => Some(format!("linear_2.{rest}")),
        _ => None,
    }
}

/// Sizes that the whole network has.
struct Sizes {
    time: usize,
    /// Of the condition that is added to the time embedding.
    added: Option<usize>,
}

/// The configuration that the tensors' names and shapes tell. `pooled` is the size of the pooled text of Stable Diffusion XL, beside which
/// stand `numbers` embedded numbers; `sample_size` is that of the latents that the model was trained for.
pub(super) fn config(
    path: &str,
    weights: &Weights,
    heads: Heads,
    sample_size: usize,
    added: Option<(usize, usize)>,
) -> Result<UNet2DConditionConfig, LoadError> {
    let refuse = |message| LoadError::Format { path: path.to_owned(), message };
    let layout = Layout::read(weights).map_err(refuse)?;
    let levels = levels(weights, &layout, heads).map_err(refuse)?;
    let mid = Block::Transformer { depths: vec![depth(weights, "middle_block.1")], only_cross_attention: false };
    let shape = |name: &str| shape_of(weights, &format!("{PREFIX}.{name}")).map_err(refuse);
    let sizes = Sizes {
        time: shape("time_embed.0.weight")?[0],
        added: weights.shape(&format!("{PREFIX}.label_emb.0.0.weight")).and_then(|shape| shape.get(1).copied()),
    };
    let projection = shape("middle_block.1.proj_in.weight")?;
    let mut options = json!({
        "sample_size": sample_size,
        "in_channels": shape("input_blocks.0.0.weight")?.get(1),
        "out_channels": shape("out.2.weight")?.first(),
        "block_out_channels": levels.iter().map(|level| level.channels).collect::<Vec<_>>(),
        "down_block_types": vec!["DownBlock2D"; levels.len()],
        "up_block_types": vec!["UpBlock2D"; levels.len()],
        "attention_head_dim": 1,
        "use_linear_projection": projection.len() == 2,
        "time_embedding_dim": sizes.time,
    });
    if let (Some(inputs), Some((pooled, numbers))) = (sizes.added, added) {
        options["addition_embed_type"] = "text_time".into();
        options["projection_class_embeddings_input_dim"] = inputs.into();
        options["addition_time_embed_dim"] = (inputs.saturating_sub(pooled) / numbers).into();
    }
    UNet2DConditionConfig::parse(path, &options.to_string())?.with_blocks(path, levels, mid)
}

fn levels(weights: &Weights, layout: &Layout, heads: Heads) -> Result<Vec<Level>, String> {
    let level = |i: usize| {
        let (first_input, first_output, layers) = (layout.first_input(i), layout.first_output(i), layout.layers[i]);
        let down = format!("input_blocks.{first_input}");
        let channels = shape_of(weights, &format!("{PREFIX}.{down}.0.in_layers.2.weight"))?[0];
        let block = |kind: &str, first: usize, layers: usize| {
            let depths = (first..first + layers).map(|block| depth(weights, &format!("{kind}.{block}.1")));
            block_of(depths.collect())
        };
        let text = |block: &str| weights.shape(&format!("{PREFIX}.{block}.1.transformer_blocks.0.attn2.to_k.weight"));
        // A level without attention takes the size from the middle block.
        let cross_attention_dim = text(&down)
            .or_else(|| weights.shape(&format!("{PREFIX}.middle_block.1.transformer_blocks.0.attn2.to_k.weight")))
            .and_then(|shape| shape.get(1).copied())
            .ok_or("the UNet has no attention to a text")?;
        Ok::<_, String>(Level {
            channels,
            layers,
            heads: match heads {
                Heads::Eight => 8,
                Heads::OfSixtyFour => (channels / HEAD_CHANNELS).max(1),
            },
            cross_attention_dim,
            down: block("input_blocks", first_input, layers)?,
            up: block("output_blocks", first_output, layers + 1)?,
        })
    };
    (0..layout.levels()).map(level).collect()
}

/// All layers of a block have a transformer, or none has.
fn block_of(depths: Vec<usize>) -> Result<Block, String> {
    if depths.iter().all(|depth| *depth == 0) {
        Ok(Block::Plain)
    } else if depths.contains(&0) {
        Err("a block of the UNet has attention in some layers only".into())
    } else {
        Ok(Block::Transformer { depths, only_cross_attention: false })
    }
}

/// How many transformer blocks there are below a name.
fn depth(weights: &Weights, name: &str) -> usize {
    count(|i| format!("{PREFIX}.{name}.transformer_blocks.{i}.norm1.weight"), |name| weights.contains(name))
}

/// The UNet's tensors by diffusers' names.
pub(super) fn view(path: &str, weights: &Weights) -> Result<Weights, LoadError> {
    let layout = Layout::read(weights).map_err(|message| LoadError::Format { path: path.to_owned(), message })?;
    Names::renamed(weights, PREFIX, |name| layout.rename(name)).view(weights)
}
