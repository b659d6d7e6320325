//! One network call for many images.

use candle_core::Tensor;
use x0_kernels::Pace;

use crate::error::StepError;
use crate::model::StepReport;
use crate::sampler::SamplerError;

/// Makes the next network call of every slot, all in one: `call` gives what the network says about the rows of all slots, of which each has
/// as many as `rows` says, and `advance` takes a slot's own, `(rows, height, width, channels)`. The answer has an entry for each slot, in
/// order.
pub(crate) fn joint_step<S: Send>(
    pace: &Pace,
    slots: &mut [&mut S],
    rows: impl Fn(&S) -> usize + Send,
    call: impl FnOnce(&[&mut S]) -> candle_core::Result<Tensor> + Send,
    advance: impl Fn(&mut S, &Tensor) -> Result<StepReport, StepError> + Send,
) -> Vec<Result<StepReport, StepError>> {
    if slots.iter().all(|slot| rows(slot) == 0) {
        return slots.iter().map(|_| Err(SamplerError::Finished.into())).collect();
    }
    x0_kernels::install(move || {
        let output = match call(slots) {
            Ok(output) => output,
            // The network failed as a whole, and so does every slot.
            Err(error) => return slots.iter().map(|_| Err(StepError::of(&error))).collect(),
        };
        let mut first = 0;
        let advance = |slot: &mut &mut S| {
            let rows = rows(slot);
            let own = output.narrow(0, first, rows)?;
            first += rows;
            advance(slot, &own)
        };
        let reports: Vec<_> = slots.iter_mut().map(advance).collect();
        match pace.step(&output) {
            Ok(()) => reports,
            Err(error) => {
                reports.into_iter().map(|report| report.and_then(|_| Err(StepError::of(&error).after_step()))).collect()
            }
        }
    })
}
