//! Conversions between types.

use super::compare::flush;
use super::decoder::each_lane;
use super::float::rounding;
use super::opcode::{Type, Whole, by_integer, by_width};
use super::{Action, Decoder};
use crate::machine::{Lane, Map2};
use crate::number::{Bf16, F16, Format, Rounding, Small, from_integer, from_integer_directed};
use crate::syntax::RegisterKind;

/// What stands beside the types.
#[derive(Clone, Copy, Debug)]
struct Modes {
    rounding: Rounding,
    /// `.rni` and others: to a whole number.
    whole: Option<Rounding>,
    flushes: bool,
    saturates: bool,
    rectifies: bool,
}

fn whole_rounding(part: &str) -> Option<Rounding> {
    match part {
        "rni" => Some(Rounding::Nearest),
        "rzi" => Some(Rounding::Zero),
        "rmi" => Some(Rounding::Down),
        "rpi" => Some(Rounding::Up),
        _ => None,
    }
}

impl Modes {
    /// What happens to a number between reading and writing it.
    #[inline(always)]
    fn apply(self, x: f64) -> f64 {
        let x = self.whole.map_or(x, |whole| whole.whole(x));
        if self.saturates {
            // A comparison with NaN does not hold.
            if x > 0.0 { x.min(1.0) } else { 0.0 }
        } else if self.rectifies && x <= 0.0 {
            0.0
        } else {
            x
        }
    }

    #[inline(always)]
    fn single(self, x: f64) -> f32 {
        let x = self.apply(x);
        let x = if self.rounding == Rounding::Nearest { x } else { Format::F32.round(x, self.rounding) };
        flush(x as f32, self.flushes)
    }

    #[inline(always)]
    fn small<S: Small>(self, x: f64) -> S {
        S::from_f64(self.apply(x), self.rounding)
    }
}

impl Decoder<'_, '_> {
    /// PTX ISA, "Data Movement and Conversion Instructions: cvt".
    pub(super) fn conversion(&mut self) -> Option<Action> {
        if self.opcode.take("pack") {
            return None;
        }
        let modes = Modes {
            whole: self.opcode.take_map(whole_rounding),
            rounding: self.opcode.take_map(rounding).unwrap_or(Rounding::Nearest),
            flushes: self.opcode.take("ftz"),
            saturates: self.opcode.take("sat"),
            rectifies: self.opcode.take("relu"),
        };
        let (to, from) = (self.opcode.take_type()?, self.opcode.take_type()?);
        match (to, from) {
            (Type::F16x2, Type::F32) => self.two::<F16>(modes),
            (Type::Bf16x2, Type::F32) => self.two::<Bf16>(modes),
            (Type::Tf32, Type::F32) => {
                self.map1(move |a: f32| Format::TF32.round(modes.apply(f64::from(a)), modes.rounding) as f32)
            }
            _ if to.is_integer() && from.is_integer() => self.integer_to_integer(to, from, modes.saturates),
            _ if to.is_integer() => self.float_to_integer(to, from, modes),
            _ if from.is_integer() => self.integer_to_float(to, from, modes),
            _ => self.float_to_float(to, from, modes),
        }
    }

    /// Bytes of the register that an operand is.
    fn width(&self, index: usize, ty: Type) -> usize {
        match self.kind(index) {
            Some(RegisterKind::Bits16) => 2,
            Some(RegisterKind::Bits32) => 4,
            Some(RegisterKind::Bits64) => 8,
            Some(RegisterKind::Predicate) | None => ty.bytes().max(2),
        }
    }

    fn integer_to_integer(&mut self, to: Type, from: Type, saturates: bool) -> Option<Action> {
        if !saturates && self.width(1, from) == from.bytes() && self.width(0, to) == to.bytes() {
            return by_integer!(from, A => by_width!(to, D => self.map1(|a: A| D::cut(a.wide()))));
        }
        let (extend, truncate) = (extension(from), extension(to));
        if !saturates {
            return self.map_whole(to, from, move |a| truncate(extend(a)));
        }
        self.map_whole(to, from, move |a| exact(extend(a), from).clamp(least(to), greatest(to)) as u64)
    }

    /// Between registers of any widths; `f` is given what is in the register and says what will be in the other.
    fn map_whole(&mut self, to: Type, from: Type, f: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Option<Action> {
        match (self.width(1, from), self.width(0, to)) {
            (2, 2) => self.map1(move |a: u16| u16::cut(f(a.wide()))),
            (2, 4) => self.map1(move |a: u16| u32::cut(f(a.wide()))),
            (2, _) => self.map1(move |a: u16| f(a.wide())),
            (4, 2) => self.map1(move |a: u32| u16::cut(f(a.wide()))),
            (4, 4) => self.map1(move |a: u32| u32::cut(f(a.wide()))),
            (4, _) => self.map1(move |a: u32| f(a.wide())),
            (_, 2) => self.map1(move |a| u16::cut(f(a))),
            (_, 4) => self.map1(move |a| u32::cut(f(a))),
            _ => self.map1(f),
        }
    }

    fn float_to_integer(&mut self, to: Type, from: Type, modes: Modes) -> Option<Action> {
        let whole = modes.whole?;
        match (from, to) {
            (Type::F32, Type::S32) if whole == Rounding::Zero => self.map1(|a: f32| a as i32),
            (Type::F32, _) => self.whole_of(to, whole, 0, move |a| f64::from(flush(a, modes.flushes))),
            // The ISA's value for a NaN.
            (Type::F64, _) => self.whole_of(to, whole, 1 << (to.bytes() * 8 - 1), |a: f64| a),
            (Type::F16, _) => self.whole_of(to, whole, 0, F16::to_f64),
            (Type::Bf16, _) => self.whole_of(to, whole, 0, Bf16::to_f64),
            _ => None,
        }
    }

    fn whole_of<A: Lane>(
        &mut self,
        to: Type,
        whole: Rounding,
        nan: u64,
        wide: impl Fn(A) -> f64 + Send + Sync + 'static,
    ) -> Option<Action> {
        let nan = if to.bytes() == 8 { 1 << 63 } else { nan };
        let convert = move |a: A| {
            let x = whole.whole(wide(a));
            match to {
                _ if x.is_nan() => nan,
                Type::U8 | Type::B8 => (x as u8).into(),
                Type::S8 => x as i8 as u64,
                Type::U16 | Type::B16 => (x as u16).into(),
                Type::S16 => x as i16 as u64,
                Type::U32 | Type::B32 => (x as u32).into(),
                Type::S32 => x as i32 as u64,
                Type::S64 => x as i64 as u64,
                _ => x as u64,
            }
        };
        match self.width(0, to) {
            2 => self.map1(move |a| u16::cut(convert(a))),
            4 => self.map1(move |a| u32::cut(convert(a))),
            _ => self.map1(convert),
        }
    }

    fn integer_to_float(&mut self, to: Type, from: Type, modes: Modes) -> Option<Action> {
        let is_nearest = modes.rounding == Rounding::Nearest && !modes.saturates;
        let has_own_register = self.width(1, from) == from.bytes();
        match to {
            Type::F32 if is_nearest && has_own_register => by_integer!(from, A => self.map1(|a: A| a as f32)),
            Type::F64 if is_nearest && has_own_register => by_integer!(from, A => self.map1(|a: A| a as f64)),
            _ => match self.width(1, from) {
                2 => self.whole_to_float::<u16>(to, from, modes),
                4 => self.whole_to_float::<u32>(to, from, modes),
                _ => self.whole_to_float::<u64>(to, from, modes),
            },
        }
    }

    fn whole_to_float<A: Whole>(&mut self, to: Type, from: Type, modes: Modes) -> Option<Action> {
        let extend = extension(from);
        let value = move |a: A| exact(extend(a.wide()), from);
        match to {
            Type::F32 => self.map1(move |a| modes.single(from_integer(value(a)))),
            Type::F64 => self.map1(move |a| modes.apply(from_integer_directed(value(a), modes.rounding))),
            Type::F16 => self.map1(move |a| modes.small::<F16>(from_integer(value(a)))),
            Type::Bf16 => self.map1(move |a| modes.small::<Bf16>(from_integer(value(a)))),
            _ => None,
        }
    }

    fn float_to_float(&mut self, to: Type, from: Type, modes: Modes) -> Option<Action> {
        let is_plain =
            modes.rounding == Rounding::Nearest && modes.whole.is_none() && !modes.saturates && !modes.rectifies;
        match (to, from) {
            (Type::F32, Type::F16) if is_plain => self.map1(F16::to_f32),
            (Type::F32, Type::Bf16) if is_plain => self.map1(Bf16::to_f32),
            (Type::F16, Type::F32) if is_plain && !modes.flushes => self.map1(F16::from_f32),
            (Type::Bf16, Type::F32) if is_plain => self.map1(Bf16::from_f32),
            (_, Type::F32) => self.float_to(to, modes, move |a| f64::from(flush(a, modes.flushes))),
            (_, Type::F64) => self.float_to(to, modes, |a: f64| a),
            (_, Type::F16) => self.float_to(to, modes, F16::to_f64),
            (_, Type::Bf16) => self.float_to(to, modes, Bf16::to_f64),
            _ => None,
        }
    }

    fn float_to<A: Lane>(
        &mut self,
        to: Type,
        modes: Modes,
        wide: impl Fn(A) -> f64 + Send + Sync + 'static,
    ) -> Option<Action> {
        match to {
            Type::F32 => self.map1(move |a| modes.single(wide(a))),
            Type::F64 => self.map1(move |a| modes.apply(wide(a))),
            Type::F16 => self.map1(move |a| modes.small::<F16>(wide(a))),
            Type::Bf16 => self.map1(move |a| modes.small::<Bf16>(wide(a))),
            _ => None,
        }
    }

    /// Two numbers into one register, the first into the upper half.
    fn two<S: Small>(&mut self, modes: Modes) -> Option<Action>
    where
        [S; 2]: Lane,
    {
        let (d, a, b) = (self.destination(0)?, self.source(1)?, self.source(2)?);
        if modes.rounding == Rounding::Nearest && !modes.rectifies && !modes.saturates {
            return each_lane(Map2 { d, a, b, f: |a: f32, b: f32| [S::from_f32(b), S::from_f32(a)] });
        }
        let small = move |x: f32| modes.small::<S>(f64::from(x));
        each_lane(Map2 { d, a, b, f: move |a: f32, b: f32| [small(b), small(a)] })
    }
}

/// The number that these bits, extended to 64, mean.
fn exact(bits: u64, ty: Type) -> i128 {
    if ty.is_signed() { i128::from(bits as i64) } else { i128::from(bits) }
}

/// Cuts a number to a type and widens it again, by its sign or with zeros.
fn extension(ty: Type) -> impl Fn(u64) -> u64 + Copy + Send + Sync + 'static {
    let unused = 64 - ty.bytes() as u32 * 8;
    let signed = ty.is_signed();
    move |x: u64| if signed { ((x << unused) as i64 >> unused) as u64 } else { x << unused >> unused }
}

fn least(ty: Type) -> i128 {
    if ty.is_signed() { -(1 << (ty.bytes() * 8 - 1)) } else { 0 }
}

fn greatest(ty: Type) -> i128 {
    let bits = ty.bytes() * 8 - usize::from(ty.is_signed());
    (1 << bits) - 1
}
