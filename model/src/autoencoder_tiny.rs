//! diffusers' `AutoencoderTiny`, TAESD: a small approximation of Stable Diffusion's autoencoder,
//! <https://github.com/madebyollin/taesd>.

mod config;
mod operations;

use candle_core::{DType, Device, Result, Tensor};
use x0_kernels::{Activation, Conv2d, Conv2dOptions, activate};

use crate::error::LoadError;
use crate::nn::{conv2d, conv2d_without_bias};
use crate::placement::Placement;
use crate::weights::Weights;

pub use config::AutoencoderTinyConfig;

type Loaded<T> = std::result::Result<T, LoadError>;

/// What its decoder takes is softly limited to this range first.
const LATENT_LIMIT: f64 = 3.0;

/// The autoencoder. It takes tensors of any device; pictures come out where it computes, latents as float32 on the processor. Pictures are `(n, h, w, channels)` in -1..=1; latents `(n, h, w, latent channels)` are what the UNet works
/// on, multiplied by the scaling factor (which is 1 for TAESD).
#[derive(Debug)]
pub struct AutoencoderTiny {
    encoder: Vec<Layer>,
    decoder: Vec<Layer>,
    config: AutoencoderTinyConfig,
    placement: Placement,
}

#[derive(Debug)]
enum Layer {
    Conv(Conv2d),
    Block(Block),
}

/// Three convolutions beside a skip connection.
#[derive(Debug)]
struct Block {
    convs: [Conv2d; 3],
}

impl AutoencoderTiny {
    /// Reads the weights of a folder with an `AutoencoderTiny`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape than the configuration says; the message has its name.
    pub fn new(weights: &Weights, config: &AutoencoderTinyConfig) -> Loaded<Self> {
        let encoder = encoder(&weights.at("encoder.layers"), config)?;
        let decoder = decoder(&weights.at("decoder.layers"), config)?;
        Ok(Self { encoder, decoder, config: config.clone(), placement: weights.placement().clone() })
    }

    /// Where it computes.
    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What the autoencoder was made from.
    pub fn config(&self) -> &AutoencoderTinyConfig {
        &self.config
    }

    /// The latents of pictures.
    pub fn encode(&self, x: &Tensor) -> Result<Tensor> {
        let latents = run(&self.encoder, self.placement.place(&((x + 1.0)? / 2.0)?)?)?;
        latents.to_dtype(DType::F32)?.to_device(&Device::Cpu)
    }

    /// The pictures of latents.
    pub fn decode(&self, z: &Tensor) -> Result<Tensor> {
        let limited = (activate(&self.placement.place(&(z / LATENT_LIMIT)?)?, Activation::Tanh)? * LATENT_LIMIT)?;
        (run(&self.decoder, limited)? * 2.0)? - 1.0
    }
}

fn run(layers: &[Layer], mut x: Tensor) -> Result<Tensor> {
    for layer in layers {
        x = match layer {
            Layer::Conv(conv) => conv.forward(&x)?,
            Layer::Block(block) => block.forward(&x)?,
        };
    }
    Ok(x)
}

fn conv(weights: &Weights, from: usize, to: usize) -> Loaded<Layer> {
    conv2d(weights, from, to, 3, Conv2dOptions::padded(1)).map(Layer::Conv)
}

/// A convolution that changes the size of the map.
fn resampler(weights: &Weights, channels: usize, options: Conv2dOptions) -> Loaded<Layer> {
    conv2d_without_bias(weights, channels, channels, 3, options).map(Layer::Conv)
}

fn encoder(weights: &Weights, config: &AutoencoderTinyConfig) -> Loaded<Vec<Layer>> {
    let mut layers = Vec::new();
    let stages = config.num_encoder_blocks.iter().zip(&config.encoder_block_out_channels);
    let halving = Conv2dOptions { stride: 2, ..Conv2dOptions::padded(1) };
    let mut channels = config.in_channels;
    for (i, (&blocks, &to)) in stages.enumerate() {
        let first = &weights.at(layers.len());
        layers.push(if i == 0 { conv(first, channels, to)? } else { resampler(first, to, halving)? });
        for _ in 0..blocks {
            layers.push(Layer::Block(Block::new(&weights.at(layers.len()), to, config.act_fn)?));
        }
        channels = to;
    }
    layers.push(conv(&weights.at(layers.len()), channels, config.latent_channels)?);
    Ok(layers)
}

fn decoder(weights: &Weights, config: &AutoencoderTinyConfig) -> Loaded<Vec<Layer>> {
    let stages: Vec<_> = config.num_decoder_blocks.iter().zip(&config.decoder_block_out_channels).collect();
    let first = conv2d(&weights.at(0), config.latent_channels, *stages[0].1, 3, Conv2dOptions::padded(1))?;
    let mut layers = vec![Layer::Conv(first.then(config.act_fn))];
    let doubling = Conv2dOptions { upsample: true, ..Conv2dOptions::padded(1) };
    // In the file, the activation and each enlargement count as layers, too.
    let mut place = 2;
    for (i, &(&blocks, &channels)) in stages.iter().enumerate() {
        for _ in 0..blocks {
            layers.push(Layer::Block(Block::new(&weights.at(place), channels, config.act_fn)?));
            place += 1;
        }
        layers.push(if i + 1 == stages.len() {
            conv(&weights.at(place), channels, config.out_channels)?
        } else {
            place += 1;
            resampler(&weights.at(place), channels, doubling)?
        });
        place += 1;
    }
    Ok(layers)
}

impl Block {
    fn new(weights: &Weights, channels: usize, activation: Activation) -> Loaded<Self> {
        let conv = |i| conv2d(&weights.at("conv").at(i), channels, channels, 3, Conv2dOptions::padded(1));
        // The last activation is on the sum, and is always this one.
        let convs = [conv(0)?.then(activation), conv(2)?.then(activation), conv(4)?.then(Activation::Relu)];
        Ok(Self { convs })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [first, second, third] = &self.convs;
        third.forward_add(&second.forward(&first.forward(x)?)?, x)
    }
}
