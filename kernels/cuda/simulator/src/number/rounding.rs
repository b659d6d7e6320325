//! Rounding in all directions.
//!
//! Results that are rounded to a narrower format are first computed in float64 *to odd*: what does not fit makes the last bit a 1. With
//! at least two bits more than the final format has, rounding that again gives what rounding the exact result once would have given
//! (Boldo and Melquiond, "Emulation of a FMA and Correctly Rounded Sums: Proved Algorithms Using Rounding to Odd", 2008).

/// To which neighbour a number goes that is none of its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To the nearest, and to the even one of two.
    Nearest,
    /// To the nearest, and away from zero of two.
    NearestAway,
    Zero,
    Down,
    Up,
}

impl Rounding {
    /// To a whole number.
    #[inline(always)]
    pub(crate) fn whole(self, x: f64) -> f64 {
        match self {
            Self::Nearest => x.round_ties_even(),
            Self::NearestAway => x.round(),
            Self::Zero => x.trunc(),
            Self::Down => x.floor(),
            Self::Up => x.ceil(),
        }
    }
}

/// A binary floating-point format that is narrower than float64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Format {
    /// Bits of the significand, with the hidden one.
    precision: i32,
    /// The exponent of the smallest normal number.
    min_exponent: i32,
    /// The largest finite number.
    max: f64,
}

impl Format {
    pub(crate) const F32: Self = Self { precision: 24, min_exponent: -126, max: f32::MAX as f64 };
    pub(crate) const F16: Self = Self { precision: 11, min_exponent: -14, max: 65504.0 };
    pub(crate) const BF16: Self = Self { precision: 8, min_exponent: -126, max: f32::from_bits(0x7F7F_0000) as f64 };
    pub(crate) const TF32: Self = Self { precision: 11, min_exponent: -126, max: f32::from_bits(0x7F7F_E000) as f64 };

    /// The least positive number with a hidden bit.
    pub(crate) fn least_normal(self) -> f32 {
        power_of_two(self.min_exponent) as f32
    }

    /// The number of this format that `x` is rounded to.
    #[inline(always)]
    pub(crate) fn round(self, x: f64, rounding: Rounding) -> f64 {
        if x == 0.0 || !x.is_finite() {
            return x;
        }
        let exponent = ((x.to_bits() >> 52 & 0x7FF) as i32 - 1023).max(self.min_exponent);
        let unit = exponent - (self.precision - 1);
        // Both products are exact: the first is below 2^precision, and of the second it was just seen that it fits.
        let rounded = rounding.whole(x * power_of_two(-unit)) * power_of_two(unit);
        if rounded.abs() <= self.max {
            return rounded;
        }
        let to_infinity = match rounding {
            Rounding::Nearest | Rounding::NearestAway => true,
            Rounding::Zero => false,
            Rounding::Down => x < 0.0,
            Rounding::Up => x > 0.0,
        };
        if to_infinity { f64::INFINITY.copysign(x) } else { self.max.copysign(x) }
    }
}

/// `exponent` is between -1022 and 1023.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// `a + b` to odd.
#[inline(always)]
pub(crate) fn add_to_odd(a: f64, b: f64) -> f64 {
    let sum = a + b;
    to_odd(sum, rest_of_sum(a, b, sum))
}

/// What `sum`, the rounded `a + b`, lacks of the exact one. Knuth's TwoSum.
#[inline(always)]
fn rest_of_sum(a: f64, b: f64, sum: f64) -> f64 {
    let of_b = sum - a;
    let of_a = sum - of_b;
    (a - of_a) + (b - of_b)
}

/// `a * b + c` to odd, of numbers whose product float64 holds exactly.
#[inline(always)]
pub(crate) fn fma_to_odd(a: f64, b: f64, c: f64) -> f64 {
    add_to_odd(a * b, c)
}

/// `rounded` is the nearest to a number that is greater by `rest`.
#[inline(always)]
fn to_odd(rounded: f64, rest: f64) -> f64 {
    let bits = rounded.to_bits();
    // The exact number lies between `rounded` and an odd neighbour on the side of the rest.
    let is_nearer_zero = (rest < 0.0) == (rounded > 0.0);
    let neighbour = if is_nearer_zero { bits.wrapping_sub(1) } else { bits.wrapping_add(1) };
    let is_exact = rest == 0.0 || rest.is_nan() || rounded.abs() == f64::INFINITY;
    f64::from_bits(if is_exact || bits & 1 == 1 { bits } else { neighbour })
}

/// A float64 as float32, to odd.
#[inline(always)]
pub(crate) fn single_to_odd(x: f64) -> f32 {
    let rounded = x as f32;
    let bits = rounded.to_bits();
    let back = f64::from(rounded);
    let neighbour = if back.abs() > x.abs() { bits.wrapping_sub(1) } else { bits.wrapping_add(1) };
    f32::from_bits(if back == x || x.is_nan() || bits & 1 == 1 { bits } else { neighbour })
}

/// A float64 that was rounded to the nearest, rounded otherwise instead: `rest` is what it lacks of the exact number.
#[inline(always)]
fn step(rounded: f64, rest: f64, rounding: Rounding) -> f64 {
    let (is_above, is_below) = (rest < 0.0, rest > 0.0);
    match rounding {
        Rounding::Nearest | Rounding::NearestAway => rounded,
        Rounding::Down if is_above => rounded.next_down(),
        Rounding::Up if is_below => rounded.next_up(),
        Rounding::Zero if is_above && rounded > 0.0 => rounded.next_down(),
        Rounding::Zero if is_below && rounded < 0.0 => rounded.next_up(),
        Rounding::Down | Rounding::Up | Rounding::Zero => rounded,
    }
}

/// `a + b`, rounded.
#[inline(always)]
pub(crate) fn add_directed(a: f64, b: f64, rounding: Rounding) -> f64 {
    let sum = a + b;
    if !sum.is_finite() {
        return sum;
    }
    step(sum, rest_of_sum(a, b, sum), rounding)
}

/// A whole number as float64, to odd.
#[inline(always)]
pub(crate) fn from_integer(x: i128) -> f64 {
    let rounded = x as f64;
    let rest = x - rounded as i128;
    to_odd(rounded, rest as f64)
}

/// A whole number as float64, rounded.
#[inline(always)]
pub(crate) fn from_integer_directed(x: i128, rounding: Rounding) -> f64 {
    let rounded = x as f64;
    step(rounded, (x - rounded as i128) as f64, rounding)
}
