//! Two 256-bit registers a vector.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{Kernel, LANES, Simd};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2;

/// Runs `kernel` with AVX2, FMA and F16C enabled.
///
/// # Safety
///
/// The machine must have AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn call<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the features are enabled here.
    unsafe { kernel.run::<Avx2>() }
}

/// Applies one intrinsic to both halves of its operands.
macro_rules! both {
    ($f:ident, $($v:ident),+) => {
        // SAFETY: see the implementation below.
        unsafe { [$f($($v[0]),+), $f($($v[1]),+)] }
    };
}

/// `a * 2^n` of eight lanes.
///
/// # Safety
///
/// The machine must have AVX2.
#[inline(always)]
unsafe fn scale_exp2(a: __m256, n: __m256) -> __m256 {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let biased = _mm256_add_epi32(_mm256_cvttps_epi32(n), _mm256_set1_epi32(127));
        _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
    }
}

/// Transposes a block of eight by eight.
///
/// # Safety
///
/// The machine must have AVX2.
#[inline(always)]
unsafe fn transpose(rows: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        // Pairs of rows are interleaved, then pairs of pairs, then halves are exchanged.
        let mut four = [[_mm256_setzero_ps(); 4]; 2];
        for (i, four) in four.iter_mut().enumerate() {
            let [a, b, c, d] = [rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]];
            let low = [_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d)];
            let high = [_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d)];
            *four = [
                _mm256_shuffle_ps::<0x44>(low[0], low[1]),
                _mm256_shuffle_ps::<0xee>(low[0], low[1]),
                _mm256_shuffle_ps::<0x44>(high[0], high[1]),
                _mm256_shuffle_ps::<0xee>(high[0], high[1]),
            ];
        }
        let mut columns = [_mm256_setzero_ps(); 8];
        for j in 0..4 {
            columns[j] = _mm256_permute2f128_ps::<0x20>(four[0][j], four[1][j]);
            columns[4 + j] = _mm256_permute2f128_ps::<0x31>(four[0][j], four[1][j]);
        }
        columns
    }
}

// SAFETY: each method is intrinsics of AVX2, FMA and F16C, which the trait's contract says are enabled; loads and stores are the
// unaligned ones and touch the sixteen lanes that the caller vouches for.
#[allow(clippy::undocumented_unsafe_blocks)]
unsafe impl Simd for Avx2 {
    type V = [__m256; 2];
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        unsafe { [_mm256_set1_ps(x); 2] }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        unsafe { [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))] }
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        unsafe {
            _mm256_storeu_ps(p, v[0]);
            _mm256_storeu_ps(p.add(8), v[1]);
        }
    }

    #[inline(always)]
    unsafe fn load_f16(p: *const f16) -> Self::V {
        unsafe { [0, 8].map(|i| _mm256_cvtph_ps(_mm_loadu_si128(p.add(i).cast()))) }
    }

    #[inline(always)]
    unsafe fn load_bf16(p: *const bf16) -> Self::V {
        unsafe {
            [0, 8].map(|i| {
                let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.add(i).cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
            })
        }
    }

    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        both!(_mm256_fmadd_ps, a, b, c)
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_add_ps, a, b)
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_sub_ps, a, b)
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_mul_ps, a, b)
    }

    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_div_ps, a, b)
    }

    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_max_ps, a, b)
    }

    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        both!(_mm256_min_ps, a, b)
    }

    #[inline(always)]
    unsafe fn select_greater(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        unsafe {
            [
                _mm256_blendv_ps(y[0], x[0], _mm256_cmp_ps::<_CMP_GT_OQ>(a[0], b[0])),
                _mm256_blendv_ps(y[1], x[1], _mm256_cmp_ps::<_CMP_GT_OQ>(a[1], b[1])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn round(a: Self::V) -> Self::V {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        unsafe { [_mm256_round_ps::<NEAREST>(a[0]), _mm256_round_ps::<NEAREST>(a[1])] }
    }

    #[inline(always)]
    unsafe fn scale_exp2(a: Self::V, n: Self::V) -> Self::V {
        unsafe { [scale_exp2(a[0], n[0]), scale_exp2(a[1], n[1])] }
    }

    #[inline(always)]
    unsafe fn transpose(rows: &mut [Self::V; LANES]) {
        unsafe {
            // Quarter (i, j) of the square, transposed, becomes quarter (j, i).
            let mut turned = [[_mm256_setzero_ps(); 2]; LANES];
            for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let mut quarter = [_mm256_setzero_ps(); 8];
                for (row, from) in quarter.iter_mut().zip(&rows[8 * i..]) {
                    *row = from[j];
                }
                for (row, to) in transpose(quarter).into_iter().zip(&mut turned[8 * j..]) {
                    to[i] = row;
                }
            }
            *rows = turned;
        }
    }

    #[inline(always)]
    unsafe fn to_array(a: Self::V) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        unsafe { Self::store(lanes.as_mut_ptr(), a) };
        lanes
    }
}
