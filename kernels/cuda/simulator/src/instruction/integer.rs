//! Whole-number arithmetic.

use super::decoder::each_lane;
use super::opcode::{Type, by_integer, by_width};
use super::{Action, Decoder};
use crate::machine::{Lane, Mask, Predicate, Registers, Slot, WARP, Work};

/// Twice as wide.
macro_rules! by_halves {
    ($type:expr, $T:ident, $W:ident => $body:expr) => {
        match $type {
            Type::U16 => {
                type $T = u16;
                type $W = u32;
                $body
            }
            Type::S16 => {
                type $T = i16;
                type $W = i32;
                $body
            }
            Type::U32 => {
                type $T = u32;
                type $W = u64;
                $body
            }
            Type::S32 => {
                type $T = i32;
                type $W = i64;
                $body
            }
            _ => None,
        }
    };
}

/// The upper half of a product.
trait HighProduct: Lane {
    fn high_product(self, other: Self) -> Self;
}

macro_rules! high_product {
    ($($T:ty, $W:ty);*) => {
        $(
            impl HighProduct for $T {
                #[inline(always)]
                fn high_product(self, other: Self) -> Self {
                    ((self as $W * other as $W) >> <$T>::BITS) as Self
                }
            }
        )*
    };
}

high_product!(u16, u32; i16, i32; u32, u64; i32, i64; u64, u128; i64, i128);

impl Decoder<'_, '_> {
    /// PTX ISA, "Integer Arithmetic Instructions" and "Extended-Precision Integer Arithmetic Instructions".
    pub(super) fn integer_arithmetic(&mut self, ty: Type) -> Option<Action> {
        let name = self.opcode.name;
        let sets_carry = self.opcode.take("cc");
        if sets_carry || matches!(name, "addc" | "subc" | "madc") {
            return self.with_carry(ty, sets_carry);
        }
        if self.opcode.take("sat") {
            return match (name, ty) {
                ("add", Type::S32) => self.map2(i32::saturating_add),
                ("sub", Type::S32) => self.map2(i32::saturating_sub),
                _ => None,
            };
        }
        match name {
            "add" => by_width!(ty, T => self.map2(T::wrapping_add)),
            "sub" => by_width!(ty, T => self.map2(T::wrapping_sub)),
            "mul" if self.opcode.take("wide") => {
                by_halves!(ty, T, W => self.map2(|a: T, b: T| W::from(a).wrapping_mul(W::from(b))))
            }
            "mul" if self.opcode.take("hi") => by_integer!(ty, T => self.map2(T::high_product)),
            "mul" if self.opcode.take("lo") => by_width!(ty, T => self.map2(T::wrapping_mul)),
            "mad" if self.opcode.take("wide") => by_halves!(ty, T, W => self.map3(|a: T, b: T, c: W| {
                W::from(a).wrapping_mul(W::from(b)).wrapping_add(c)
            })),
            "mad" if self.opcode.take("hi") => {
                by_integer!(ty, T => self.map3(|a: T, b: T, c: T| a.high_product(b).wrapping_add(c)))
            }
            "mad" if self.opcode.take("lo") => {
                by_width!(ty, T => self.map3(|a: T, b: T, c: T| a.wrapping_mul(b).wrapping_add(c)))
            }
            // What a division by zero gives is not specified.
            "div" => by_integer!(ty, T => self.map2(|a: T, b: T| if b == 0 { !0 } else { a.wrapping_div(b) })),
            "rem" => by_integer!(ty, T => self.map2(|a: T, b: T| if b == 0 { a } else { a.wrapping_rem(b) })),
            "min" => by_integer!(ty, T => self.map2(|a: T, b: T| a.min(b))),
            "max" => by_integer!(ty, T => self.map2(|a: T, b: T| a.max(b))),
            "sad" => by_integer!(ty, T => self.map3(|a: T, b: T, c: T| c.wrapping_add(a.abs_diff(b) as T))),
            "abs" => match ty {
                Type::S16 => self.map1(i16::wrapping_abs),
                Type::S32 => self.map1(i32::wrapping_abs),
                Type::S64 => self.map1(i64::wrapping_abs),
                _ => None,
            },
            "neg" => by_width!(ty, T => self.map1(T::wrapping_neg)),
            _ => None,
        }
    }

    /// Without `.cc` the flag stays as it is.
    fn with_carry(&mut self, ty: Type, sets: bool) -> Option<Action> {
        match (self.opcode.name, ty) {
            ("mad" | "madc", Type::U32) => self.multiply_with_carry::<u32>(sets, |a, b| a.high_product(b)),
            ("mad" | "madc", Type::S32) => {
                self.multiply_with_carry::<u32>(sets, |a, b| (a as i32).high_product(b as i32) as u32)
            }
            ("mad" | "madc", Type::U64) => self.multiply_with_carry::<u64>(sets, |a, b| a.high_product(b)),
            ("mad" | "madc", _) => None,
            (_, Type::U32 | Type::S32 | Type::B32) => self.add_with_carry::<u32>(sets),
            (_, Type::U64 | Type::S64 | Type::B64) => self.add_with_carry::<u64>(sets),
            _ => None,
        }
    }

    fn add_with_carry<T: Extended>(&mut self, sets: bool) -> Option<Action> {
        match self.opcode.name {
            "add" => self.carrying(sets, |a: T, b, _, _| a.add_carry(b, false)),
            "addc" => self.carrying(sets, |a: T, b, _, carry| a.add_carry(b, carry)),
            "sub" => self.carrying(sets, |a: T, b, _, _| a.sub_borrow(b, false)),
            "subc" => self.carrying(sets, |a: T, b, _, borrow| a.sub_borrow(b, borrow)),
            _ => None,
        }
    }

    fn multiply_with_carry<T: Extended>(&mut self, sets: bool, high: fn(T, T) -> T) -> Option<Action> {
        let reads = self.opcode.name == "madc";
        if self.opcode.take("hi") {
            self.carrying(sets, move |a, b, c, carry| high(a, b).add_carry(c, carry && reads))
        } else if self.opcode.take("lo") {
            self.carrying(sets, move |a: T, b, c, carry| a.low_product(b).add_carry(c, carry && reads))
        } else {
            None
        }
    }

    fn carrying<T: Lane, F>(&mut self, sets: bool, f: F) -> Option<Action>
    where
        F: Fn(T, T, T, bool) -> (T, bool) + Send + Sync + 'static,
    {
        let (d, a, b) = (self.destination(0)?, self.source(1)?, self.source(2)?);
        let c = if self.has_arguments(4) { self.source(3)? } else { b };
        each_lane(Carrying { d, a, b, c, sets, f })
    }
}

/// Numbers that are parts of longer ones.
trait Extended: HighProduct {
    fn low_product(self, other: Self) -> Self;
    fn add_carry(self, other: Self, carry: bool) -> (Self, bool);
    fn sub_borrow(self, other: Self, borrow: bool) -> (Self, bool);
}

macro_rules! extended {
    ($($T:ty),*) => {
        $(
            impl Extended for $T {
                #[inline(always)]
                fn low_product(self, other: Self) -> Self {
                    self.wrapping_mul(other)
                }

                #[inline(always)]
                fn add_carry(self, other: Self, carry: bool) -> (Self, bool) {
                    let (sum, first) = self.overflowing_add(other);
                    let (sum, second) = sum.overflowing_add(Self::from(carry));
                    (sum, first | second)
                }

                #[inline(always)]
                fn sub_borrow(self, other: Self, borrow: bool) -> (Self, bool) {
                    let (rest, first) = self.overflowing_sub(other);
                    let (rest, second) = rest.overflowing_sub(Self::from(borrow));
                    (rest, first | second)
                }
            }
        )*
    };
}

extended!(u32, u64);

/// `d = f(a, b, c, carry)`
struct Carrying<T, F> {
    d: Slot<T>,
    a: Slot<T>,
    b: Slot<T>,
    c: Slot<T>,
    /// Whether the flag is written.
    sets: bool,
    f: F,
}

impl<T: Lane, F: Fn(T, T, T, bool) -> (T, bool) + Send + Sync + 'static> Work for Carrying<T, F> {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let mut d = [T::ZERO; WARP];
        let (a, b, c) = (registers.get(self.a), registers.get(self.b), registers.get(self.c));
        let carry = registers.predicate(Predicate::CARRY);
        let mut carried = 0;
        for lane in 0..WARP {
            let (value, bit) = (self.f)(a[lane], b[lane], c[lane], carry >> lane & 1 == 1);
            d[lane] = value;
            carried |= Mask::from(bit) << lane;
        }
        registers.set(self.d, mask, &d);
        if self.sets {
            registers.set_predicate(Predicate::CARRY, mask, carried);
        }
    }
}
