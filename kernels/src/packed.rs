//! Weights in the order in which products read them, each as wide as it came.

use half::{bf16, f16};

use crate::aligned::Aligned;
use crate::pool;
use crate::simd::{Isa, LANES, Simd};

/// How many bits a weight keeps. float16 and bfloat16 widen to float32 exactly, so a layer whose weights came in either gives
/// the same bits as one that widened them when it was made, in half the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Precision {
    F32,
    F16,
    Bf16,
}

/// Panels of 16 or 32 output columns, each with `depth` rows for each of `taps` one after the other. Columns past the last
/// are zero.
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
    /// `weight(tap, k, column)` gives the elements, which `precision` must be able to hold exactly.
    pub(crate) fn new(
        isa: Isa,
        precision: Precision,
        taps: usize,
        depth: usize,
        columns: usize,
        weight: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let vectors = match isa {
            Isa::Avx512 if columns > LANES => 2,
            Isa::Avx512 | Isa::Avx2 | Isa::Portable => 1,
        };
        let shape = (taps, depth, columns, vectors);
        let numbers = match precision {
            Precision::F32 => Numbers::F32(pack(shape, weight)),
            Precision::F16 => Numbers::F16(pack(shape, |t, k, n| f16::from_f32(weight(t, k, n)))),
            Precision::Bf16 => Numbers::Bf16(pack(shape, |t, k, n| bf16::from_f32(weight(t, k, n)))),
        };
        Self { numbers, isa, vectors, taps, depth, columns }
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

fn pack<T: Copy + Default + Send>(
    (taps, depth, columns, vectors): (usize, usize, usize, usize),
    weight: impl Fn(usize, usize, usize) -> T + Sync,
) -> Aligned<T> {
    let width = vectors * LANES;
    let panel_size = taps * depth * width;
    let mut numbers = Aligned::zeros(columns.div_ceil(width) * panel_size);
    pool::for_each_chunk(&mut numbers, panel_size.max(1), |panel, numbers| {
        for (n, row) in numbers.chunks_exact_mut(width).enumerate() {
            let first = panel * width;
            for (i, x) in row.iter_mut().enumerate().take(columns - first) {
                *x = weight(n / depth, n % depth, first + i);
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
