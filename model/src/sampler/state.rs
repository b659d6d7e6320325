//! A sampler with its tensors, as slices.

use super::combination::{Combination, Source};
use super::step::{Clip, Noise};
use super::{Sampler, SamplerError};
use crate::generator::Generator;

/// One image on its way from noise to picture. All tensors have the sample's length, channels first.
#[derive(Clone, Debug)]
pub struct SamplerState {
    sampler: Sampler,
    sample: Vec<f32>,
    memory: Vec<Vec<f32>>,
    x0: Vec<f32>,
}

/// The tensors that a combination is computed from.
struct Sources<'a> {
    sample: &'a [f32],
    output: &'a [f32],
    x0: &'a [f32],
    noise: &'a [f32],
    memory: &'a [Vec<f32>],
}

impl SamplerState {
    /// Starts from standard normal noise.
    #[must_use]
    pub fn from_noise(sampler: Sampler, mut noise: Vec<f32>) -> Self {
        let scale = sampler.initial_noise_scale();
        noise.iter_mut().for_each(|value| *value *= scale);
        Self::from_sample(sampler, noise)
    }

    /// Starts from a clean picture (or its latent) with standard normal noise put on it.
    ///
    /// # Panics
    /// If the lengths differ.
    #[must_use]
    pub fn from_image(sampler: Sampler, original: &[f32], noise: &[f32]) -> Self {
        assert_eq!(original.len(), noise.len(), "the noise must have the shape of the picture");
        let sample = match sampler.noising() {
            Some(scale) => original.iter().zip(noise).map(|(x, e)| scale.original * x + scale.noise * e).collect(),
            None => original.to_vec(),
        };
        Self::from_sample(sampler, sample)
    }

    /// This state, with `x0` as the prediction that is there before the first step.
    #[must_use]
    pub fn expecting(mut self, x0: Vec<f32>) -> Self {
        self.x0 = x0;
        self
    }

    fn from_sample(sampler: Sampler, sample: Vec<f32>) -> Self {
        let memory = vec![Vec::new(); sampler.memory_slots()];
        Self { x0: vec![0.0; sample.len()], sampler, sample, memory }
    }

    #[must_use]
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// The sample at the noise level of the next model call; after the last, the result.
    #[must_use]
    pub fn sample(&self) -> &[f32] {
        &self.sample
    }

    /// For inpainting, which replaces parts of the sample between steps.
    pub fn sample_mut(&mut self) -> &mut [f32] {
        &mut self.sample
    }

    /// The picture as the last step predicted it; zeros before the first.
    #[must_use]
    pub fn x0(&self) -> &[f32] {
        &self.x0
    }

    /// Takes the model's output for the next call (after guidance) and moves the sample to the call after it. The output is
    /// as long as the sample, or twice as long when the model predicts a variance too, which most samplers ignore.
    ///
    /// # Errors
    /// An output of another length, and a step after the last. The state is then as before.
    pub fn step(&mut self, output: &[f32], generator: &mut Generator) -> Result<(), SamplerError> {
        let length = self.sample.len();
        let needed = if self.sampler.needs_variance() { 2 * length } else { length };
        if output.len() != needed && output.len() != 2 * length {
            return Err(SamplerError::OutputLength { expected: needed, given: output.len() });
        }
        let (output, variance) = output.split_at(length);
        let update = self.sampler.advance().ok_or(SamplerError::Finished)?;

        let noise = draw(update.noise, variance, length, generator);
        let mut x0 = std::mem::take(&mut self.x0);
        let sources = Sources { sample: &self.sample, output, x0: &[], noise: &noise, memory: &self.memory };
        sources.combine(&update.x0, &mut x0);
        clip(update.clip, &mut x0);

        let sources = Sources { x0: &x0, ..sources };
        let mut next = vec![0.0; length];
        sources.combine(&update.next, &mut next);
        let remembered: Vec<(usize, Vec<f32>)> = update
            .memory
            .iter()
            .map(|(slot, combination)| {
                let mut value = vec![0.0; length];
                sources.combine(combination, &mut value);
                (*slot, value)
            })
            .collect();

        self.sample = next;
        self.x0 = x0;
        for (slot, value) in remembered {
            self.memory[slot] = value;
        }
        Ok(())
    }
}

impl Sources<'_> {
    fn get(&self, source: Source) -> &[f32] {
        match source {
            Source::Sample => self.sample,
            Source::Output => self.output,
            Source::X0 => self.x0,
            Source::Noise => self.noise,
            Source::Memory(slot) => &self.memory[slot],
        }
    }

    /// Sums in double precision: large terms often cancel.
    fn combine(&self, combination: &Combination, result: &mut [f32]) {
        const BLOCK: usize = 256;
        let terms: Vec<(&[f32], f64)> =
            combination.terms().iter().map(|(source, coefficient)| (self.get(*source), *coefficient)).collect();
        for (index, block) in result.chunks_mut(BLOCK).enumerate() {
            let start = index * BLOCK;
            let mut sums = [0.0_f64; BLOCK];
            for (tensor, coefficient) in &terms {
                for (sum, value) in sums.iter_mut().zip(&tensor[start..start + block.len()]) {
                    *sum += coefficient * f64::from(*value);
                }
            }
            for (value, sum) in block.iter_mut().zip(sums) {
                *value = sum as f32;
            }
        }
    }
}

fn draw(noise: Noise, variance: &[f32], length: usize, generator: &mut Generator) -> Vec<f32> {
    if noise == Noise::None {
        return Vec::new();
    }
    let mut values = generator.draw(length);
    let scaled = values.iter_mut().zip(variance);
    match noise {
        Noise::None | Noise::Standard => {}
        Noise::Learned => scaled.for_each(|(value, variance)| *value *= variance.sqrt()),
        Noise::LearnedRange { min_log, max_log } => scaled.for_each(|(value, variance)| {
            let fraction = (variance + 1.0) / 2.0;
            *value *= (0.5 * (fraction * max_log + (1.0 - fraction) * min_log)).exp();
        }),
    }
    values
}

fn clip(clip: Clip, values: &mut [f32]) {
    match clip {
        Clip::None => {}
        Clip::Range(bound) => values.iter_mut().for_each(|value| *value = clamp(*value, bound)),
        Clip::Threshold { ratio, max } => {
            let bound = quantile(values, ratio).max(1.0).min(max);
            values.iter_mut().for_each(|value| *value = clamp(*value, bound) / bound);
        }
    }
}

/// To -bound ..= bound. What is not a number stays so, that the fault can be found.
fn clamp(value: f32, bound: f32) -> f32 {
    if value > bound {
        bound
    } else if value < -bound {
        -bound
    } else {
        value
    }
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
