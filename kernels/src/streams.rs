//! What passes between the processor, a CUDA device's streams, and time.

use candle_core::{Device, Result, Tensor};

/// Keeps the processor from running ahead of a CUDA device by more than one step. Elsewhere work is done when a call returns.
#[derive(Debug, Default)]
pub struct Pace {
    #[cfg(feature = "cuda")]
    last: std::sync::Mutex<Option<crate::cuda::streams::Mark>>,
}

impl Pace {
    /// To be called when all work of a step was given to the device of `beside`: returns when that of the step before is done, so that the
    /// device has one step to do meanwhile.
    ///
    /// # Errors
    /// If the device fails.
    pub fn step(&self, beside: &Tensor) -> Result<()> {
        #[cfg(feature = "cuda")]
        if beside.device().is_cuda() {
            let mark = crate::cuda::streams::Mark::new(beside)?;
            let before = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).replace(mark);
            return before.map_or(Ok(()), |before| before.wait());
        }
        let _ = beside;
        Ok(())
    }
}

/// A tensor's copy on another device, or on another stream of the same CUDA device. Nobody waits: the other stream takes the tensor
/// when it is there, and its memory is not used again before.
///
/// # Errors
/// If a device fails.
pub fn hand_over(tensor: &Tensor, to: &Device) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let (Device::Cuda(from), Device::Cuda(to)) = (tensor.device(), to)
        && from.id() != to.id()
    {
        return crate::cuda::streams::hand_over(tensor, from, to);
    }
    tensor.to_device(to)
}
