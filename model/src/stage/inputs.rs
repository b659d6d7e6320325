//! Random inputs: speed does not depend on the numbers.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor};

use super::{Network, NetworkKind, Tensors, Usual};
use crate::error::StepError;
use crate::generator::{Generator, NoiseSource};

/// Where the timesteps of most models are half way.
const TIMESTEP: f32 = 500.0;
/// Numbers that Stable Diffusion XL is told beside the pooled text: sizes and crop.
const XL_NUMBERS: usize = 6;

impl Network {
    /// Inputs for so many rows of a picture of that width and height in pixels, or of the model's own.
    ///
    /// # Errors
    /// If there are no rows, or the size is not one that the network's maps can have.
    pub fn random_inputs(&self, rows: usize, size: Option<(usize, usize)>) -> std::result::Result<Tensors, StepError> {
        Ok(self.draw(rows, size)?)
    }

    fn draw(&self, rows: usize, size: Option<(usize, usize)>) -> Result<Tensors> {
        let Usual { size: usual, scale, tokens } = self.usual;
        let (width, height) = size.unwrap_or(usual);
        if rows == 0 || [width, height].iter().any(|size| *size == 0 || !size.is_multiple_of(scale)) {
            candle_core::bail!("{rows} rows of {width}×{height} pixels; sizes must be multiples of {scale}");
        }
        let (height, width) = (height / scale, width / scale);
        let mut generator = Generator::new(NoiseSource::Torch, 0);
        let mut normal =
            |dims: &[usize]| Tensor::from_vec(generator.draw(dims.iter().product()), dims.to_vec(), &Device::Cpu);
        let timesteps = Tensor::full(TIMESTEP, rows, &Device::Cpu)?;
        let inputs = match &self.kind {
            NetworkKind::Text(network) => {
                let config = network.config();
                let (tokens, words) = (config.max_position_embeddings, config.vocab_size as i64);
                let ids: Vec<i64> = (0..(rows * tokens) as i64).map(|i| i * 7919 % words).collect();
                vec![("input_ids", Tensor::from_vec(ids, (rows, tokens), &Device::Cpu)?)]
            }
            NetworkKind::UNet2D(network) => {
                let config = network.config();
                let mut inputs =
                    vec![("sample", normal(&[rows, config.in_channels, height, width])?), ("timestep", timesteps)];
                if config.takes_class() {
                    inputs.push(("class_labels", Tensor::zeros(rows, DType::I64, &Device::Cpu)?));
                }
                inputs
            }
            NetworkKind::UNet2DCondition(network) => {
                let config = network.config();
                let text = config.text_sizes().next().unwrap_or(1);
                let mut inputs = vec![
                    ("sample", normal(&[rows, config.in_channels, height, width])?),
                    ("timestep", timesteps),
                    ("encoder_hidden_states", normal(&[rows, tokens, text])?),
                ];
                if let Some(added) = config.added {
                    let numbers = [height, width, 0, 0, height, width].map(|size| (size * scale) as f32);
                    let pooled = added.inputs.saturating_sub(XL_NUMBERS * added.time_embed_dim);
                    inputs.push(("text_embeds", normal(&[rows, pooled])?));
                    inputs
                        .push(("time_ids", Tensor::from_vec(numbers.repeat(rows), (rows, XL_NUMBERS), &Device::Cpu)?));
                }
                if let Some(size) = config.time_cond_proj_dim() {
                    inputs.push(("timestep_cond", normal(&[rows, size])?));
                }
                inputs
            }
            NetworkKind::Kl(network) => {
                vec![("latents", normal(&[rows, network.config().latent_channels, height, width])?)]
            }
            NetworkKind::Tiny(network) => {
                vec![("latents", normal(&[rows, network.config().latent_channels, height, width])?)]
            }
        };
        let name = |name| format!("{}.{name}", self.stage.name());
        Ok(Tensors(inputs.into_iter().map(|(input, tensor)| (name(input), tensor)).collect::<HashMap<_, _>>()))
    }
}
