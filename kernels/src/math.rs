//! Elementary functions on vectors.

use crate::Activation;
use crate::simd::Simd;

/// `e^x` within 2 ulp over -87.3..=88.3; below it underflows to about 1e-38 and above it saturates at about 2e38, and never
/// gives infinity or a denormal. NaN stays NaN.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        // The bounds keep 2^n a normal number. The operand order lets a NaN in `x` through.
        let x = S::min(S::splat(88.0), S::max(S::splat(-87.0), x));
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        // ln 2 in two parts: the first has few bits, so that n * it is exact (Cody and Waite).
        let r = S::fma(n, S::splat(-0.693_359_4), x);
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        // The Taylor polynomial with coefficients fitted on |r| <= ln 2 / 2 (Cephes' expf).
        let mut p = S::splat(1.987_569_1e-4);
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
            p = S::fma(p, r, S::splat(c));
        }
        let p = S::add(S::fma(p, S::mul(r, r), r), S::splat(1.0));
        S::scale_exp2(p, n)
    }
}

/// `2^x` within 2 ulp over -126..=0; below it underflows to 2^-126, and never gives a subnormal number. NaN stays NaN, and
/// `2^0` is exactly one.
///
/// # Safety
///
/// See [`Simd`]; `x` is at most 0.
#[expect(clippy::approx_constant, reason = "fitted with the others, so not quite ln 2")]
#[inline(always)]
pub(crate) unsafe fn exp2<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        // The operand order lets a NaN in `x` through.
        let x = S::max(S::splat(-126.0), x);
        let n = S::round(x);
        let r = S::sub(x, n);
        // The polynomial of least relative error on |r| <= 1/2 that is one at zero: 9.1e-8.
        let mut p = S::splat(1.326_472_7e-3);
        for c in [9.671_513e-3, 5.550_733_6e-2, 0.240_222_42, 0.693_147, 1.0] {
            p = S::fma(p, r, S::splat(c));
        }
        S::scale_exp2(p, n)
    }
}

/// `erf(x)` within about 4 ulp, by the rational approximation that Eigen uses for float32.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn erf<S: Simd>(x: S::V) -> S::V {
    const NUMERATOR: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const DENOMINATOR: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let x = S::min(S::splat(4.0), S::max(S::splat(-4.0), x));
        let x2 = S::mul(x, x);
        let mut p = S::splat(NUMERATOR[0]);
        for c in &NUMERATOR[1..] {
            p = S::fma(p, x2, S::splat(*c));
        }
        let mut q = S::splat(DENOMINATOR[0]);
        for c in &DENOMINATOR[1..] {
            q = S::fma(q, x2, S::splat(*c));
        }
        let e = S::div(S::mul(x, p), q);
        // Beyond 3.92 the function is one in float32, and the approximation a little less.
        let e = S::select_greater(x, S::splat(3.92), S::splat(1.0), e);
        S::select_greater(S::splat(-3.92), x, S::splat(-1.0), e)
    }
}

/// `1 / (1 + e^-x)`
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's promise is passed on.
    unsafe { S::div(S::splat(1.0), S::add(S::splat(1.0), exp::<S>(S::sub(S::splat(0.0), x)))) }
}

/// `x / 2 * (1 + erf(x / √2))`
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn gelu<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let e = erf::<S>(S::mul(x, S::splat(std::f32::consts::FRAC_1_SQRT_2)));
        S::mul(S::mul(x, S::splat(0.5)), S::add(S::splat(1.0), e))
    }
}

/// `activation` of each lane.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn activate<S: Simd>(x: S::V, activation: Activation) -> S::V {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match activation {
            Activation::Identity => x,
            Activation::Silu => S::mul(x, sigmoid::<S>(x)),
            Activation::Gelu => gelu::<S>(x),
            Activation::QuickGelu => S::mul(x, sigmoid::<S>(S::mul(x, S::splat(1.702)))),
            // `max` gives its second operand for a NaN.
            Activation::Relu => S::max(S::splat(0.0), x),
            // tanh(x) = 2 sigmoid(2x) - 1
            Activation::Tanh => S::fma(S::splat(2.0), sigmoid::<S>(S::mul(x, S::splat(2.0))), S::splat(-1.0)),
        }
    }
}
