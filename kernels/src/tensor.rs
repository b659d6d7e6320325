//! Between candle's tensors and plain slices.

use candle_core::{CpuStorage, DType, Layout, Result, Shape, Tensor, bail};

/// The float32 elements of a contiguous tensor.
pub(crate) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a kernel was given a tensor that is not contiguous"),
    }
}

/// A pointer that tasks of one kernel may share, each writing its own elements.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut(*mut f32);

// SAFETY: the pointer is only a number; who dereferences it answers for disjoint writes.
unsafe impl Send for SharedMut {}
// SAFETY: as above.
unsafe impl Sync for SharedMut {}

impl SharedMut {
    pub(crate) fn new(buffer: &mut [f32]) -> Self {
        Self(buffer.as_mut_ptr())
    }

    /// The element at `index`.
    ///
    /// # Safety
    ///
    /// `index` must lie within the buffer.
    #[inline(always)]
    pub(crate) unsafe fn at(self, index: usize) -> *mut f32 {
        // SAFETY: the caller's promise is passed on.
        unsafe { self.0.add(index) }
    }
}

/// Makes a buffer of `len` floats that `fill` writes; nothing is zeroed first.
///
/// # Safety
///
/// `fill` must write every element.
pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(SharedMut)) -> Vec<f32> {
    let mut buffer: Vec<f32> = Vec::with_capacity(len);
    fill(SharedMut(buffer.as_mut_ptr()));
    // SAFETY: the capacity is `len`, and the caller promises that every element was written.
    unsafe { buffer.set_len(len) };
    buffer
}

/// Storage and shape as a custom op returns them.
pub(crate) fn output(buffer: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(buffer), shape.into())
}

/// The elements of a small tensor of weights of any layout, as float32.
pub(crate) fn weights(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()
}
