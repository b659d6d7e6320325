//! What a sampler says about each model call: its input, and what to do with its output.

use super::combination::{Combination, Source};

/// One model call that a sampler wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelCall {
    /// As it is fed to the network; between two training timesteps for some samplers.
    pub timestep: f32,
    /// The noise level √((1 - ᾱ) / ᾱ) of the sample, for the reader's eye. At most 4096, where it is infinite.
    pub sigma: f32,
    /// The network sees the sample times this.
    pub input_scale: f32,
}

/// How to put noise on a clean picture so that it can take the place of the sample: `original · x₀ + noise · ε`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noising {
    pub original: f32,
    pub noise: f32,
}

/// What to do with the output of a model call. `x0` comes first and is then clipped; all others are computed from the
/// tensors as they were before the step.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The prediction of the clean sample, from [`Source::Sample`] and [`Source::Output`].
    pub x0: Combination,
    pub clip: Clip,
    /// Becomes the sample.
    pub next: Combination,
    /// Becomes what the numbered slots remember.
    pub memory: Vec<(usize, Combination)>,
    pub noise: Noise,
}

/// What bounds the predicted clean sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    None,
    /// Clamped to -range ..= range.
    Range(f32),
    /// Dynamic thresholding (Saharia et al. 2022, section 2.3): with s the quantile `ratio` of the absolute values, brought
    /// between 1 and `max`, the sample is clamped to -s ..= s and divided by s.
    Threshold {
        ratio: f32,
        max: f32,
    },
}

/// What [`Source::Noise`] is in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// Nothing is drawn.
    None,
    /// One draw of the sample's shape. It is drawn even where its coefficient is zero.
    Standard,
    /// The same, and each element is multiplied by the root of the variance v that the model predicts in the second half
    /// of its output's channels.
    Learned,
    /// As `Learned`, where v in -1 ..= 1 lies between the logarithms of two variances: the factor is
    /// exp(½ (f · `max_log` + (1 - f) · `min_log`)) with f = (v + 1) / 2. Nichol and Dhariwal 2021, equation 15.
    LearnedRange { min_log: f32, max_log: f32 },
}

impl Noise {
    /// Whether the model's output must have twice the sample's channels.
    #[must_use]
    pub fn is_learned(self) -> bool {
        match self {
            Self::None | Self::Standard => false,
            Self::Learned | Self::LearnedRange { .. } => true,
        }
    }
}

/// A model call and all that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) call: ModelCall,
    pub(super) noising: Noising,
    pub(super) update: Update,
}

impl Step {
    /// Whether every number of the step is finite.
    pub(super) fn is_finite(&self) -> bool {
        let Self { call, noising, update } = self;
        let scalars = [call.timestep, call.sigma, call.input_scale, noising.original, noising.noise];
        let memory = update.memory.iter().map(|(_, combination)| combination);
        let mut terms = memory.chain([&update.x0, &update.next]).flat_map(|combination| combination.terms());
        let noise = match update.noise {
            Noise::None | Noise::Standard | Noise::Learned => true,
            Noise::LearnedRange { min_log, max_log } => min_log.is_finite() && max_log.is_finite(),
        };
        noise && scalars.iter().all(|value| value.is_finite()) && terms.all(|(_, coefficient)| coefficient.is_finite())
    }

    /// One more than the highest memory slot that the step writes.
    pub(super) fn memory_slots(&self) -> usize {
        self.update.memory.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0)
    }
}

/// The last values that a multistep method keeps, in a ring of memory slots.
#[derive(Debug)]
pub(super) struct History {
    first_slot: usize,
    capacity: usize,
    pushed: usize,
}

impl History {
    /// Takes the slots from `first_slot` on.
    pub(super) fn new(first_slot: usize, capacity: usize) -> Self {
        Self { first_slot, capacity, pushed: 0 }
    }

    /// How many values can be recalled.
    pub(super) fn len(&self) -> usize {
        self.pushed.min(self.capacity)
    }

    /// A value of an earlier step; `back` is 1 for the last one and at most [`Self::len`].
    pub(super) fn recall(&self, back: usize) -> Combination {
        assert!((1..=self.len()).contains(&back), "the history has no value {back} steps back");
        Source::Memory(self.slot(self.pushed - back)).into()
    }

    /// What a step writes so that the next one can recall `value`.
    pub(super) fn push(&mut self, value: Combination) -> (usize, Combination) {
        self.pushed += 1;
        (self.slot(self.pushed - 1), value)
    }

    fn slot(&self, index: usize) -> usize {
        self.first_slot + index % self.capacity
    }
}
