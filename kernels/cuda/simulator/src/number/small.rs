//! float16 and bfloat16.

use super::rounding::{Format, Rounding, add_to_odd, fma_to_odd, single_to_odd};
use crate::machine::Lane;

/// IEEE 754 binary16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct F16(pub(crate) u16);

/// The upper half of a float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(crate) u16);

/// Two in one register, the first in the lower half.
pub(crate) type F16x2 = [F16; 2];
/// Two in one register, the first in the lower half.
pub(crate) type Bf16x2 = [Bf16; 2];

// SAFETY: two bytes, and any bits are a number.
unsafe impl Lane for F16 {
    const ZERO: Self = Self(0);
}
// SAFETY: two bytes, and any bits are a number.
unsafe impl Lane for Bf16 {
    const ZERO: Self = Self(0);
}
// SAFETY: four bytes, and any bits are two numbers.
unsafe impl Lane for F16x2 {
    const ZERO: Self = [F16(0); 2];
}
// SAFETY: four bytes, and any bits are two numbers.
unsafe impl Lane for Bf16x2 {
    const ZERO: Self = [Bf16(0); 2];
}

/// What float16 and bfloat16 have in common.
pub(crate) trait Small: Lane {
    const FORMAT: Format;
    /// The one NaN that instructions give.
    const NAN: Self;
    fn bits(self) -> u16;
    fn from_bits(bits: u16) -> Self;
    /// Exact.
    fn to_f32(self) -> f32;
    /// To the nearest.
    fn from_f32(x: f32) -> Self;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self.to_f32())
    }

    /// Rounded once, if `x` is exact or was rounded to odd.
    fn from_f64(x: f64, rounding: Rounding) -> Self {
        // The rounded number is one of this format, hence of float32.
        Self::from_f32(Self::FORMAT.round(x, rounding) as f32)
    }

    #[inline(always)]
    fn is_nan(self) -> bool {
        self.to_f32().is_nan()
    }

    /// To the nearest, rounded once if `x` is exact or was rounded to odd.
    #[inline(always)]
    fn nearest(x: f64) -> Self {
        Self::from_f32(single_to_odd(x))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self::nearest(add_to_odd(self.to_f64(), other.to_f64()))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self::nearest(add_to_odd(self.to_f64(), -other.to_f64()))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self::nearest(self.to_f64() * other.to_f64())
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Self::nearest(fma_to_odd(self.to_f64(), b.to_f64(), c.to_f64()))
    }

    #[inline(always)]
    fn neg(self) -> Self {
        Self::from_bits(self.bits() ^ 0x8000)
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self::from_bits(self.bits() & 0x7FFF)
    }
}

impl Small for F16 {
    const FORMAT: Format = Format::F16;
    const NAN: Self = Self(0x7FFF);

    #[inline(always)]
    fn bits(self) -> u16 {
        self.0
    }

    #[inline(always)]
    fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        let bits = u32::from(self.0);
        let (sign, magnitude) = ((bits & 0x8000) << 16, bits & 0x7FFF);
        // The same bits mean 2^112 times less in float32, whose exponents are biased by 127 and not by 15.
        let finite = f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23);
        let infinite = magnitude << 13 | 0x7F80_0000;
        f32::from_bits(sign | if magnitude < 0x7C00 { finite.to_bits() } else { infinite })
    }

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        let (sign, magnitude) = (bits >> 16 & 0x8000, bits & 0x7FFF_FFFF);
        // To the nearest: half a unit is added, less for those that are halfway and even already.
        let normal = magnitude.wrapping_sub((127 - 15) << 23);
        let normal = normal.wrapping_add(0xFFF + (normal >> 13 & 1)) >> 13;
        // The last place of 0.5 is 2^-24: the addition rounds to what a number without hidden bit counts.
        let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5_f32.to_bits());
        let small = if magnitude > 0x7F80_0000 {
            return Self::NAN;
        } else if magnitude < (127 - 14) << 23 {
            subnormal
        } else {
            normal.min(0x7C00)
        };
        // Infinity and what is beyond the largest number come out of `normal` too large.
        let small = if magnitude >= (127 + 16) << 23 { 0x7C00 } else { small };
        Self((small | sign) as u16)
    }
}

impl Small for Bf16 {
    const FORMAT: Format = Format::BF16;
    const NAN: Self = Self(0x7FFF);

    #[inline(always)]
    fn bits(self) -> u16 {
        self.0
    }

    #[inline(always)]
    fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
        if x.is_nan() { Self::NAN } else { Self(rounded as u16) }
    }
}
