//! How much memory and arithmetic a request takes, from the configurations alone.

use super::components::{AutoencoderConfig, Components};
use super::maps::LatentShape;
use crate::autoencoder_kl::AutoencoderKLConfig;
use crate::request::RequestError;
use crate::unet_2d_condition::{Block, Level, UNet2DConditionConfig};

const FLOAT: u64 = 4;
/// What the estimates below are multiplied by, so that measured peaks lie below; see the test.
const MARGIN: f64 = 1.25;
/// What a process holds beside all that, whatever the model: the program itself, buffers that are kept for the next call, the
/// kernels' working memory, and what blocks are larger than what was asked for.
const BESIDE: u64 = 512 << 20;

/// The memory that there is, and what the weights take of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// In bytes; none for no limit.
    pub(super) limit: Option<u64>,
    /// Bytes of all weights.
    pub(super) weights: u64,
}

/// What one image takes beside the weights, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// The conditions of its rows, as long as it is being made.
    conditions: u64,
    /// While the network is called.
    step: u64,
    /// While the latents are decoded as a whole.
    decode: u64,
    /// While a tile of them is decoded, and the picture that the tiles become.
    decode_tiled: u64,
}

/// Floating-point operations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Operations {
    pub(super) step: f64,
    pub(super) decode: f64,
}

impl Budget {
    /// Whether latents can only be decoded in tiles.
    pub(super) fn must_tile(self, needs: &Needs) -> bool {
        self.limit.is_some_and(|limit| self.total(needs, false) > limit)
    }

    /// Refuses what cannot fit.
    pub(super) fn admit(self, needs: &Needs, tiled: bool) -> Result<(), RequestError> {
        let total = self.total(needs, tiled);
        match self.limit {
            Some(limit) if total > limit => {
                let gigabytes = |bytes: u64| bytes as f64 / 1e9;
                let message = format!(
                    "a picture of this size needs about {:.1} GB of memory with this model; there are {:.1} GB",
                    gigabytes(total),
                    gigabytes(limit)
                );
                // A smaller picture helps only if it is not the weights that are too large.
                let field = if self.weights > limit { "model" } else { "width" };
                Err(RequestError { field, message })
            }
            _ => Ok(()),
        }
    }

    fn total(self, needs: &Needs, tiled: bool) -> u64 {
        let decode = if tiled { needs.decode_tiled } else { needs.decode };
        self.weights + BESIDE + needs.conditions + needs.step.max(decode)
    }
}

impl Needs {
    /// Of an image with so many rows in a network call, each conditioned on so many tokens.
    pub(super) fn of(components: &Components, shape: LatentShape, rows: u64, tokens: u64) -> Self {
        let bytes = |floats: u64| (floats as f64 * FLOAT as f64 * MARGIN) as u64;
        let (height, width) = (shape.height as u64, shape.width as u64);
        let (decode, decode_tiled) = match &components.vae {
            AutoencoderConfig::Kl(config) => {
                let tile = config.tile_size();
                let tile = LatentShape { height: tile.min(shape.height), width: tile.min(shape.width), ..shape };
                let picture = 3 * (config.scale() as u64).pow(2) * height * width;
                let tiles = 3 * picture + decoder(config, tile.height as u64, tile.width as u64);
                (decoder(config, height, width), tiles)
            }
            AutoencoderConfig::Tiny(config) => {
                let channels = *config.decoder_block_out_channels.iter().max().unwrap_or(&1) as u64;
                let floats = 4 * channels * (config.scale() as u64).pow(2) * height * width;
                (floats, floats)
            }
        };
        Self {
            conditions: rows * keys_values(&components.unet, tokens) * FLOAT,
            step: bytes(rows * unet(&components.unet, height, width)),
            decode: bytes(decode),
            decode_tiled: bytes(decode_tiled),
        }
    }
}

/// Height and width of a level's maps.
fn halved(size: u64, level: usize) -> u64 {
    size.div_ceil(1 << level)
}

/// Numbers of the keys and values of all cross-attentions.
fn keys_values(unet: &UNet2DConditionConfig, tokens: u64) -> u64 {
    let depth = |block: &Block| match block {
        Block::Plain => 0,
        Block::Transformer { depths, only_cross_attention } => {
            depths.iter().sum::<usize>() as u64 * if *only_cross_attention { 2 } else { 1 }
        }
    };
    let of_level = |level: &Level| level.channels as u64 * (depth(&level.down) + depth(&level.up));
    let mid = unet.mid.as_ref().map_or(0, |mid| depth(mid) * unet.innermost().channels as u64);
    2 * tokens * (unet.levels.iter().map(of_level).sum::<u64>() + mid)
}

/// Numbers that are alive at once in a network call, for one row: all skip connections, and the most that a block holds.
fn unet(unet: &UNet2DConditionConfig, height: u64, width: u64) -> u64 {
    let (mut skips, mut working) = (0, 0);
    for (i, level) in unet.levels.iter().enumerate() {
        let area = halved(height, i) * halved(width, i);
        let channels = level.channels as u64;
        let wider = unet.levels[(i + 1).min(unet.levels.len() - 1)].channels as u64;
        skips += area * channels * (level.layers as u64 + 1);
        // A residual block on the way up: its joined input, that normalised, and three maps of its output's size.
        let resnet = 2 * (channels.max(wider) + channels) + 3 * channels;
        // A transformer block: skip connections, and the feed-forward network's eight and four times as many.
        let transformer = if level.down == Block::Plain && level.up == Block::Plain { 0 } else { 15 * channels };
        working = working.max(area * resnet.max(transformer));
    }
    skips + working
}

/// Numbers that are alive at once in a decoder, for one picture whose latents have this size.
fn decoder(config: &AutoencoderKLConfig, height: u64, width: u64) -> u64 {
    let last = config.block_out_channels.len() - 1;
    let of_level = |(i, channels): (usize, &usize)| {
        // The block's input comes from the next smaller size, with the channels of that.
        let (from, to) = (config.block_out_channels[(i + 1).min(last)] as u64, *channels as u64);
        let area = (height << (last - i)) * (width << (last - i));
        area * (3 * from + 2 * to)
    };
    config.block_out_channels.iter().enumerate().map(of_level).max().unwrap_or(0)
}

impl Operations {
    /// Of a network call for one row, and of decoding its picture.
    pub(super) fn of(components: &Components, shape: LatentShape) -> Self {
        let size = (shape.height, shape.width);
        let decode = match &components.vae {
            AutoencoderConfig::Kl(config) => config.decode_operations(size),
            AutoencoderConfig::Tiny(config) => config.decode_operations(size),
        };
        Self { step: components.unet.operations(size, components.text_encoders[0].tokenizer.length()), decode }
    }
}

#[cfg(test)]
mod tests {
    use super::{BESIDE, FLOAT, MARGIN, decoder, unet};
    use crate::autoencoder_kl::AutoencoderKLConfig;
    use crate::unet_2d_condition::UNet2DConditionConfig;

    const UNET: &str = r#"{"cross_attention_dim": 768}"#;
    const VAE: &str = r#"{"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
        "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]}"#;

    fn megabytes(floats: u64) -> f64 {
        (floats * FLOAT) as f64 / 1e6
    }

    /// That `estimate` is not less than what was measured, and not half as much again.
    fn assert_covers(estimate: f64, measured: f64) {
        assert!((measured..1.5 * measured).contains(&estimate), "{estimate:.0} MB for {measured:.0} MB");
    }

    #[test]
    fn estimates_cover_what_stable_diffusion_1_was_measured_to_take() {
        let unet_config = UNet2DConditionConfig::parse("unet", UNET).unwrap();
        let vae_config = AutoencoderKLConfig::parse("vae", VAE).unwrap();
        // A process's peak at 512 pixels beyond the bytes of its weights: in guided steps, and then while decoding.
        let beside = BESIDE as f64 / 1e6;
        assert_covers(beside + 2.0 * MARGIN * megabytes(unet(&unet_config, 64, 64)), 669.0);
        assert_covers(beside + MARGIN * megabytes(decoder(&vae_config, 64, 64)), 1358.0);
    }
}
