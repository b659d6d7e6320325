//! Order between streams, and between a stream and the processor.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, sys};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, Device, Result, Storage, Tensor};

use super::run::device;

/// A place in the order of a stream.
#[derive(Debug)]
pub(crate) struct Mark(CudaEvent);

impl Mark {
    /// After all that was given to a tensor's stream so far.
    pub(crate) fn new(of: &Tensor) -> Result<Self> {
        Self::of_device(&device(of)?)
    }

    fn of_device(device: &CudaDevice) -> Result<Self> {
        // Who waits for it sleeps.
        Ok(Self(device.cuda_stream().record_event(Some(sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC)).w()?))
    }

    /// Waits until the device is there.
    pub(crate) fn wait(&self) -> Result<()> {
        self.0.synchronize().w()
    }
}

/// See [`crate::hand_over`].
pub(crate) fn hand_over(tensor: &Tensor, from: &CudaDevice, to: &CudaDevice) -> Result<Tensor> {
    let tensor = tensor.contiguous()?;
    to.cuda_stream().wait(&Mark::of_device(from)?.0).w()?;
    let copied = {
        let (storage, _) = tensor.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else { return tensor.to_device(&Device::Cuda(to.clone())) };
        storage.transfer_to_device(to)?
    };
    // What the first stream does next may overwrite the tensor, or give its memory away.
    from.cuda_stream().wait(&Mark::of_device(to)?.0).w()?;
    let copy = Tensor::from_storage(Storage::Cuda(copied), tensor.shape(), BackpropOp::none(), false);
    Ok(copy)
}
