//! The transforms of input, filter and output, along one direction.

use super::{IN, OUT};
use crate::simd::Simd;

/// `Bᵀ d` of six vectors.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
pub(super) unsafe fn transform_input<S: Simd>(d: [S::V; IN]) -> [S::V; IN] {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let (two, four) = (S::splat(2.0), S::splat(4.0));
        let even = S::fma(S::splat(-4.0), d[2], d[4]);
        let odd = S::fma(S::splat(-4.0), d[1], d[3]);
        let even_small = S::sub(d[4], d[2]);
        let odd_small = S::sub(d[3], d[1]);
        [
            S::fma(four, d[0], S::fma(S::splat(-5.0), d[2], d[4])),
            S::add(even, odd),
            S::sub(even, odd),
            S::fma(two, odd_small, even_small),
            S::fma(S::splat(-2.0), odd_small, even_small),
            S::fma(four, d[1], S::fma(S::splat(-5.0), d[3], d[5])),
        ]
    }
}

/// `G g` of three vectors.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
pub(super) unsafe fn transform_filter<S: Simd>(g: [S::V; 3]) -> [S::V; IN] {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let (sixth, twelfth) = (S::splat(1.0 / 6.0), S::splat(1.0 / 12.0));
        let ends = S::mul(S::add(g[0], g[2]), S::splat(-1.0 / 6.0));
        let far = S::fma(g[2], sixth, S::mul(g[0], S::splat(1.0 / 24.0)));
        [
            S::mul(g[0], S::splat(0.25)),
            S::fma(g[1], S::splat(-1.0 / 6.0), ends),
            S::fma(g[1], sixth, ends),
            S::fma(g[1], twelfth, far),
            S::fma(g[1], S::splat(-1.0 / 12.0), far),
            g[2],
        ]
    }
}

/// `Aᵀ m` of six vectors.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
pub(super) unsafe fn transform_output<S: Simd>(m: [S::V; IN]) -> [S::V; OUT] {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let (sum_1, difference_1) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (sum_2, difference_2) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        [
            S::add(S::add(m[0], sum_1), sum_2),
            S::fma(S::splat(2.0), difference_2, difference_1),
            S::fma(S::splat(4.0), sum_2, sum_1),
            S::add(S::fma(S::splat(8.0), difference_2, difference_1), m[5]),
        ]
    }
}
