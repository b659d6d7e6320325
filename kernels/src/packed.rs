//! Weights in the order in which products read them, each as wide as it came.

use candle_core::{DType, Result, Tensor};
use half::{bf16, f16};

use crate::aligned::Aligned;
use crate::pool;
use crate::simd::{Isa, LANES, Simd};

/// Panels of 16 or 32 output columns, each with `depth` rows for each of `taps` one after the other. Columns past the last
/// are zero.
///
/// float16 and bfloat16 stay what they are. They widen to float32 exactly, so they give the same bits as weights that were
/// widened first, from half the memory.
#[derive(Debug)]
pub(crate) struct PackedWeights {
    numbers: Numbers,
    pub(crate) isa: Isa,
    /// Vectors of a panel's row.
    pub(crate) vectors: usize,
    pub(crate) taps: usize,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
}

#[derive(Debug)]
pub(crate) enum Numbers {
    F32(Aligned<f32>),
    F16(Aligned<f16>),
    Bf16(Aligned<bf16>),
}

/// A number that weights may be kept as.
pub(crate) trait Stored: Copy {
    /// Sixteen of them, widened.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    unsafe fn load<S: Simd>(p: *const Self) -> S::V;
}

impl Stored for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const Self) -> S::V {
        // SAFETY: the caller's promise is passed on.
        unsafe { S::load(p) }
    }
}

impl Stored for f16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const Self) -> S::V {
        // SAFETY: the caller's promise is passed on.
        unsafe { S::load_f16(p) }
    }
}

impl Stored for bf16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const Self) -> S::V {
        // SAFETY: the caller's promise is passed on.
        unsafe { S::load_bf16(p) }
    }
}

impl PackedWeights {
    /// `index(tap, k, column)` says which of the elements of `weight`, one row after the other, belongs there.
    pub(crate) fn new(
        isa: Isa,
        weight: &Tensor,
        (taps, depth, columns): (usize, usize, usize),
        index: impl Fn(usize, usize, usize) -> usize + Sync,
    ) -> Result<Self> {
        let vectors = match isa {
            Isa::Avx512 if columns > LANES => 2,
            Isa::Avx512 | Isa::Avx2 | Isa::Portable => 1,
        };
        let shape = (taps, depth, columns, vectors);
        let weight = weight.flatten_all()?;
        let numbers = match weight.dtype() {
            DType::F16 => Numbers::F16(pack(shape, &weight.to_vec1()?, index)),
            DType::BF16 => Numbers::Bf16(pack(shape, &weight.to_vec1()?, index)),
            _ => Numbers::F32(pack(shape, &weight.to_dtype(DType::F32)?.to_vec1()?, index)),
        };
        Ok(Self { numbers, isa, vectors, taps, depth, columns })
    }

    /// Columns of a panel.
    pub(crate) fn width(&self) -> usize {
        self.vectors * LANES
    }

    pub(crate) fn panels(&self) -> usize {
        self.columns.div_ceil(self.width())
    }

    /// All numbers, and where the rows of a panel's tap begin among them.
    pub(crate) fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    pub(crate) fn start(&self, panel: usize, tap: usize) -> usize {
        (panel * self.taps + tap) * self.depth * self.width()
    }

    /// Whether [`Self::rows`] needs room to widen them.
    pub(crate) fn is_narrow(&self) -> bool {
        match self.numbers {
            Numbers::F32(_) => false,
            Numbers::F16(_) | Numbers::Bf16(_) => true,
        }
    }

    /// `count` numbers from `start` on as float32, widened into `room` if they are not.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    pub(crate) unsafe fn rows<S: Simd>(&self, start: usize, count: usize, room: &mut [f32]) -> *const f32 {
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match &self.numbers {
                Numbers::F32(numbers) => numbers[start..start + count].as_ptr(),
                Numbers::F16(numbers) => widen::<S, f16>(&numbers[start..start + count], room),
                Numbers::Bf16(numbers) => widen::<S, bf16>(&numbers[start..start + count], room),
            }
        }
    }
}

fn pack<T: Copy + Default + Send + Sync>(
    (taps, depth, columns, vectors): (usize, usize, usize, usize),
    weight: &[T],
    index: impl Fn(usize, usize, usize) -> usize + Sync,
) -> Aligned<T> {
    let width = vectors * LANES;
    let panel_size = taps * depth * width;
    let mut numbers = Aligned::zeros(columns.div_ceil(width) * panel_size);
    pool::for_each_chunk(&mut numbers, panel_size.max(1), |panel, numbers| {
        let first = panel * width;
        for (tap, rows) in numbers.chunks_exact_mut(depth * width).enumerate() {
            for (k, row) in rows.chunks_exact_mut(width).enumerate() {
                for (i, x) in row.iter_mut().enumerate().take(columns - first) {
                    *x = weight[index(tap, k, first + i)];
                }
            }
        }
    });
    numbers
}

/// # Safety
///
/// See [`Simd`].
#[inline(always)]
unsafe fn widen<S: Simd, T: Stored>(numbers: &[T], room: &mut [f32]) -> *const f32 {
    let room = &mut room[..numbers.len()];
    for (from, to) in numbers.chunks_exact(LANES).zip(room.chunks_exact_mut(LANES)) {
        // SAFETY: both have sixteen numbers.
        unsafe { S::store(to.as_mut_ptr(), T::load::<S>(from.as_ptr())) };
    }
    room.as_ptr()
}
