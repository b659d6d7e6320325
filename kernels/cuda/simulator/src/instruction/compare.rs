//! Comparisons and choices.

use super::decoder::each_lane;
use super::opcode::{Type, by_integer, by_width};
use super::{Action, Decoder};
use crate::machine::{Choose, Combine, Lane, Map2};
use crate::number::{Bf16, F16, Small};

/// A comparison: for which orders it holds, and whether it does for numbers that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Relation {
    less: bool,
    equal: bool,
    greater: bool,
    unordered: bool,
}

impl Relation {
    fn named(name: &str) -> Option<Self> {
        let relation = |less, equal, greater, unordered| Some(Self { less, equal, greater, unordered });
        match name {
            "eq" => relation(false, true, false, false),
            "ne" => relation(true, false, true, false),
            "lt" | "lo" => relation(true, false, false, false),
            "le" | "ls" => relation(true, true, false, false),
            "gt" | "hi" => relation(false, false, true, false),
            "ge" | "hs" => relation(false, true, true, false),
            "equ" => relation(false, true, false, true),
            "neu" => relation(true, false, true, true),
            "ltu" => relation(true, false, false, true),
            "leu" => relation(true, true, false, true),
            "gtu" => relation(false, false, true, true),
            "geu" => relation(false, true, true, true),
            "num" => relation(true, true, true, false),
            "nan" => relation(false, false, false, true),
            _ => None,
        }
    }

    #[inline(always)]
    fn holds<T: PartialOrd>(self, a: T, b: T) -> bool {
        // Without branches, so that all lanes are compared at once.
        (a < b) & self.less
            | (a == b) & self.equal
            | (a > b) & self.greater
            | (a.partial_cmp(&b).is_none()) & self.unordered
    }
}

/// The least positive normal float32: what is nearer to zero is taken for zero where `.ftz` stands.
#[inline(always)]
pub(super) fn flush(x: f32, flushes: bool) -> f32 {
    if flushes && x.abs() < f32::MIN_POSITIVE { 0.0_f32.copysign(x) } else { x }
}

impl Decoder<'_, '_> {
    /// PTX ISA, "Comparison and Selection Instructions".
    pub(super) fn comparison(&mut self) -> Option<Action> {
        match self.opcode.name {
            "setp" => self.set_predicate(),
            "set" => self.set(),
            "selp" => {
                let ty = self.opcode.take_type()?;
                by_width!(ty, T => {
                    let (d, a, b) = (self.destination::<T>(0)?, self.source::<T>(1)?, self.source::<T>(2)?);
                    let p = self.condition(3)?;
                    each_lane(Choose { d, a, b, p, f: |a, b, p| if p { a } else { b } })
                })
            }
            "slct" => {
                let flushes = self.opcode.take("ftz");
                let (ty, by) = (self.opcode.take_type()?, self.opcode.take_type()?);
                by_width!(ty, T => match by {
                    Type::S32 => self.map3(|a: T, b: T, c: i32| if c >= 0 { a } else { b }),
                    Type::F32 => self.map3(move |a: T, b: T, c: f32| if flush(c, flushes) >= 0.0 { a } else { b }),
                    _ => None,
                })
            }
            "testp" => self.test(),
            _ => None,
        }
    }

    fn combination(&mut self) -> Option<Combine> {
        let of = |part: &str| ["and", "or", "xor"].iter().position(|name| *name == part);
        let Some(which) = self.opcode.take_map(of) else { return Some(Combine::Nothing) };
        let condition = self.condition(3)?;
        Some(match which {
            0 => Combine::And(condition),
            1 => Combine::Or(condition),
            _ => Combine::Xor(condition),
        })
    }

    fn set_predicate(&mut self) -> Option<Action> {
        let relation = self.opcode.take_map(Relation::named)?;
        let combine = self.combination()?;
        let flushes = self.opcode.take("ftz");
        let ty = self.opcode.take_type()?;
        match ty {
            Type::F32 if flushes => {
                self.compare(2, combine, move |a, b| relation.holds(flush(a, true), flush(b, true)))
            }
            Type::F32 => self.compare_by::<f32>(relation, combine),
            Type::F64 => self.compare_by::<f64>(relation, combine),
            Type::F16 => self.compare(2, combine, move |a: F16, b: F16| relation.holds(a.to_f32(), b.to_f32())),
            Type::Bf16 => self.compare(2, combine, move |a: Bf16, b: Bf16| relation.holds(a.to_f32(), b.to_f32())),
            _ => by_integer!(ty, T => self.compare_by::<T>(relation, combine)),
        }
    }

    /// The usual relations each with code of its own.
    fn compare_by<T: Lane + PartialOrd>(&mut self, relation: Relation, combine: Combine) -> Option<Action> {
        let is = |name: &str| Relation::named(name) == Some(relation);
        if is("eq") {
            self.compare(2, combine, |a: T, b: T| a == b)
        } else if is("lt") {
            self.compare(2, combine, |a: T, b: T| a < b)
        } else if is("le") {
            self.compare(2, combine, |a: T, b: T| a <= b)
        } else if is("gt") {
            self.compare(2, combine, |a: T, b: T| a > b)
        } else if is("ge") {
            self.compare(2, combine, |a: T, b: T| a >= b)
        } else {
            self.compare(2, combine, move |a: T, b: T| relation.holds(a, b))
        }
    }

    /// The result of a comparison as a number: all bits, or 1.0.
    fn set(&mut self) -> Option<Action> {
        let relation = self.opcode.take_map(Relation::named)?;
        // Combined comparisons are not among what nvcc writes here.
        let flushes = self.opcode.take("ftz");
        let (to, from) = (self.opcode.take_type()?, self.opcode.take_type()?);
        let holds = move |a: f32, b: f32| relation.holds(flush(a, flushes), flush(b, flushes));
        match from {
            Type::F32 => self.set_to(to, holds),
            Type::F64 => self.set_to(to, move |a: f64, b: f64| relation.holds(a, b)),
            Type::F16 => self.set_to(to, move |a: F16, b: F16| holds(a.to_f32(), b.to_f32())),
            Type::Bf16 => self.set_to(to, move |a: Bf16, b: Bf16| holds(a.to_f32(), b.to_f32())),
            Type::F16x2 => self.set_pair(to, F16(0x3C00), holds),
            Type::Bf16x2 => self.set_pair(to, Bf16(0x3F80), holds),
            _ => by_integer!(from, T => self.set_to(to, move |a: T, b: T| relation.holds(a, b))),
        }
    }

    fn set_to<A: Lane>(&mut self, to: Type, holds: impl Fn(A, A) -> bool + Send + Sync + 'static) -> Option<Action> {
        match to {
            Type::U32 | Type::S32 => self.map2(move |a, b| if holds(a, b) { u32::MAX } else { 0 }),
            Type::U16 | Type::S16 => self.map2(move |a, b| if holds(a, b) { u16::MAX } else { 0 }),
            Type::F32 => self.map2(move |a, b| if holds(a, b) { 1.0_f32 } else { 0.0 }),
            Type::F16 => self.map2(move |a, b| F16(if holds(a, b) { 0x3C00 } else { 0 })),
            Type::Bf16 => self.map2(move |a, b| Bf16(if holds(a, b) { 0x3F80 } else { 0 })),
            _ => None,
        }
    }

    fn set_pair<S: Small>(
        &mut self,
        to: Type,
        one: S,
        holds: impl Fn(f32, f32) -> bool + Send + Sync + 'static,
    ) -> Option<Action>
    where
        [S; 2]: Lane,
    {
        let yes = match to {
            Type::F16x2 | Type::Bf16x2 => u32::from(one.bits()),
            Type::U32 | Type::S32 => 0xFFFF,
            _ => return None,
        };
        let (d, a, b) = (self.destination(0)?, self.source(1)?, self.source(2)?);
        let f = move |a: [S; 2], b: [S; 2]| {
            let half = |index: usize| if holds(a[index].to_f32(), b[index].to_f32()) { yes } else { 0 };
            half(1) << 16 | half(0)
        };
        each_lane(Map2 { d, a, b, f })
    }

    fn test(&mut self) -> Option<Action> {
        let tests = ["finite", "infinite", "number", "notanumber", "normal", "subnormal"];
        let which = self.opcode.take_map(|part| tests.iter().position(|test| *test == part))?;
        macro_rules! test {
            ($T:ty) => {
                self.compare(1, Combine::Nothing, move |a: $T, _: $T| match which {
                    0 => a.is_finite(),
                    1 => a.is_infinite(),
                    2 => !a.is_nan(),
                    3 => a.is_nan(),
                    4 => a.is_normal(),
                    _ => a.is_subnormal(),
                })
            };
        }
        match self.opcode.take_type()? {
            Type::F32 => test!(f32),
            Type::F64 => test!(f64),
            _ => None,
        }
    }
}
