//! What is done with the numbers of an image between two calls of its network.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaSlice, CudaStream, PinnedHostSlice, sys};
use candle_core::{CudaDevice, DType, Result, Storage, Tensor, bail};
use x0_cuda::plan::{self, Bound, MAX_TERMS};

use super::run::{device, element, element_of, empty, run};

/// See [`crate::combine`]. More tensors than a kernel takes are combined in turns, each of which rounds.
pub(crate) fn combine(terms: &[(&Tensor, f64)], bound: Option<f32>) -> Result<Tensor> {
    let (now, later) = terms.split_at(terms.len().min(MAX_TERMS));
    let bounded = if later.is_empty() { bound } else { None };
    let tensors = now.iter().map(|(tensor, _)| tensor.contiguous()).collect::<Result<Vec<_>>>()?;
    let factors: Vec<f64> = now.iter().map(|(_, factor)| *factor).collect();
    let Some(first) = tensors.first() else { bail!("nothing was given to be combined") };
    let output = float32_like(first)?;
    let bounded = bounded.map_or(Bound::None, Bound::Range);
    let all: Vec<&Tensor> = tensors.iter().chain([&output]).collect();
    run(&plan::combine(output.elem_count(), &factors, bounded), &all)?;
    if later.is_empty() {
        return Ok(output);
    }
    combine(&[&[(&output, 1.0)], later].concat(), bound)
}

pub(crate) fn network_input(
    sample: &Tensor,
    further: Option<&Tensor>,
    scale: f32,
    copies: usize,
    dtype: DType,
) -> Result<Tensor> {
    let (_, height, width, channels) = sample.dims4()?;
    let more = further.map_or(Ok(0), |further| further.dim(3))?;
    let (sample, further) = (sample.contiguous()?, further.map(Tensor::contiguous).transpose()?);
    let output = empty(&device(&sample)?, dtype, (copies, height, width, channels + more))?;
    let plan = plan::place_input(element_of(dtype)?, height * width, channels, more, copies, scale);
    let tensors: Vec<&Tensor> = std::iter::once(&sample).chain(&further).chain([&output]).collect();
    run(&plan, &tensors)?;
    Ok(output)
}

pub(crate) fn restore_deviation(conditional: &Tensor, guided: &Tensor, rescale: f64) -> Result<Tensor> {
    let (conditional, guided) = (conditional.contiguous()?, guided.contiguous()?);
    let output = float32_like(&guided)?;
    run(&plan::restore_deviation(guided.elem_count(), rescale), &[&conditional, &guided, &output])?;
    Ok(output)
}

pub(crate) fn restore(
    sample: &Tensor,
    mask: &Tensor,
    original: &Tensor,
    noise: &Tensor,
    factors: (f32, f32),
) -> Result<Tensor> {
    let channels = sample.dim(3)?;
    let tensors = [sample, mask, original, noise].map(Tensor::contiguous);
    let [sample, mask, original, noise] = tensors;
    let (sample, mask, original, noise) = (sample?, mask?, original?, noise?);
    let output = float32_like(&sample)?;
    let plan = plan::restore(sample.elem_count() / channels, channels, factors.0, factors.1);
    run(&plan, &[&sample, &mask, &original, &noise, &output])?;
    Ok(output)
}

pub(crate) fn latent_colors(latents: &Tensor, factors: &Tensor) -> Result<Tensor> {
    let (n, height, width, channels) = latents.dims4()?;
    let (latents, factors) = (latents.contiguous()?, factors.contiguous()?);
    let output = empty(&device(&latents)?, DType::F32, (n, height, width, 3))?;
    run(&plan::latent_colors(n * height * width, channels), &[&latents, &factors, &output])?;
    Ok(output)
}

pub(crate) fn picture_bytes(picture: &Tensor) -> Result<Vec<u8>> {
    let picture = picture.contiguous()?;
    let bytes = empty(&device(&picture)?, DType::U8, picture.elem_count())?;
    run(&plan::to_bytes(element(&picture)?, picture.elem_count()), &[&picture, &bytes])?;
    let (storage, _) = bytes.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else { bail!("the bytes left their device") };
    read_by_pinned(storage.as_cuda_slice::<u8>()?, &storage.device.cuda_stream())
}

/// Page-locked memory that pictures leave the device through. It is kept: locking memory takes longer than copying a picture.
static PINNED: Mutex<Option<PinnedHostSlice<u8>>> = Mutex::new(None);

/// What is in a device's memory once the stream has come to it.
fn read_by_pinned(bytes: &CudaSlice<u8>, stream: &Arc<CudaStream>) -> Result<Vec<u8>> {
    let context = stream.context();
    let mut kept = PINNED.lock().unwrap_or_else(PoisonError::into_inner);
    let suits = |pinned: &PinnedHostSlice<u8>| Arc::ptr_eq(pinned.context(), context) && pinned.len() >= bytes.len();
    let mut pinned = match kept.take().filter(suits) {
        Some(pinned) => pinned,
        // SAFETY: only what was copied there is read.
        None => unsafe { context.alloc_pinned_with_flags::<u8>(bytes.len(), 0) }.w()?,
    };
    stream.memcpy_dtoh(bytes, &mut pinned).w()?;
    // Waits for the copy.
    let read = pinned.as_slice().w()?[..bytes.len()].to_vec();
    *kept = Some(pinned);
    Ok(read)
}

fn float32_like(tensor: &Tensor) -> Result<Tensor> {
    empty(&device(tensor)?, DType::F32, tensor.shape())
}

/// A flag on the device that says whether a number was not finite, and a copy of it that follows after each step.
pub(crate) struct Watch {
    /// One u32.
    flag: Tensor,
    copy: PinnedHostSlice<u32>,
    /// When the copy that was asked for last is there.
    copied: Option<CudaEvent>,
    stream: Arc<CudaStream>,
}

impl Watch {
    /// On the device of a tensor.
    pub(crate) fn new(beside: &Tensor) -> Result<Self> {
        let device: CudaDevice = device(beside)?;
        let stream = device.cuda_stream();
        // SAFETY: it is written below, before anything reads it.
        let mut copy = unsafe { stream.context().alloc_pinned_with_flags::<u32>(1, 0) }.w()?;
        copy.as_mut_slice().w()?.fill(0);
        Ok(Self { flag: Tensor::zeros(1, DType::U32, beside.device())?, copy, copied: None, stream })
    }

    /// See [`crate::FiniteCheck::widen`].
    pub(crate) fn widen(&mut self, rows: &Tensor) -> Result<Tensor> {
        let rows = rows.contiguous()?;
        let output = float32_like(&rows)?;
        run(&plan::widen(element(&rows)?, rows.elem_count()), &[&rows, &output, &self.flag])?;
        let (storage, _) = self.flag.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else { bail!("the flag left its device") };
        self.stream.memcpy_dtoh(storage.as_cuda_slice::<u32>()?, &mut self.copy).w()?;
        self.copied = Some(self.stream.record_event(Some(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)).w()?);
        Ok(output)
    }

    /// Whether something was not finite in the last step that the device has done, as far as its copy is there.
    pub(crate) fn failed(&mut self) -> Result<bool> {
        self.stream.context().bind_to_thread().w()?;
        match &self.copied {
            Some(copied) if copied.try_is_complete().w()? => self.read(),
            Some(_) | None => Ok(false),
        }
    }

    /// The same of all steps that were asked for; waits for them.
    pub(crate) fn wait(&mut self) -> Result<bool> {
        match &self.copied {
            Some(copied) => copied.synchronize().w()?,
            None => return Ok(false),
        }
        self.read()
    }

    fn read(&self) -> Result<bool> {
        Ok(self.copy.as_slice().w()?.iter().any(|flag| *flag != 0))
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
