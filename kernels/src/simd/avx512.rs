//! One 512-bit register a vector.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{Kernel, LANES, Simd};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512;

/// Runs `kernel` with AVX-512 enabled.
///
/// # Safety
///
/// The machine must have AVX-512 F and DQ, AVX2, FMA and F16C.
#[target_feature(enable = "avx512f,avx512dq,avx2,fma,f16c")]
pub(super) unsafe fn call<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the features are enabled here.
    unsafe { kernel.run::<Avx512>() }
}

/// Multiplies two vectors by the number at `p[at]`, and adds the products to the sums.
///
/// As one piece, because the compiler would load the numbers of all of a tile's rows first, and then lack registers for the sums.
///
/// # Safety
///
/// The machine must have AVX-512 F; `p[at]` must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn fma_two(p: *const f32, at: usize, w: [__m512; 2], sums: &mut [__m512; 2]) {
    let [a, b] = sums;
    // SAFETY: it reads the number that the caller vouches for, and writes registers that it names.
    unsafe {
        std::arch::asm!(
            "vbroadcastss {x}, dword ptr [{p} + 4 * {at}]",
            "vfmadd231ps {a}, {x}, {w0}",
            "vfmadd231ps {b}, {x}, {w1}",
            x = out(zmm_reg) _,
            p = in(reg) p,
            at = in(reg) at,
            a = inout(zmm_reg) *a,
            b = inout(zmm_reg) *b,
            w0 = in(zmm_reg) w[0],
            w1 = in(zmm_reg) w[1],
            options(pure, readonly, nostack, preserves_flags),
        );
    }
}

// SAFETY: each method is one or two intrinsics of AVX-512 F, which the trait's contract says is enabled; loads and stores
// are the unaligned ones and touch the sixteen lanes that the caller vouches for.
#[allow(clippy::undocumented_unsafe_blocks)]
unsafe impl Simd for Avx512 {
    type V = __m512;
    const TILE_ROWS: usize = 12;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        unsafe { _mm512_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }

    #[inline(always)]
    unsafe fn load_f16(p: *const f16) -> Self::V {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(p: *const bf16) -> Self::V {
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn fma_row<const VECTORS: usize>(
        p: *const f32,
        at: usize,
        w: &[Self::V; VECTORS],
        sums: &mut [Self::V; VECTORS],
    ) {
        unsafe {
            let (mut pairs, mut weights) = (sums.chunks_exact_mut(2), w.chunks_exact(2));
            for (sums, w) in pairs.by_ref().zip(weights.by_ref()) {
                let mut pair = [sums[0], sums[1]];
                fma_two(p, at, [w[0], w[1]], &mut pair);
                sums.copy_from_slice(&pair);
            }
            for (sum, w) in pairs.into_remainder().iter_mut().zip(weights.remainder()) {
                *sum = _mm512_fmadd_ps(_mm512_set1_ps(*p.add(at)), *w, *sum);
            }
        }
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn select_greater(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), y, x) }
    }

    #[inline(always)]
    unsafe fn round(a: Self::V) -> Self::V {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }

    #[inline(always)]
    unsafe fn scale_exp2(a: Self::V, n: Self::V) -> Self::V {
        unsafe { _mm512_scalef_ps(a, n) }
    }

    #[inline(always)]
    unsafe fn transpose(rows: &mut [Self::V; LANES]) {
        unsafe {
            // Within each quarter of the vectors: pairs of rows are interleaved, then pairs of pairs. `four[i][c]` has in
            // quarter q the column 4 q + c of rows 4 i to 4 i + 3.
            let mut four = [[_mm512_setzero_ps(); 4]; 4];
            for (i, four) in four.iter_mut().enumerate() {
                let low = [
                    _mm512_unpacklo_ps(rows[4 * i], rows[4 * i + 1]),
                    _mm512_unpacklo_ps(rows[4 * i + 2], rows[4 * i + 3]),
                ];
                let high = [
                    _mm512_unpackhi_ps(rows[4 * i], rows[4 * i + 1]),
                    _mm512_unpackhi_ps(rows[4 * i + 2], rows[4 * i + 3]),
                ];
                *four = [
                    _mm512_shuffle_ps::<0x44>(low[0], low[1]),
                    _mm512_shuffle_ps::<0xee>(low[0], low[1]),
                    _mm512_shuffle_ps::<0x44>(high[0], high[1]),
                    _mm512_shuffle_ps::<0xee>(high[0], high[1]),
                ];
            }
            // Then the quarters themselves: the even ones of two vectors, the odd ones, and so again.
            for c in 0..4 {
                let even = [
                    _mm512_shuffle_f32x4::<0x88>(four[0][c], four[1][c]),
                    _mm512_shuffle_f32x4::<0x88>(four[2][c], four[3][c]),
                ];
                let odd = [
                    _mm512_shuffle_f32x4::<0xdd>(four[0][c], four[1][c]),
                    _mm512_shuffle_f32x4::<0xdd>(four[2][c], four[3][c]),
                ];
                rows[c] = _mm512_shuffle_f32x4::<0x88>(even[0], even[1]);
                rows[4 + c] = _mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]);
                rows[8 + c] = _mm512_shuffle_f32x4::<0xdd>(even[0], even[1]);
                rows[12 + c] = _mm512_shuffle_f32x4::<0xdd>(odd[0], odd[1]);
            }
        }
    }

    #[inline(always)]
    unsafe fn to_array(a: Self::V) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), a) };
        lanes
    }

    #[inline(always)]
    unsafe fn load_partial(p: *const f32, n: usize) -> Self::V {
        unsafe { _mm512_maskz_loadu_ps(((1u32 << n) - 1) as __mmask16, p) }
    }

    #[inline(always)]
    unsafe fn store_partial(p: *mut f32, v: Self::V, n: usize) {
        unsafe { _mm512_mask_storeu_ps(p, ((1u32 << n) - 1) as __mmask16, v) }
    }
}
