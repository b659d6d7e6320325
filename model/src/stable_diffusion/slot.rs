//! One image on its way from noise to picture.

use candle_core::Tensor;
use x0_kernels::FiniteCheck;

use super::batch::Batch;
use super::components::Networks;
use super::conditions::Conditions;
use super::enlarge::Enlargement;
use super::latents::Codec;
use super::maps::LatentShape;
use super::start::{Kept, Start};
use crate::error::StepError;
use crate::generator::Generator;
use crate::guidance::{Guidance, guided};
use crate::model::StepReport;
use crate::sampler::{SamplerError, SamplerState};

/// The state of one image. All tensors are float32 maps `(1, height, width, channels)` where the networks are.
#[derive(Debug)]
pub(crate) struct StableDiffusionSlot {
    state: SamplerState,
    generator: Generator,
    conditions: Conditions,
    guidance: Guidance,
    codec: Codec,
    /// Further channels of the network's input.
    input: Option<Tensor>,
    kept: Option<Kept>,
    /// What comes after the first pass.
    enlargement: Option<Enlargement>,
    /// Model calls of the first pass, once the second has begun.
    calls_before: usize,
    finite: FiniteCheck,
}

impl StableDiffusionSlot {
    pub(super) fn new(
        start: Start,
        generator: Generator,
        conditions: Conditions,
        guidance: Guidance,
        codec: Codec,
        enlargement: Option<Enlargement>,
    ) -> Self {
        let Start { state, input, kept } = start;
        let finite = FiniteCheck::default();
        Self { state, generator, conditions, guidance, codec, input, kept, enlargement, calls_before: 0, finite }
    }

    pub(crate) fn state(&self) -> &SamplerState {
        &self.state
    }

    /// Model calls that were made, of both passes.
    pub(crate) fn calls_made(&self) -> usize {
        self.calls_before + self.state.sampler().position()
    }

    /// Model calls that it needs, of both passes.
    pub(crate) fn calls(&self) -> usize {
        let after = self.enlargement.as_ref().map_or(0, |enlargement| enlargement.pass.sampler.calls());
        self.calls_before + self.state.sampler().calls() + after
    }

    /// Goes on to the second pass, if there is one and the first is done.
    pub(super) fn pass_on(&mut self, networks: &Networks) -> Result<(), StepError> {
        if self.state.sampler().next_call().is_some() {
            return Ok(());
        }
        let Some(enlargement) = self.enlargement.take() else { return Ok(()) };
        let (state, generator) = enlargement.begin(networks, self.state.sample(), self.codec)?;
        self.calls_before += self.state.sampler().calls();
        (self.state, self.generator) = (state, generator);
        (self.codec, self.conditions) = (enlargement.pass.codec, enlargement.conditions);
        Ok(())
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    pub(super) fn shape(&self) -> LatentShape {
        self.codec.shape
    }

    /// How many rows [`Self::push`] appends.
    pub(super) fn rows(&self) -> usize {
        if self.state.sampler().next_call().is_some() { self.conditions.rows().count() } else { 0 }
    }

    /// How many tokens of text each of its rows is conditioned on.
    pub(super) fn context(&self) -> usize {
        self.conditions.rows().next().map_or(0, |condition| condition.tokens())
    }

    /// The clean sample as the last step predicted it, with the part of the picture that is kept.
    pub(super) fn predicted_x0(&self) -> candle_core::Result<Tensor> {
        match &self.kept {
            Some(kept) => kept.restore(self.state.x0(), None),
            None => Ok(self.state.x0().clone()),
        }
    }

    /// Appends the rows of the next network call, if there is one.
    pub(super) fn push(&self, batch: &mut Batch<'_>) -> candle_core::Result<()> {
        match self.state.sampler().next_call() {
            Some(call) => batch.push(self.state.sample(), call, self.input.as_ref(), self.conditions.rows()),
            None => Ok(()),
        }
    }

    /// Takes what the network said about the rows that [`Self::push`] appended, `(rows, height, width, channels)`.
    pub(super) fn advance(&mut self, rows: &Tensor) -> Result<StepReport, StepError> {
        let call = self.state.sampler().next_call().ok_or(SamplerError::Finished)?;
        let rows = self.finite.widen(rows)?;
        self.check()?;
        let output = match &self.conditions {
            Conditions::One(_) => rows,
            Conditions::Guided { weights, .. } => guided(&rows, weights, self.guidance, self.codec.shape.channels)?,
        };
        self.state.step(&output, &mut self.generator)?;
        if let Some(kept) = &self.kept {
            let restored = kept.restore(self.state.sample(), self.state.sampler().noising());
            self.state.replace_sample(restored.map_err(|error| StepError::from(error).after_step())?);
        }
        Ok(StepReport { timestep: call.timestep, sigma: call.sigma })
    }

    /// That all numbers so far were finite, as far as it is known.
    fn check(&mut self) -> Result<(), StepError> {
        if self.finite.failed()? {
            return Err(StepError::NotFinite { step: self.calls_made() as u32 + 1 });
        }
        Ok(())
    }

    /// That all numbers were finite; waits until it is known.
    pub(super) fn finish(&mut self) -> Result<(), StepError> {
        if self.finite.wait()? {
            return Err(StepError::NotFinite { step: self.calls_made() as u32 });
        }
        Ok(())
    }
}
