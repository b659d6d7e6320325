//! A sampler with its tensors.

use candle_core::{D, Tensor};
use x0_kernels::combine;

use super::combination::{Combination, Source};
use super::step::{Clip, Noise};
use super::{Sampler, SamplerError};
use crate::error::StepError;
use crate::generator::Generator;
use crate::layout::{channel_last, numbers};

type Result<T> = std::result::Result<T, StepError>;

/// One image on its way from noise to picture. All tensors are float32 maps `(1, height, width, channels)` on one device.
#[derive(Clone, Debug)]
pub struct SamplerState {
    sampler: Sampler,
    sample: Tensor,
    /// None until a step leaves something.
    memory: Vec<Option<Tensor>>,
    x0: Tensor,
}

/// The tensors that a combination is computed from.
#[derive(Clone, Copy)]
struct Sources<'a> {
    sample: &'a Tensor,
    output: &'a Tensor,
    x0: Option<&'a Tensor>,
    noise: Option<&'a Tensor>,
    memory: &'a [Option<Tensor>],
}

impl SamplerState {
    /// Starts from standard normal noise.
    ///
    /// # Errors
    /// If the device fails.
    pub fn from_noise(sampler: Sampler, noise: &Tensor) -> Result<Self> {
        let sample = combine(&[(noise, f64::from(sampler.initial_noise_scale()))], None)?;
        Self::from_sample(sampler, sample)
    }

    /// Starts from a clean picture (or its latent) with standard normal noise put on it.
    ///
    /// # Errors
    /// If the shapes differ, or the device fails.
    pub fn from_image(sampler: Sampler, original: &Tensor, noise: &Tensor) -> Result<Self> {
        let sample = match sampler.noising() {
            Some(scale) => combine(&[(original, f64::from(scale.original)), (noise, f64::from(scale.noise))], None)?,
            None => original.clone(),
        };
        Self::from_sample(sampler, sample)
    }

    /// This state, with `x0` as the prediction that is there before the first step.
    #[must_use]
    pub fn expecting(mut self, x0: Tensor) -> Self {
        self.x0 = x0;
        self
    }

    fn from_sample(sampler: Sampler, sample: Tensor) -> Result<Self> {
        let memory = vec![None; sampler.memory_slots()];
        Ok(Self { x0: sample.zeros_like()?, sampler, sample, memory })
    }

    #[must_use]
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// The sample at the noise level of the next model call; after the last, the result.
    #[must_use]
    pub fn sample(&self) -> &Tensor {
        &self.sample
    }

    /// For inpainting, which replaces parts of the sample between steps.
    pub fn replace_sample(&mut self, sample: Tensor) {
        self.sample = sample;
    }

    /// The picture as the last step predicted it; zeros before the first.
    #[must_use]
    pub fn x0(&self) -> &Tensor {
        &self.x0
    }

    /// Takes the model's output for the next call (after guidance) and moves the sample to the call after it. The output has as many
    /// channels as the sample, or twice as many when the model predicts a variance too, which most samplers ignore.
    ///
    /// # Errors
    /// An output of another shape, a step after the last, and a failing device. The state is then as before.
    pub fn step(&mut self, output: &Tensor, generator: &mut Generator) -> Result<()> {
        let channels = self.sample.dim(D::Minus1)?;
        let given = output.dim(D::Minus1)?;
        let needed = if self.sampler.needs_variance() { 2 * channels } else { channels };
        if given != needed && given != 2 * channels {
            return Err(SamplerError::OutputChannels { expected: needed, given }.into());
        }
        let update = self.sampler.next_update().ok_or(SamplerError::Finished)?;
        // Put back when all is done.
        let mut random = generator.clone();
        let noise = self.draw(update.noise, output, &mut random)?;
        let output = &output.narrow(D::Minus1, 0, channels)?.contiguous()?;
        let sources = Sources { sample: &self.sample, output, x0: None, noise: noise.as_ref(), memory: &self.memory };
        let x0 = match update.clip {
            Clip::None => sources.combine(&update.x0, None)?,
            Clip::Range(bound) => sources.combine(&update.x0, Some(bound))?,
            Clip::Threshold { ratio, max } => threshold(&sources.combine(&update.x0, None)?, ratio, max)?,
        };
        let sources = Sources { x0: Some(&x0), ..sources };
        let next = sources.combine(&update.next, None)?;
        let remembered = update.memory.iter().map(|(slot, value)| Ok((*slot, sources.combine(value, None)?)));
        let remembered: Vec<(usize, Tensor)> = remembered.collect::<Result<_>>()?;

        (self.sample, self.x0) = (next, x0);
        for (slot, value) in remembered {
            self.memory[slot] = Some(value);
        }
        self.sampler.advance();
        *generator = random;
        Ok(())
    }

    /// The step's noise. `output` is the model's, with the variance that some models predict.
    fn draw(&self, noise: Noise, output: &Tensor, generator: &mut Generator) -> Result<Option<Tensor>> {
        let scale: Box<dyn Fn(f32) -> f32> = match noise {
            Noise::None => return Ok(None),
            Noise::Standard => Box::new(|_| 1.0),
            Noise::Learned => Box::new(f32::sqrt),
            Noise::LearnedRange { min_log, max_log } => Box::new(move |variance| {
                let fraction = (variance + 1.0) / 2.0;
                (0.5 * (fraction * max_log + (1.0 - fraction) * min_log)).exp()
            }),
        };
        let (_, height, width, channels) = self.sample.dims4()?;
        let drawn = channel_last(&generator.draw(self.sample.elem_count()), (channels, height, width))?;
        let drawn = match noise {
            Noise::None | Noise::Standard => drawn,
            Noise::Learned | Noise::LearnedRange { .. } => {
                let variance = numbers(&output.narrow(D::Minus1, channels, channels)?)?;
                let scaled = numbers(&drawn)?.iter().zip(variance).map(|(value, v)| value * scale(v)).collect();
                Tensor::from_vec(scaled, drawn.shape(), drawn.device())?
            }
        };
        Ok(Some(drawn.to_device(self.sample.device())?))
    }
}

impl Sources<'_> {
    fn get(&self, source: Source) -> Result<&Tensor> {
        let found = match source {
            Source::Sample => Some(self.sample),
            Source::Output => Some(self.output),
            Source::X0 => self.x0,
            Source::Noise => self.noise,
            Source::Memory(slot) => self.memory[slot].as_ref(),
        };
        found.ok_or_else(|| candle_core::Error::msg(format!("a sampler asked for {source:?} too early")).into())
    }

    fn combine(&self, combination: &Combination, bound: Option<f32>) -> Result<Tensor> {
        if combination.terms().is_empty() {
            return Ok(self.sample.zeros_like()?);
        }
        let terms = combination.terms().iter();
        let terms: Vec<(&Tensor, f64)> =
            terms.map(|(source, factor)| Ok((self.get(*source)?, *factor))).collect::<Result<_>>()?;
        Ok(combine(&terms, bound)?)
    }
}

/// Dynamic thresholding, see [`Clip::Threshold`]. On a CUDA device this waits for it: no model of Stable Diffusion asks for it.
fn threshold(x0: &Tensor, ratio: f32, max: f32) -> Result<Tensor> {
    let mut values = numbers(x0)?;
    let bound = quantile(&values, ratio).max(1.0).min(max);
    // What is not a number stays so, that the fault can be found.
    let clamp = |value: f32| if value.is_nan() { value } else { value.clamp(-bound, bound) };
    values.iter_mut().for_each(|value| *value = clamp(*value) / bound);
    Ok(Tensor::from_vec(values, x0.shape(), &candle_core::Device::Cpu)?.to_device(x0.device())?)
}

/// `torch.quantile` of the absolute values, with its single-precision rank.
fn quantile(values: &[f32], ratio: f32) -> f32 {
    let mut sizes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
    let Some(last) = sizes.len().checked_sub(1) else { return 0.0 };
    let rank = (ratio * last as f32).clamp(0.0, last as f32);
    let (_, below, above) = sizes.select_nth_unstable_by(rank as usize, f32::total_cmp);
    let below = *below;
    let above = above.iter().copied().min_by(f32::total_cmp).unwrap_or(below);
    let weight = rank.fract();
    if weight < 0.5 { below + weight * (above - below) } else { above - (above - below) * (1.0 - weight) }
}
