//! From the options of `config.json` to the parts of a checked configuration.

use super::config::{AddedConfig, Block, ClassConfig, Level, TimeConfig, TimeProjectionConfig};
use super::options::{BlockType, Depth, MidBlockType, Options, PerBlock};

const MAX_BLOCKS: usize = 16;
/// Most layers of a block, and most transformer blocks of a layer.
pub(super) const MAX_LAYERS: usize = 64;

pub(super) fn within(key: &str, value: usize, max: usize) -> Result<(), String> {
    if (1..=max).contains(&value) { Ok(()) } else { Err(format!("`{key}` is {value}, not 1 to {max}")) }
}

pub(super) fn levels(options: &Options) -> Result<Vec<Level>, String> {
    let blocks = options.block_out_channels.len();
    within("block_out_channels", blocks, MAX_BLOCKS)?;
    let same_length = |key: &str, len: usize| {
        if len == blocks { Ok(()) } else { Err(format!("`{key}` lists {len} blocks, `block_out_channels` {blocks}")) }
    };
    same_length("down_block_types", options.down_block_types.len())?;
    same_length("up_block_types", options.up_block_types.len())?;
    let layers = options.layers_per_block.expand(blocks, "layers_per_block")?;
    let heads = options.attention_head_dim.expand(blocks, "attention_head_dim")?;
    let cross_attention_dims = options.cross_attention_dim.expand(blocks, "cross_attention_dim")?;
    let only_cross_attention = options.only_cross_attention.expand(blocks, "only_cross_attention")?;
    let depths = options.transformer_layers_per_block.expand(blocks, "transformer_layers_per_block")?;
    let up_depths = match &options.reverse_transformer_layers_per_block {
        // This list is in the order of the way up.
        Some(depths) => depths.expand(blocks, "reverse_transformer_layers_per_block")?.into_iter().rev().collect(),
        None if depths.iter().any(|depth| matches!(depth, Depth::PerLayer(_))) => {
            return Err("nested `transformer_layers_per_block` need `reverse_transformer_layers_per_block`".into());
        }
        None => depths.clone(),
    };
    (0..blocks)
        .map(|i| {
            within("layers_per_block", layers[i], MAX_LAYERS)?;
            let block = |block_type, depth: &Depth, layers| -> Result<Block, String> {
                match block_type {
                    BlockType::Plain => Ok(Block::Plain),
                    BlockType::CrossAttention => {
                        let depths = depth.expand(layers)?;
                        Ok(Block::Transformer { depths, only_cross_attention: only_cross_attention[i] })
                    }
                }
            };
            Ok(Level {
                channels: options.block_out_channels[i],
                layers: layers[i],
                heads: heads[i],
                cross_attention_dim: cross_attention_dims[i],
                down: block(options.down_block_types[i], &depths[i], layers[i])?,
                up: block(options.up_block_types[blocks - 1 - i], &up_depths[i], layers[i] + 1)?,
            })
        })
        .collect()
}

pub(super) fn mid(options: &Options) -> Result<Option<Block>, String> {
    Ok(match options.mid_block_type {
        None => None,
        Some(MidBlockType::UNetMidBlock2D) => Some(Block::Plain),
        Some(MidBlockType::UNetMidBlock2DCrossAttn) => {
            let depth = match &options.transformer_layers_per_block {
                PerBlock::Same(depth) => depth,
                PerBlock::Each(depths) => depths.last().ok_or("`transformer_layers_per_block` is empty")?,
            };
            Some(Block::Transformer { depths: depth.expand(1)?, only_cross_attention: false })
        }
    })
}

impl Depth {
    /// One depth for each of `layers`; what a list has beyond them means nothing.
    fn expand(&self, layers: usize) -> Result<Vec<usize>, String> {
        let depths: Vec<usize> = match self {
            Self::Same(depth) => vec![*depth; layers],
            Self::PerLayer(depths) => depths.iter().copied().take(layers).collect(),
        };
        if depths.len() < layers {
            return Err(format!("`transformer_layers_per_block` lists {} of {layers} layers", depths.len()));
        }
        depths.iter().try_for_each(|depth| within("transformer_layers_per_block", *depth, MAX_LAYERS))?;
        Ok(depths)
    }
}

pub(super) fn time(options: &Options, channels: usize) -> Result<TimeConfig, String> {
    let flip_sin_to_cos = options.flip_sin_to_cos;
    let (projection, inputs, outputs) = match options.time_embedding_type.as_str() {
        "positional" => {
            let projection = TimeProjectionConfig::Positional { flip_sin_to_cos, freq_shift: options.freq_shift };
            (projection, channels, options.time_embedding_dim.unwrap_or(4 * channels))
        }
        "fourier" => {
            let outputs = options.time_embedding_dim.unwrap_or(2 * channels);
            if !outputs.is_multiple_of(2) {
                return Err(format!("`time_embedding_dim` is {outputs}, not an even number"));
            }
            (TimeProjectionConfig::Fourier { flip_sin_to_cos }, outputs, outputs)
        }
        other => return Err(format!("`time_embedding_type` = {other} is not supported")),
    };
    Ok(TimeConfig {
        projection,
        inputs,
        outputs,
        post_activation: options.timestep_post_act,
        sum_activation: options.time_embedding_act_fn,
        cond_proj_dim: options.time_cond_proj_dim,
    })
}

pub(super) fn class(options: &Options) -> Result<ClassConfig, String> {
    let inputs = || {
        let inputs = options.projection_class_embeddings_input_dim;
        inputs.ok_or("this `class_embed_type` needs `projection_class_embeddings_input_dim`".to_owned())
    };
    match (options.class_embed_type.as_deref(), options.num_class_embeds) {
        (None, None) => Ok(ClassConfig::None),
        (None, Some(classes)) => {
            within("num_class_embeds", classes, 1 << 20)?;
            Ok(ClassConfig::Table(classes))
        }
        (Some("timestep"), _) => Ok(ClassConfig::Timestep),
        (Some("identity"), _) => Ok(ClassConfig::Identity),
        (Some("projection"), _) => Ok(ClassConfig::Projection(inputs()?)),
        (Some("simple_projection"), _) => Ok(ClassConfig::SimpleProjection(inputs()?)),
        (Some(other), _) => Err(format!("`class_embed_type` = {other} is not supported")),
    }
}

pub(super) fn added(options: &Options) -> Result<Option<AddedConfig>, String> {
    match options.addition_embed_type.as_deref() {
        None => Ok(None),
        Some("text_time") => {
            let (Some(time_embed_dim), Some(inputs)) =
                (options.addition_time_embed_dim, options.projection_class_embeddings_input_dim)
            else {
                let keys = "`addition_time_embed_dim` and `projection_class_embeddings_input_dim`";
                return Err(format!("`addition_embed_type` = text_time needs {keys}"));
            };
            let Options { flip_sin_to_cos, freq_shift, .. } = *options;
            Ok(Some(AddedConfig { flip_sin_to_cos, freq_shift, time_embed_dim, inputs }))
        }
        Some(other) => Err(format!("`addition_embed_type` = {other} is not supported")),
    }
}
