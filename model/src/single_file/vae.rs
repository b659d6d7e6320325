//! The autoencoder of a checkpoint, `diffusionmodules/model.py` of <https://github.com/CompVis/stable-diffusion>.

use serde_json::json;

use super::names::{Names, count, shape_of, split, split_number};
use crate::autoencoder_kl::AutoencoderKLConfig;
use crate::error::LoadError;
use crate::weights::Weights;

/// Its name in LDM's own checkpoints, and in some that were written by others.
const PREFIXES: [&str; 2] = ["first_stage_model", "vae"];

fn prefix(weights: &Weights) -> Result<&'static str, String> {
    let found = PREFIXES.into_iter().find(|prefix| weights.contains(&format!("{prefix}.encoder.conv_in.weight")));
    found.ok_or_else(|| "the checkpoint has no autoencoder: take one that includes it".to_owned())
}

/// The configuration that the tensors' names and shapes tell.
pub(super) fn config(
    path: &str,
    weights: &Weights,
    sample_size: usize,
    scaling_factor: f64,
) -> Result<AutoencoderKLConfig, LoadError> {
    let refuse = |message| LoadError::Format { path: path.to_owned(), message };
    let prefix = prefix(weights).map_err(refuse)?;
    let exists = |name: &str| weights.contains(name);
    let shape = |name: &str| shape_of(weights, &format!("{prefix}.{name}")).map_err(refuse);
    let block = |level: usize, block: usize| format!("{prefix}.encoder.down.{level}.block.{block}.conv1.weight");
    let levels = count(|level| block(level, 0), exists);
    let channels =
        (0..levels).map(|level| shape(&format!("encoder.down.{level}.block.0.conv1.weight")).map(|shape| shape[0]));
    let channels = channels.collect::<Result<Vec<_>, _>>()?;
    let options = json!({
        "block_out_channels": channels,
        "down_block_types": vec!["DownEncoderBlock2D"; levels],
        "up_block_types": vec!["UpDecoderBlock2D"; levels],
        "layers_per_block": count(|i| block(0, i), exists),
        "latent_channels": shape("decoder.conv_in.weight")?.get(1),
        "sample_size": sample_size,
        "scaling_factor": scaling_factor,
        "mid_block_add_attention": exists(&format!("{prefix}.encoder.mid.attn_1.q.weight")),
        "use_quant_conv": exists(&format!("{prefix}.quant_conv.weight")),
        "use_post_quant_conv": exists(&format!("{prefix}.post_quant_conv.weight")),
    });
    AutoencoderKLConfig::parse(path, &options.to_string())
}

/// The autoencoder's tensors by diffusers' names.
pub(super) fn view(path: &str, weights: &Weights, config: &AutoencoderKLConfig) -> Result<Weights, LoadError> {
    let prefix = prefix(weights).map_err(|message| LoadError::Format { path: path.to_owned(), message })?;
    let last = config.block_out_channels.len() - 1;
    Names::renamed(weights, prefix, |name| rename(name, last))
        .with_matrices(weights, |name| name.contains(".attentions."))
        .view(weights)
}

/// `last` is the number of the level with the smallest maps.
fn rename(name: &str, last: usize) -> Option<String> {
    let (half, rest) = split(name)?;
    match half {
        "quant_conv" | "post_quant_conv" => Some(name.to_owned()),
        "encoder" | "decoder" => Some(format!("{half}.{}", rename_half(rest, last)?)),
        _ => None,
    }
}

fn rename_half(name: &str, last: usize) -> Option<String> {
    let (part, rest) = split(name)?;
    match part {
        "conv_in" | "conv_out" => Some(name.to_owned()),
        "norm_out" => Some(format!("conv_norm_out.{rest}")),
        "mid" => match split(rest)? {
            ("block_1", rest) => Some(format!("mid_block.resnets.0.{rest}")),
            ("attn_1", rest) => Some(format!("mid_block.attentions.0.{}", attention(rest)?)),
            ("block_2", rest) => Some(format!("mid_block.resnets.1.{rest}")),
            _ => None,
        },
        "down" => {
            let (level, rest) = split_number(rest)?;
            Some(format!("down_blocks.{level}.{}", level_part(rest)?))
        }
        "up" => {
            // LDM counts the levels of the decoder as those of the encoder, diffusers in the order of the way up.
            let (level, rest) = split_number(rest)?;
            Some(format!("up_blocks.{}.{}", last.checked_sub(level)?, level_part(rest)?))
        }
        _ => None,
    }
}

fn level_part(rest: &str) -> Option<String> {
    match split(rest)? {
        ("block", rest) => Some(format!("resnets.{}", rest.replace("nin_shortcut", "conv_shortcut"))),
        ("downsample", rest) => Some(format!("downsamplers.0.{rest}")),
        ("upsample", rest) => Some(format!("upsamplers.0.{rest}")),
        _ => None,
    }
}

fn attention(rest: &str) -> Option<String> {
    let (layer, rest) = split(rest)?;
    let names = [("norm", "group_norm"), ("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")];
    names.iter().find(|(old, _)| *old == layer).map(|(_, new)| format!("{new}.{rest}"))
}
