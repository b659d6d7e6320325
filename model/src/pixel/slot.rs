//! One image on its way from noise to picture.

use super::batch::Batch;
use super::{PixelBlueprint, Shape};
use crate::error::StepError;
use crate::generator::Generator;
use crate::guidance::Guidance;
use crate::layout::push_channel_first;
use crate::model::StepReport;
use crate::noise::Seeds;
use crate::request::Request;
use crate::sampler::{SamplerError, SamplerState};

/// What an image's rows of a network call are conditioned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    Unconditional,
    Class(u32),
    /// Two rows, the one without a class first.
    Guided {
        null_class: u32,
        class: u32,
    },
}

impl Rows {
    pub(super) fn count(self) -> usize {
        match self {
            Self::Unconditional | Self::Class(_) => 1,
            Self::Guided { .. } => 2,
        }
    }
}

/// The state of one image. All tensors are in torch's order, channel after channel.
#[derive(Debug)]
pub(crate) struct PixelSlot {
    state: SamplerState,
    generator: Generator,
    rows: Rows,
    guidance: Guidance,
    /// What the network said about each row in the last step; kept for its memory.
    outputs: [Vec<f32>; 2],
}

impl PixelSlot {
    /// Image `image` of a request, at the noise that is drawn for the seed `request.seed + image`.
    pub(super) fn new(blueprint: &PixelBlueprint, request: &Request, image: u32) -> Result<Self, StepError> {
        let (rows, sampler) = blueprint.parse(request)?;
        let seeds = Seeds::new(request, image);
        let mut generator = seeds.generator();
        let Shape { channels, height, width } = blueprint.shape;
        let noise = seeds.draw(&mut generator, (channels, height, width));
        let guidance = Guidance { scale: request.guidance_scale, rescale: request.guidance_rescale };
        let state = SamplerState::from_noise(sampler, noise);
        Ok(Self { state, generator, rows, guidance, outputs: [Vec::new(), Vec::new()] })
    }

    pub(crate) fn state(&self) -> &SamplerState {
        &self.state
    }

    /// Appends the rows of the next network call, if there is one.
    pub(super) fn push(&self, batch: &mut Batch) {
        if let Some(call) = self.state.sampler().next_call() {
            match self.rows {
                Rows::Unconditional => batch.push(self.state.sample(), call, None),
                Rows::Class(class) => batch.push(self.state.sample(), call, Some(class)),
                Rows::Guided { null_class, class } => {
                    batch.push(self.state.sample(), call, Some(null_class));
                    batch.push(self.state.sample(), call, Some(class));
                }
            }
        }
    }

    /// Takes what the network said about the rows that [`Self::push`] appended, pixel after pixel.
    pub(super) fn advance<'a>(
        &mut self,
        rows: &mut impl Iterator<Item = &'a [f32]>,
        shape: Shape,
    ) -> Result<StepReport, StepError> {
        let call = self.state.sampler().next_call().ok_or(SamplerError::Finished)?;
        for (output, row) in self.outputs.iter_mut().zip(rows.take(self.rows.count())) {
            output.clear();
            push_channel_first(row, row.len() / shape.area(), output);
        }
        let [first, second] = &mut self.outputs;
        let output = match self.rows {
            Rows::Unconditional | Rows::Class(_) => first,
            Rows::Guided { .. } => {
                // Beyond the prediction lies a variance, in some models; it is that of the conditional row.
                self.guidance.apply(&first[..shape.len()], &mut second[..shape.len()]);
                second
            }
        };
        if !output.iter().all(|value| value.is_finite()) {
            return Err(StepError::NotFinite { step: self.state.sampler().position() as u32 + 1 });
        }
        self.state.step(output, &mut self.generator)?;
        Ok(StepReport { timestep: call.timestep, sigma: call.sigma })
    }
}
