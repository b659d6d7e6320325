//! One image on its way from noise to picture.

use candle_core::Tensor;
use x0_kernels::FiniteCheck;

use super::batch::Batch;
use super::{PixelBlueprint, Shape};
use crate::error::StepError;
use crate::generator::Generator;
use crate::guidance::{Guidance, guided};
use crate::layout::channel_last;
use crate::model::StepReport;
use crate::noise::Seeds;
use crate::placement::Placement;
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

/// The state of one image. All tensors are float32 maps `(1, height, width, channels)` where the network is.
#[derive(Debug)]
pub(crate) struct PixelSlot {
    state: SamplerState,
    generator: Generator,
    rows: Rows,
    guidance: Guidance,
    finite: FiniteCheck,
}

impl PixelSlot {
    /// Image `image` of a request, at the noise that is drawn for the seed `request.seed + image`.
    pub(super) fn new(
        blueprint: &PixelBlueprint,
        placement: &Placement,
        request: &Request,
        image: u32,
    ) -> Result<Self, StepError> {
        let (rows, sampler) = blueprint.parse(request)?;
        let seeds = Seeds::new(request, image);
        let mut generator = seeds.generator();
        let Shape { channels, height, width } = blueprint.shape;
        let sides = (channels, height, width);
        let noise = placement.place_float32(&channel_last(&seeds.draw(&mut generator, sides), sides)?)?;
        let guidance = Guidance { scale: request.guidance_scale, rescale: request.guidance_rescale };
        let state = SamplerState::from_noise(sampler, &noise)?;
        Ok(Self { state, generator, rows, guidance, finite: FiniteCheck::default() })
    }

    pub(crate) fn state(&self) -> &SamplerState {
        &self.state
    }

    /// How many rows [`Self::push`] appends.
    pub(super) fn rows(&self) -> usize {
        if self.state.sampler().next_call().is_some() { self.rows.count() } else { 0 }
    }

    /// Appends the rows of the next network call, if there is one.
    pub(super) fn push(&self, batch: &mut Batch<'_>) -> candle_core::Result<()> {
        match self.state.sampler().next_call() {
            Some(call) => batch.push(self.state.sample(), call, self.rows),
            None => Ok(()),
        }
    }

    /// Takes what the network said about the rows that [`Self::push`] appended, `(rows, height, width, channels)`.
    pub(super) fn advance(&mut self, rows: &Tensor, shape: Shape) -> Result<StepReport, StepError> {
        let call = self.state.sampler().next_call().ok_or(SamplerError::Finished)?;
        let rows = self.finite.widen(rows)?;
        if self.finite.failed()? {
            return Err(StepError::NotFinite { step: self.state.sampler().position() as u32 + 1 });
        }
        let output = match self.rows {
            Rows::Unconditional | Rows::Class(_) => rows,
            Rows::Guided { .. } => guided(&rows, &[1.0], self.guidance, shape.channels)?,
        };
        self.state.step(&output, &mut self.generator)?;
        Ok(StepReport { timestep: call.timestep, sigma: call.sigma })
    }

    /// That all numbers were finite; waits until it is known.
    pub(super) fn finish(&mut self) -> Result<(), StepError> {
        if self.finite.wait()? {
            return Err(StepError::NotFinite { step: self.state.sampler().position() as u32 });
        }
        Ok(())
    }
}
