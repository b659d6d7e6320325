//! The twin that runs everywhere.

use half::{bf16, f16};

use super::{LANES, Simd};

/// Plain Rust on arrays; the compiler may vectorise it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

/// `a * b + c`, rounded once.
///
/// Where the compiler may use the processor's instruction, that is it. Elsewhere `f32::mul_add` is a slow routine; this takes
/// a few float64 operations: the product is exact in float64, the sum is rounded to odd, and rounding that to float32 is as if
/// the exact sum had been rounded (Boldo and Melquiond 2008: 53 bits are more than 24 + 1).
#[inline(always)]
fn fused_multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        return a.mul_add(b, c);
    }
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    // The exact error of the sum (Knuth's TwoSum). It is NaN where the sum is not finite.
    let from_c = sum - product;
    let error = (product - (sum - from_c)) + (c - from_c);
    let bits = sum.to_bits();
    let odd = bits & 1 == 1;
    // One step towards the exact value when it lies away from zero, one step back otherwise.
    let away = (error > 0.0) == (sum > 0.0);
    let neighbour = if away { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    let inexact = error.abs() > 0.0;
    f64::from_bits(if inexact && !odd { neighbour } else { bits }) as f32
}

// SAFETY: no method needs an instruction set, and memory is touched through the given pointers alone.
unsafe impl Simd for Portable {
    type V = [f32; LANES];
    const TILE_ROWS: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; LANES]
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        // SAFETY: the caller promises sixteen readable lanes; arrays of f32 are read without alignment.
        unsafe { p.cast::<[f32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        // SAFETY: the caller promises sixteen writable lanes.
        unsafe { p.cast::<[f32; LANES]>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn load_f16(p: *const f16) -> Self::V {
        // SAFETY: the caller promises sixteen readable numbers.
        unsafe { p.cast::<[f16; LANES]>().read_unaligned() }.map(f16::to_f32)
    }

    #[inline(always)]
    unsafe fn load_bf16(p: *const bf16) -> Self::V {
        // SAFETY: the caller promises sixteen readable numbers.
        unsafe { p.cast::<[bf16; LANES]>().read_unaligned() }.map(bf16::to_f32)
    }

    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| fused_multiply_add(a[i], b[i], c[i]))
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x + y)
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x - y)
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x * y)
    }

    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x / y)
    }

    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| if x > y { x } else { y })
    }

    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| if x < y { x } else { y })
    }

    #[inline(always)]
    unsafe fn select_greater(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] > b[i] { x[i] } else { y[i] })
    }

    #[inline(always)]
    unsafe fn round(a: Self::V) -> Self::V {
        a.map(f32::round_ties_even)
    }

    #[inline(always)]
    unsafe fn scale_exp2(a: Self::V, n: Self::V) -> Self::V {
        zip(a, n, |a, n| a * f32::from_bits((((n as i32) + 127) << 23) as u32))
    }

    #[inline(always)]
    unsafe fn to_array(a: Self::V) -> [f32; LANES] {
        a
    }
}

#[cfg(test)]
mod tests {
    use super::fused_multiply_add;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200_000))]

        #[test]
        fn rounds_once(a in any::<f32>(), b in any::<f32>(), c in any::<f32>()) {
            prop_assert_eq!(fused_multiply_add(a, b, c).to_bits(), a.mul_add(b, c).to_bits());
        }

        /// Products and summands of like size, where rounding twice would show.
        #[test]
        fn rounds_once_near_ties(a in 1u32..1 << 24, b in 1u32..1 << 24, c in 0u32..1 << 24, shift in 0i32..50, minus: bool) {
            let (a, b) = (a as f32, b as f32);
            let c = c as f32 * 2f32.powi(shift) * if minus { -1.0 } else { 1.0 };
            prop_assert_eq!(fused_multiply_add(a, b, c).to_bits(), a.mul_add(b, c).to_bits());
        }
    }
}
