//! One image on its way from noise to picture.

use super::batch::Batch;
use super::components::Networks;
use super::conditions::Conditions;
use super::enlarge::Enlargement;
use super::latents::Codec;
use super::maps::LatentShape;
use super::start::{Kept, Start};
use crate::error::StepError;
use crate::generator::Generator;
use crate::guidance::{Guidance, compose};
use crate::layout::push_channel_first;
use crate::model::StepReport;
use crate::sampler::{SamplerError, SamplerState};

/// The state of one image. All tensors are in torch's order, channel after channel.
#[derive(Debug)]
pub(crate) struct StableDiffusionSlot {
    state: SamplerState,
    generator: Generator,
    conditions: Conditions,
    guidance: Guidance,
    codec: Codec,
    /// Further channels of the network's input, pixel after pixel.
    input: Option<Vec<f32>>,
    kept: Option<Kept>,
    /// What comes after the first pass.
    enlargement: Option<Enlargement>,
    /// Model calls of the first pass, once the second has begun.
    calls_before: usize,
    /// What the network said about each row in the last step; kept for its memory.
    outputs: Vec<Vec<f32>>,
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
        let outputs = vec![Vec::new(); conditions.rows().count()];
        Self { state, generator, conditions, guidance, codec, input, kept, enlargement, calls_before: 0, outputs }
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

    /// How many rows of a network call this image takes.
    pub(super) fn rows(&self) -> usize {
        self.outputs.len()
    }

    /// How many tokens of text each of its rows is conditioned on.
    pub(super) fn context(&self) -> usize {
        self.conditions.rows().next().map_or(0, |condition| condition.tokens())
    }

    /// The clean sample as the last step predicted it, with the part of the picture that is kept.
    pub(super) fn predicted_x0(&self) -> Vec<f32> {
        let mut x0 = self.state.x0().to_vec();
        if let Some(kept) = &self.kept {
            kept.restore(&mut x0, None);
        }
        x0
    }

    /// Appends the rows of the next network call, if there is one.
    pub(super) fn push(&self, batch: &mut Batch) {
        if let Some(call) = self.state.sampler().next_call() {
            for condition in self.conditions.rows() {
                batch.push(self.state.sample(), call, self.input.as_deref(), condition);
            }
        }
    }

    /// Takes what the network said about the rows that [`Self::push`] appended, pixel after pixel.
    pub(super) fn advance<'a>(&mut self, rows: &mut impl Iterator<Item = &'a [f32]>) -> Result<StepReport, StepError> {
        let call = self.state.sampler().next_call().ok_or(SamplerError::Finished)?;
        let shape = self.codec.shape;
        let count = self.outputs.len();
        for (output, row) in self.outputs.iter_mut().zip(rows.take(count)) {
            output.clear();
            push_channel_first(row, row.len() / shape.area(), output);
        }
        let output = match (&self.conditions, self.outputs.as_mut_slice()) {
            (Conditions::Guided { weights, .. }, [negative, positive, others @ ..]) => {
                // Beyond the prediction lies a variance, in some models; it is that of the first conditional row.
                let (negative, predicted) = (&negative[..shape.len()], &mut positive[..shape.len()]);
                compose(negative, predicted, others, weights);
                self.guidance.apply(negative, predicted);
                positive
            }
            (Conditions::One(_) | Conditions::Guided { .. }, outputs) => &mut outputs[0],
        };
        if !output.iter().all(|value| value.is_finite()) {
            return Err(StepError::NotFinite { step: self.calls_made() as u32 + 1 });
        }
        self.state.step(output, &mut self.generator)?;
        if let Some(kept) = &self.kept {
            let noising = self.state.sampler().noising();
            kept.restore(self.state.sample_mut(), noising);
        }
        Ok(StepReport { timestep: call.timestep, sigma: call.sigma })
    }
}
