//! Roots, reciprocals, powers and other functions.

use super::compare::flush;
use super::float::rounding;
use super::opcode::Type;
use super::{Action, Decoder};
use crate::number::{Bf16, F16, Rounding, Small};

impl Decoder<'_, '_> {
    /// `rcp`, `sqrt` and others. Where the ISA only bounds the error (`.approx`), the result here is the function computed in float64
    /// and rounded.
    pub(super) fn function(&mut self) -> Option<Action> {
        let approximate = self.opcode.take("approx");
        let flushes = self.opcode.take("ftz");
        let rounding = self.opcode.take_map(rounding);
        let ty = self.opcode.take_type()?;
        if !matches!(rounding, None | Some(Rounding::Nearest)) {
            return None;
        }
        match (self.opcode.name, ty) {
            ("copysign", Type::F32) => self.map2(|a: f32, b: f32| b.copysign(a)),
            ("copysign", Type::F64) => self.map2(|a: f64, b: f64| b.copysign(a)),
            ("rcp", Type::F32) => self.single_function(flushes, |x| 1.0 / x),
            ("sqrt", Type::F32) => self.single_function(flushes, f32::sqrt),
            ("rsqrt", Type::F32) => self.double_function(flushes, |x| 1.0 / x.sqrt()),
            ("sin", Type::F32) => self.double_function(flushes, f64::sin),
            ("cos", Type::F32) => self.double_function(flushes, f64::cos),
            ("ex2", Type::F32) => self.double_function(flushes, exp2),
            ("lg2", Type::F32) => self.double_function(flushes, f64::log2),
            ("tanh", Type::F32) => self.double_function(flushes, f64::tanh),
            ("rcp", Type::F64) if !approximate => self.map1(|a: f64| 1.0 / a),
            ("sqrt", Type::F64) => self.map1(f64::sqrt),
            // Only the upper half of the operand is read, and the lower half of the result is 0.
            ("rcp", Type::F64) => self.map1(|a| upper(1.0 / upper(a))),
            ("rsqrt", Type::F64) => self.map1(|a| upper(1.0 / upper(a).sqrt())),
            ("ex2", Type::F16) => self.map1(|a: F16| small(a, exp2)),
            ("ex2", Type::Bf16) => self.map1(|a: Bf16| small(a, exp2)),
            ("ex2", Type::F16x2) => self.map1(|a: [F16; 2]| a.map(|a| small(a, exp2))),
            ("ex2", Type::Bf16x2) => self.map1(|a: [Bf16; 2]| a.map(|a| small(a, exp2))),
            ("tanh", Type::F16) => self.map1(|a: F16| small(a, f64::tanh)),
            ("tanh", Type::Bf16) => self.map1(|a: Bf16| small(a, f64::tanh)),
            ("tanh", Type::F16x2) => self.map1(|a: [F16; 2]| a.map(|a| small(a, f64::tanh))),
            ("tanh", Type::Bf16x2) => self.map1(|a: [Bf16; 2]| a.map(|a| small(a, f64::tanh))),
            _ => None,
        }
    }

    fn single_function(&mut self, flushes: bool, f: impl Fn(f32) -> f32 + Send + Sync + 'static) -> Option<Action> {
        if flushes { self.map1(move |a| flush(f(flush(a, true)), true)) } else { self.map1(f) }
    }

    fn double_function(&mut self, flushes: bool, f: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Option<Action> {
        self.map1(move |a| flush(f(f64::from(flush(a, flushes))) as f32, flushes))
    }
}

fn small<S: Small>(a: S, f: fn(f64) -> f64) -> S {
    S::nearest(f(a.to_f64()))
}

fn upper(x: f64) -> f64 {
    f64::from_bits(x.to_bits() & !0xFFFF_FFFF)
}

/// `2^x` for what float32 holds, to about 2^-50. It is called so often that it is worth a polynomial which lanes compute together.
#[inline(always)]
fn exp2(x: f64) -> f64 {
    // ln(2)^k / k!
    const COEFFICIENTS: [f64; 13] = coefficients();
    // What is beyond is infinite or zero in float32 anyway. The sum with 1.5 * 2^52 rounds to a whole number.
    let bounded = x.clamp(-1000.0, 1000.0);
    let shifted = bounded + 6_755_399_441_055_744.0;
    let whole = shifted - 6_755_399_441_055_744.0;
    let fraction = bounded - whole;
    let mut power = COEFFICIENTS[12];
    for coefficient in COEFFICIENTS[..12].iter().rev() {
        power = power * fraction + coefficient;
    }
    // The exponent is in the lowest bits of the shifted number.
    let scale = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    power * scale
}

const fn coefficients() -> [f64; 13] {
    let mut coefficients = [1.0; 13];
    let mut k = 1;
    while k < 13 {
        coefficients[k] = coefficients[k - 1] * std::f64::consts::LN_2 / k as f64;
        k += 1;
    }
    coefficients
}
