//! Vectors of sixteen float32 lanes, and the choice of the instruction set that works on them.
//!
//! Every kernel is written once, over [`Simd`], and compiled for each instruction set. A vector has sixteen lanes on all of
//! them (two registers on AVX2, an array on the portable twin) and every operation rounds alike, so all twins give the same
//! bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use std::sync::OnceLock;

use half::{bf16, f16};

pub(crate) use portable::Portable;

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;

/// Operations on sixteen float32 lanes.
///
/// # Safety
///
/// Every method may only be called where the instruction set of the implementing type is enabled, that is, below
/// [`dispatch`]. Pointers must be valid for the lanes that are read or written; they need no alignment.
pub(crate) unsafe trait Simd: Copy + 'static {
    type V: Copy;
    /// Rows of the matrix product's tile, so that its sums fill the register file.
    const TILE_ROWS: usize;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Asks for the cache line at `p`, which may be any address, to be read soon.
    #[inline(always)]
    unsafe fn prefetch(_p: *const f32) {}
    /// Sixteen float16, widened.
    unsafe fn load_f16(p: *const f16) -> Self::V;
    /// Sixteen bfloat16, widened.
    unsafe fn load_bf16(p: *const bf16) -> Self::V;
    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `sums[j] = p[at] * w[j] + sums[j]`, each rounded once.
    #[inline(always)]
    unsafe fn fma_row<const VECTORS: usize>(
        p: *const f32,
        at: usize,
        w: &[Self::V; VECTORS],
        sums: &mut [Self::V; VECTORS],
    ) {
        // SAFETY: the caller's promise is passed on, and `p[at]` is readable.
        unsafe {
            let x = Self::splat(*p.add(at));
            for j in 0..VECTORS {
                sums[j] = Self::fma(x, w[j], sums[j]);
            }
        }
    }
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// The second operand where either is NaN, as `maxps` does it.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The second operand where either is NaN, as `minps` does it.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// `x` where `a > b`, and `y` elsewhere, also where either is NaN.
    unsafe fn select_greater(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// To the nearest integer, halves to even.
    unsafe fn round(a: Self::V) -> Self::V;
    /// `a * 2^n` for integral `n` in -126..=127.
    unsafe fn scale_exp2(a: Self::V, n: Self::V) -> Self::V;
    unsafe fn to_array(a: Self::V) -> [f32; LANES];

    /// Lane j of vector i becomes lane i of vector j.
    #[inline(always)]
    unsafe fn transpose(rows: &mut [Self::V; LANES]) {
        // SAFETY: the caller's promise is passed on; each column has sixteen numbers.
        unsafe {
            let mut columns = [[0.0; LANES]; LANES];
            for (i, row) in rows.iter().enumerate() {
                for (column, x) in columns.iter_mut().zip(Self::to_array(*row)) {
                    column[i] = x;
                }
            }
            for (row, column) in rows.iter_mut().zip(&columns) {
                *row = Self::load(column.as_ptr());
            }
        }
    }

    /// The sum of the lanes, by halving: lane i with lane i + 8, then + 4, + 2, + 1.
    #[inline(always)]
    unsafe fn sum(a: Self::V) -> f32 {
        // SAFETY: the caller's promise is passed on.
        let mut lanes = unsafe { Self::to_array(a) };
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
            width /= 2;
        }
        lanes[0]
    }

    /// Loads `n <= 16` lanes; the others are zero.
    #[inline(always)]
    unsafe fn load_partial(p: *const f32, n: usize) -> Self::V {
        let mut lanes = [0.0; LANES];
        // SAFETY: the caller promises `n` readable lanes at `p`; `lanes` has sixteen.
        unsafe {
            std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n);
            Self::load(lanes.as_ptr())
        }
    }

    /// Stores the first `n <= 16` lanes.
    #[inline(always)]
    unsafe fn store_partial(p: *mut f32, v: Self::V, n: usize) {
        // SAFETY: the caller promises `n` writable lanes at `p`.
        unsafe { std::ptr::copy_nonoverlapping(Self::to_array(v).as_ptr(), p, n) }
    }
}

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    Avx512,
    Avx2,
    Portable,
}

impl Isa {
    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") && Isa::Avx2.is_available()
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => false,
            Isa::Portable => true,
        }
    }

    /// The best one that this machine has, found once. `X0_ISA` (`avx512`, `avx2`, `portable`) asks for a lesser one.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let at_most = std::env::var("X0_ISA").unwrap_or_default();
            let candidates: &[Isa] = match at_most.as_str() {
                "portable" => &[Isa::Portable],
                "avx2" => &[Isa::Avx2, Isa::Portable],
                _ => &[Isa::Avx512, Isa::Avx2, Isa::Portable],
            };
            *candidates.iter().find(|isa| isa.is_available()).unwrap_or(&Isa::Portable)
        })
    }
}

/// A computation over any instruction set. `run` must be `#[inline(always)]`, so that it is compiled with the features of
/// the function that it is inlined into.
pub(crate) trait Kernel {
    type Output;

    /// # Safety
    ///
    /// Only [`dispatch`] calls it, with an instruction set that the machine has.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// Runs `kernel` with the instructions of `isa`.
///
/// # Panics
///
/// Where the machine lacks `isa`.
#[inline]
pub(crate) fn dispatch<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    assert!(isa.is_available(), "this machine has no {isa:?}");
    match isa {
        // SAFETY: the instruction set was just found to be there.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512::call(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx2::call(kernel) },
        // SAFETY: the portable twin needs nothing.
        Isa::Portable => unsafe { kernel.run::<Portable>() },
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx512 | Isa::Avx2 => unreachable!("found to be absent above"),
    }
}
