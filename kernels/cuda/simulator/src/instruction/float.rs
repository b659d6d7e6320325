//! Floating-point arithmetic.

use super::compare::flush;
use super::opcode::Type;
use super::{Action, Decoder};
use crate::machine::Lane;
use crate::number::{Bf16, F16, Format, Rounding, Small, add_directed, add_to_odd, fma_to_odd};

/// `.rn`, `.rz`, `.rm`, `.rp`
pub(super) fn rounding(part: &str) -> Option<Rounding> {
    match part {
        "rn" => Some(Rounding::Nearest),
        "rna" => Some(Rounding::NearestAway),
        "rz" => Some(Rounding::Zero),
        "rm" => Some(Rounding::Down),
        "rp" => Some(Rounding::Up),
        _ => None,
    }
}

/// What stands beside the operation.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Modes {
    rounding: Rounding,
    /// `.ftz`: numbers without hidden bit are zeros.
    flushes: bool,
    /// `.sat`: the result is between 0 and 1, and 0 instead of NaN.
    saturates: bool,
    /// `.relu`: the result is not below 0.
    rectifies: bool,
}

impl Modes {
    fn is_plain(self) -> bool {
        self == Self { rounding: Rounding::Nearest, flushes: false, saturates: false, rectifies: false }
    }

    #[inline(always)]
    fn read(self, x: f32) -> f32 {
        flush(x, self.flushes)
    }

    #[inline(always)]
    fn write(self, x: f32) -> f32 {
        let x = flush(x, self.flushes);
        if self.saturates {
            // A comparison with NaN does not hold.
            if x > 0.0 { x.min(1.0) } else { 0.0 }
        } else {
            x
        }
    }

    #[inline(always)]
    fn write_f64(self, x: f64) -> f64 {
        if self.saturates { if x > 0.0 { x.min(1.0) } else { 0.0 } } else { x }
    }

    fn write_small<S: Small>(self, x: S) -> S {
        let value = x.to_f32();
        if self.saturates {
            S::from_f32(if value > 0.0 { value.min(1.0) } else { 0.0 })
        } else if self.rectifies {
            if value.is_nan() {
                S::NAN
            } else if value > 0.0 {
                x
            } else {
                S::ZERO
            }
        } else if self.flushes && value.abs() < S::FORMAT.least_normal() {
            S::from_bits(x.bits() & 0x8000)
        } else {
            x
        }
    }

    fn fma<S: Small>(self, a: S, b: S, c: S) -> S {
        self.write_small(self.read_small(a).fma(self.read_small(b), self.read_small(c)))
    }

    fn read_small<S: Small>(self, x: S) -> S {
        Self { saturates: false, rectifies: false, ..self }.write_small(x)
    }
}

/// PTX ISA: a zero below zero is less than a zero; of a number and a NaN the number is given.
macro_rules! least {
    ($a:expr, $b:expr) => {{
        let (a, b) = ($a, $b);
        if a < b || b.is_nan() || (a == b && a.is_sign_negative()) { a } else { b }
    }};
}

macro_rules! greatest {
    ($a:expr, $b:expr) => {{
        let (a, b) = ($a, $b);
        if a > b || b.is_nan() || (a == b && a.is_sign_positive()) { a } else { b }
    }};
}

impl Decoder<'_, '_> {
    /// `add` and others of any type.
    pub(super) fn arithmetic(&mut self) -> Option<Action> {
        let ty = self.opcode.take_type()?;
        if ty.is_integer() {
            return self.integer_arithmetic(ty);
        }
        let rounding = self.opcode.take_map(rounding).unwrap_or(Rounding::Nearest);
        let modes = Modes {
            rounding,
            flushes: self.opcode.take("ftz"),
            saturates: self.opcode.take("sat"),
            rectifies: self.opcode.take("relu"),
        };
        let approximate = self.opcode.take("approx") || self.opcode.take("full");
        let propagates = self.opcode.take("NaN");
        if approximate && self.opcode.name != "div" || modes.rectifies && !matches!(self.opcode.name, "fma") {
            return None;
        }
        match ty {
            Type::F32 if modes.is_plain() => self.single(propagates),
            Type::F32 if modes.rounding == Rounding::Nearest => self.single_with(modes, propagates),
            Type::F32 => self.single_directed(modes),
            Type::F64 => self.double(modes, propagates),
            Type::F16 => self.small::<F16>(modes, propagates, false),
            Type::Bf16 => self.small::<Bf16>(modes, propagates, false),
            Type::F16x2 => self.small::<F16>(modes, propagates, true),
            Type::Bf16x2 => self.small::<Bf16>(modes, propagates, true),
            _ => None,
        }
    }

    fn single(&mut self, propagates: bool) -> Option<Action> {
        match self.opcode.name {
            "add" => self.map2(|a: f32, b: f32| a + b),
            "sub" => self.map2(|a: f32, b: f32| a - b),
            "mul" => self.map2(|a: f32, b: f32| a * b),
            "fma" | "mad" => self.map3(f32::mul_add),
            "div" => self.map2(|a: f32, b: f32| a / b),
            "abs" => self.map1(f32::abs),
            "neg" => self.map1(|a: f32| -a),
            "min" if propagates => self.map2(|a: f32, b: f32| {
                if a.is_nan() {
                    a
                } else if b.is_nan() {
                    b
                } else {
                    least!(a, b)
                }
            }),
            "max" if propagates => self.map2(|a: f32, b: f32| {
                if a.is_nan() {
                    a
                } else if b.is_nan() {
                    b
                } else {
                    greatest!(a, b)
                }
            }),
            "min" => self.map2(|a: f32, b: f32| least!(a, b)),
            "max" => self.map2(|a: f32, b: f32| greatest!(a, b)),
            _ => None,
        }
    }

    fn single_with(&mut self, modes: Modes, propagates: bool) -> Option<Action> {
        let m = modes;
        match self.opcode.name {
            "add" => self.map2(move |a, b| m.write(m.read(a) + m.read(b))),
            "sub" => self.map2(move |a, b| m.write(m.read(a) - m.read(b))),
            "mul" => self.map2(move |a, b| m.write(m.read(a) * m.read(b))),
            "fma" | "mad" => self.map3(move |a, b, c| m.write(m.read(a).mul_add(m.read(b), m.read(c)))),
            "div" => self.map2(move |a, b| m.write(m.read(a) / m.read(b))),
            "abs" => self.map1(move |a: f32| m.write(a.abs())),
            "neg" => self.map1(move |a: f32| m.write(-a)),
            "min" if !propagates => self.map2(move |a, b| m.write(least!(m.read(a), m.read(b)))),
            "max" if !propagates => self.map2(move |a, b| m.write(greatest!(m.read(a), m.read(b)))),
            _ => None,
        }
    }

    fn single_directed(&mut self, modes: Modes) -> Option<Action> {
        let m = modes;
        let round = move |x: f64| m.write(Format::F32.round(x, m.rounding) as f32);
        let wide = move |x: f32| f64::from(m.read(x));
        match self.opcode.name {
            "add" => self.map2(move |a, b| round(add_to_odd(wide(a), wide(b)))),
            "sub" => self.map2(move |a, b| round(add_to_odd(wide(a), -wide(b)))),
            "mul" => self.map2(move |a, b| round(wide(a) * wide(b))),
            "fma" | "mad" => self.map3(move |a, b, c| round(fma_to_odd(wide(a), wide(b), wide(c)))),
            _ => None,
        }
    }

    fn double(&mut self, modes: Modes, propagates: bool) -> Option<Action> {
        let m = modes;
        match (self.opcode.name, m.rounding) {
            ("add", Rounding::Nearest) => self.map2(move |a: f64, b: f64| m.write_f64(a + b)),
            ("sub", Rounding::Nearest) => self.map2(move |a: f64, b: f64| m.write_f64(a - b)),
            ("mul", Rounding::Nearest) => self.map2(move |a: f64, b: f64| m.write_f64(a * b)),
            ("fma" | "mad", Rounding::Nearest) => self.map3(f64::mul_add),
            ("div", Rounding::Nearest) => self.map2(|a: f64, b: f64| a / b),
            ("add", _) => self.map2(move |a: f64, b: f64| add_directed(a, b, m.rounding)),
            ("sub", _) => self.map2(move |a: f64, b: f64| add_directed(a, -b, m.rounding)),
            ("abs", _) => self.map1(f64::abs),
            ("neg", _) => self.map1(|a: f64| -a),
            ("min", _) if !propagates => self.map2(|a: f64, b: f64| least!(a, b)),
            ("max", _) if !propagates => self.map2(|a: f64, b: f64| greatest!(a, b)),
            _ => None,
        }
    }

    /// float16 or bfloat16, one or two in a register.
    fn small<S: Small>(&mut self, modes: Modes, propagates: bool, is_pair: bool) -> Option<Action>
    where
        [S; 2]: Lane,
    {
        if modes.rounding != Rounding::Nearest {
            return None;
        }
        match (self.opcode.name, propagates) {
            ("add", false) => self.small2(modes, is_pair, S::add),
            ("sub", false) => self.small2(modes, is_pair, S::sub),
            ("mul", false) => self.small2(modes, is_pair, S::mul),
            ("min", _) => self.small2(modes, is_pair, move |a: S, b: S| {
                let either = a.is_nan() || b.is_nan();
                if propagates && either { S::NAN } else { S::from_f32(least!(a.to_f32(), b.to_f32())) }
            }),
            ("max", _) => self.small2(modes, is_pair, move |a: S, b: S| {
                let either = a.is_nan() || b.is_nan();
                if propagates && either { S::NAN } else { S::from_f32(greatest!(a.to_f32(), b.to_f32())) }
            }),
            ("abs", false) => self.small1(modes, is_pair, S::abs),
            ("neg", false) => self.small1(modes, is_pair, S::neg),
            ("fma", false) => match (is_pair, modes.is_plain()) {
                (false, true) => self.map3(S::fma),
                (true, true) => self.map3(|a: [S; 2], b: [S; 2], c: [S; 2]| [0, 1].map(|i| a[i].fma(b[i], c[i]))),
                (false, false) => self.map3(move |a: S, b: S, c: S| modes.fma(a, b, c)),
                (true, false) => {
                    self.map3(move |a: [S; 2], b: [S; 2], c: [S; 2]| [0, 1].map(|i| modes.fma(a[i], b[i], c[i])))
                }
            },
            _ => None,
        }
    }

    fn small1<S: Small>(
        &mut self,
        modes: Modes,
        is_pair: bool,
        f: impl Fn(S) -> S + Send + Sync + 'static,
    ) -> Option<Action>
    where
        [S; 2]: Lane,
    {
        let f = move |a: S| if modes.flushes { modes.read_small(f(a)) } else { f(a) };
        if is_pair { self.map1(move |a: [S; 2]| [f(a[0]), f(a[1])]) } else { self.map1(f) }
    }

    fn small2<S: Small>(
        &mut self,
        modes: Modes,
        is_pair: bool,
        f: impl Fn(S, S) -> S + Send + Sync + 'static,
    ) -> Option<Action>
    where
        [S; 2]: Lane,
    {
        let with_modes =
            move |f: &dyn Fn(S, S) -> S, a: S, b: S| modes.write_small(f(modes.read_small(a), modes.read_small(b)));
        match (is_pair, modes.is_plain()) {
            (false, true) => self.map2(f),
            (true, true) => self.map2(move |a: [S; 2], b: [S; 2]| [f(a[0], b[0]), f(a[1], b[1])]),
            (false, false) => self.map2(move |a: S, b: S| with_modes(&f, a, b)),
            (true, false) => self.map2(move |a: [S; 2], b: [S; 2]| [0, 1].map(|i| with_modes(&f, a[i], b[i]))),
        }
    }
}
