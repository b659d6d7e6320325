//! Single-precision logarithm, sine and cosine by the polynomials of Moshier's Cephes library.
//!
//! PyTorch's AVX2 kernel for normal numbers uses these polynomials (aten/src/ATen/native/cpu/avx_mathfun.h), with each
//! product that feeds a sum fused into it. Evaluated in the same order they give the same bits, on any processor.

use std::f32::consts::FRAC_1_SQRT_2;

const LN_POLYNOMIAL: [f32; 9] = [
    7.037_683_6e-2,
    -1.151_461e-1,
    1.167_699_84e-1,
    -1.242_014_1e-1,
    1.424_932_3e-1,
    -1.666_805_7e-1,
    2.000_071_4e-1,
    -2.499_999_4e-1,
    3.333_333e-1,
];
/// ln 2 in two parts, the larger one with few bits, so that its products with small integers are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// The natural logarithm of a positive, normal number.
pub(super) fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 23) as f32 - 126.0;
    let mantissa = f32::from_bits(bits & !0x7f80_0000 | 0x3f00_0000);
    let x = if mantissa < FRAC_1_SQRT_2 {
        exponent -= 1.0;
        mantissa - 1.0 + mantissa
    } else {
        mantissa - 1.0
    };
    let square = x * x;
    let mut y = LN_POLYNOMIAL[0];
    for coefficient in &LN_POLYNOMIAL[1..] {
        y = y.mul_add(x, *coefficient);
    }
    y = (y * x).mul_add(square, exponent * LN_2_LOW);
    y = square.mul_add(-0.5, y);
    exponent.mul_add(LN_2_HIGH, x + y)
}

/// π/4 in three parts: the first two have few bits, so that the reduction loses nothing.
const FRAC_PI_4_PARTS: [f32; 3] = [0.785_156_25, 2.418_756_5e-4, 3.774_895e-8];
const FOUR_OVER_PI: f32 = 1.273_239_5;

/// The sine and cosine of an angle in 0 ..= 2π.
pub(super) fn sin_cos(angle: f32) -> (f32, f32) {
    // The even multiple of π/4 that is nearest: what is left lies within ±π/4.
    let octant = ((angle * FOUR_OVER_PI) as u32 + 1) & !1;
    let mut x = angle;
    for part in FRAC_PI_4_PARTS {
        x = (octant as f32).mul_add(-part, x);
    }
    let square = x * x;

    let mut cosine = 2.443_315_7e-5_f32;
    cosine = cosine.mul_add(square, -1.388_731_6e-3);
    cosine = cosine.mul_add(square, 4.166_664_6e-2);
    cosine = (cosine * square).mul_add(square, -0.5 * square) + 1.0;

    let mut sine = -1.951_529_6e-4_f32;
    sine = sine.mul_add(square, 8.332_161e-3);
    sine = sine.mul_add(square, -1.666_665_5e-1);
    sine = (sine * square).mul_add(x, x);

    if octant & 2 != 0 {
        std::mem::swap(&mut sine, &mut cosine);
    }
    let sine = if octant & 4 != 0 { -sine } else { sine };
    let cosine = if octant.wrapping_sub(2) & 4 == 0 { -cosine } else { cosine };
    (sine, cosine)
}
