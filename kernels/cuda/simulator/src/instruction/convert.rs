//! Conversions between types.

use super::compare::flush;
use super::float::rounding;
use super::decoder::each_lane;
use super::opcode::{Type, by_integer};
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

/// Something for each type of registers that holds whole numbers: as wide as operand 1 is, or as a literal's type is.
macro_rules! by_source {
    ($decoder:expr, $type:expr, $A:ident => $body:expr) => {
        match $decoder.width(1, $type) {
            2 => {
                type $A = u16;
                $body
            }
            4 => {
                type $A = u32;
                $body
            }
            _ => {
                type $A = u64;
                $body
            }
        }
    };
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
            return match to.bytes() {
                2 => by_integer!(from, T => self.map1(|a: T| a as u16)),
                4 => by_integer!(from, T => self.map1(|a: T| a as u32)),
                _ => by_integer!(from, T => self.map1(|a: T| a as u64)),
            };
        }
        let extend = extension(from);
        let saturate = move |x: i128| if saturates { x.clamp(least(to), greatest(to)) } else { x };
        let truncate = extension(to);
        by_source!(self, from, A => {
            match (size_of::<A>() >= from.bytes(), saturates, self.width(0, to)) {
                (false, _, _) => None,
                (true, false, 2) => self.map1(move |a: A| truncate(extend(a as u64)) as u16),
                (true, false, 4) => self.map1(move |a: A| truncate(extend(a as u64)) as u32),
                (true, false, _) => self.map1(move |a: A| truncate(extend(a as u64))),
                (true, true, width) => {
                    let value = move |a: A| {
                        let x = extend(a as u64);
                        saturate(if from.is_signed() { i128::from(x as i64) } else { i128::from(x) })
                    };
                    match width {
                        2 => self.map1(move |a: A| value(a) as u16),
                        4 => self.map1(move |a: A| value(a) as u32),
                        _ => self.map1(move |a: A| value(a) as u64),
                    }
                }
            }
        })
    }

    fn float_to_integer(&mut self, to: Type, from: Type, modes: Modes) -> Option<Action> {
        let whole = modes.whole?;
        // The ISA's value for NaN.
        let nan = if from == Type::F64 || to.bytes() == 8 { 1_u64 << (to.bytes() * 8 - 1) } else { 0 };
        let convert = move |x: f64| -> u64 {
            let x = whole.whole(x);
            if x.is_nan() {
                return nan;
            }
            match to {
                Type::U8 | Type::B8 => x as u8 as u64,
                Type::S8 => x as i8 as u64,
                Type::U16 | Type::B16 => x as u16 as u64,
                Type::S16 => x as i16 as u64,
                Type::U32 | Type::B32 => x as u32 as u64,
                Type::S32 => x as i32 as u64,
                Type::S64 => x as i64 as u64,
                _ => x as u64,
            }
        };
        match (from, to, whole, self.width(0, to)) {
            (Type::F32, Type::S32, Rounding::Zero, _) => self.map1(|a: f32| a as i32),
            (Type::F32, Type::U32, Rounding::Zero, _) => self.map1(|a: f32| a as u32),
            (Type::F32, _, _, 2) => self.map1(move |a| convert(f64::from(flush(a, modes.flushes))) as u16),
            (Type::F32, _, _, 4) => self.map1(move |a| convert(f64::from(flush(a, modes.flushes))) as u32),
            (Type::F32, _, _, _) => self.map1(move |a| convert(f64::from(flush(a, modes.flushes)))),
            (Type::F64, _, _, 2) => self.map1(move |a| convert(a) as u16),
            (Type::F64, _, _, 4) => self.map1(move |a| convert(a) as u32),
            (Type::F64, _, _, _) => self.map1(convert),
            (Type::F16, _, _, 2) => self.map1(move |a: F16| convert(a.to_f64()) as u16),
            (Type::F16, _, _, 4) => self.map1(move |a: F16| convert(a.to_f64()) as u32),
            (Type::F16, _, _, _) => self.map1(move |a: F16| convert(a.to_f64())),
            (Type::Bf16, _, _, 2) => self.map1(move |a: Bf16| convert(a.to_f64()) as u16),
            (Type::Bf16, _, _, 4) => self.map1(move |a: Bf16| convert(a.to_f64()) as u32),
            (Type::Bf16, _, _, _) => self.map1(move |a: Bf16| convert(a.to_f64())),
            _ => None,
        }
    }

    fn integer_to_float(&mut self, to: Type, from: Type, modes: Modes) -> Option<Action> {
        let is_nearest = modes.rounding == Rounding::Nearest && !modes.saturates;
        let is_exact_register = self.width(1, from) == from.bytes();
        match to {
            Type::F32 if is_nearest && is_exact_register => by_integer!(from, T => self.map1(|a: T| a as f32)),
            Type::F64 if is_nearest && is_exact_register => by_integer!(from, T => self.map1(|a: T| a as f64)),
            _ => {
                let extend = extension(from);
                let signed = from.is_signed();
                by_source!(self, from, A => {
                    let value = move |a: A| {
                        let x = extend(a as u64);
                        if signed { i128::from(x as i64) } else { i128::from(x) }
                    };
                    match to {
                        Type::F32 => self.map1(move |a: A| modes.single_of(value(a))),
                        Type::F64 => self.map1(move |a: A| modes.apply(from_integer_directed(value(a), modes.rounding))),
                        Type::F16 => self.map1(move |a: A| modes.small::<F16>(from_integer(value(a)))),
                        Type::Bf16 => self.map1(move |a: A| modes.small::<Bf16>(from_integer(value(a)))),
                        _ => None,
                    }
                })
            }
        }
    }

    fn float_to_float(&mut self, to: Type, from: Type, modes: Modes) -> Option<Action> {
        let is_plain = modes.rounding == Rounding::Nearest && modes.whole.is_none() && !modes.saturates && !modes.rectifies;
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

impl Modes {
    fn single_of(self, x: i128) -> f32 {
        let x = Format::F32.round(self.apply(from_integer(x)), self.rounding);
        x as f32
    }
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
