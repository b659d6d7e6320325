//! Instructions on bits.

use super::decoder::{each_lane, task};
use super::opcode::{Type, by_width};
use super::{Action, Decoder};
use crate::assemble::Arg;
use crate::machine::{Combine, Condition, Map3, Mask, Predicate, Registers, Work};
use crate::syntax::Number;

impl Decoder<'_, '_> {
    /// PTX ISA, "Logic and Shift Instructions", and those of "Integer Arithmetic Instructions" that work on bits.
    pub(super) fn bits(&mut self) -> Option<Action> {
        if matches!(self.opcode.name, "dp4a" | "dp2a") {
            return self.dot_product();
        }
        let wraps = self.opcode.take("wrap");
        let left = self.opcode.take("l");
        let right = self.opcode.take("r");
        let clamps = self.opcode.take("clamp");
        let shift_amount = self.opcode.take("shiftamt");
        let modes = ["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"];
        let mode = self.opcode.take_map(|part| modes.iter().position(|mode| *mode == part));
        let ty = self.opcode.take_type()?;
        if ty == Type::Predicate {
            return self.predicate_logic();
        }
        match self.opcode.name {
            "and" => by_width!(ty, T => self.map2(|a: T, b: T| a & b)),
            "or" => by_width!(ty, T => self.map2(|a: T, b: T| a | b)),
            "xor" => by_width!(ty, T => self.map2(|a: T, b: T| a ^ b)),
            "not" => by_width!(ty, T => self.map1(|a: T| !a)),
            "cnot" => by_width!(ty, T => self.map1(|a: T| T::from(a == 0))),
            // Shifts by more than the width are shifts by the width.
            "shl" => by_width!(ty, T => self.map2(|a: T, b: u32| if b < T::BITS { a << (b % T::BITS) } else { 0 })),
            "shr" if ty.is_signed() => match ty {
                Type::S16 => self.map2(|a: i16, b: u32| a >> b.min(15)),
                Type::S32 => self.map2(|a: i32, b: u32| a >> b.min(31)),
                Type::S64 => self.map2(|a: i64, b: u32| a >> b.min(63)),
                _ => None,
            },
            "shr" => by_width!(ty, T => self.map2(|a: T, b: u32| if b < T::BITS { a >> (b % T::BITS) } else { 0 })),
            "shf" if ty == Type::B32 && left != right && wraps != clamps => self.map3(move |a: u32, b: u32, c: u32| {
                let c = if wraps { c & 31 } else { c.min(32) };
                let both = u64::from(b) << 32 | u64::from(a);
                if left { (both << c >> 32) as u32 } else { (both >> c) as u32 }
            }),
            "lop3" if ty == Type::B32 => self.lop3(),
            "bfe" => match ty {
                Type::U32 => self.map3(|a: u32, b: u32, c: u32| extract(u64::from(a), b, c, 32, false) as u32),
                Type::S32 => self.map3(|a: u32, b: u32, c: u32| extract(u64::from(a), b, c, 32, true) as u32),
                Type::U64 => self.map3(|a: u64, b: u32, c: u32| extract(a, b, c, 64, false)),
                Type::S64 => self.map3(|a: u64, b: u32, c: u32| extract(a, b, c, 64, true)),
                _ => None,
            },
            "bfi" => self.insert(ty),
            "prmt" if ty == Type::B32 => match mode {
                None => self.map3(permute),
                Some(mode) => self.map3(move |a: u32, b: u32, c: u32| permute_mode(a, b, c, mode)),
            },
            "popc" => by_width!(ty, T => self.map1(|a: T| a.count_ones())),
            "clz" => by_width!(ty, T => self.map1(|a: T| a.leading_zeros())),
            "brev" => by_width!(ty, T => self.map1(|a: T| a.reverse_bits())),
            "bfind" => match ty {
                Type::U32 => self.map1(move |a: u32| highest_bit(u64::from(a), 32, shift_amount)),
                Type::S32 => self.map1(move |a: i32| highest_bit(u64::from((a ^ a >> 31) as u32), 32, shift_amount)),
                Type::U64 => self.map1(move |a: u64| highest_bit(a, 64, shift_amount)),
                Type::S64 => self.map1(move |a: i64| highest_bit((a ^ a >> 63) as u64, 64, shift_amount)),
                _ => None,
            },
            _ => None,
        }
    }

    /// A truth table of three inputs.
    fn lop3(&mut self) -> Option<Action> {
        let Some(Arg::Number(Number::Integer(table))) = self.argument(4) else { return None };
        if !self.has_arguments(5) {
            return None;
        }
        // A term for each line of the table, all bits set where it holds.
        let terms: [u32; 8] = std::array::from_fn(|line| if table >> line & 1 == 1 { u32::MAX } else { 0 });
        let (d, a, b, c) = (self.destination(0)?, self.source(1)?, self.source(2)?, self.source(3)?);
        let f = move |a: u32, b: u32, c: u32| {
            let either = |without: u32, with: u32, x: u32| without & !x | with & x;
            let of_c = |line: usize| either(terms[line], terms[line + 1], c);
            either(either(of_c(0), of_c(2), b), either(of_c(4), of_c(6), b), a)
        };
        each_lane(Map3 { d, a, b, c, f })
    }

    fn insert(&mut self, ty: Type) -> Option<Action> {
        if !self.has_arguments(5) {
            return None;
        }
        let (position, length) = (self.source::<u32>(3)?, self.source::<u32>(4)?);
        by_width!(ty, T => {
            let (d, a, b) = (self.destination::<T>(0)?, self.source::<T>(1)?, self.source::<T>(2)?);
            task(move |warp, mask| {
                let registers = &mut warp.registers;
                let (position, length) = (registers.get(position), registers.get(length));
                let (a, b) = (registers.get(a), registers.get(b));
                let values = std::array::from_fn(|lane| {
                    let (position, length) = (position[lane] & 0xFF, length[lane] & 0xFF);
                    let ones = if length < T::BITS { (1 << length) - 1 } else { T::MAX };
                    let field = if position < T::BITS { ones << position } else { 0 };
                    let value = if position < T::BITS { a[lane] << position } else { 0 };
                    b[lane] & !field | value & field
                });
                registers.set(d, mask, &values);
                Ok(())
            })
        })
    }

    /// Four products of bytes, or two of half-words and bytes, and a number.
    fn dot_product(&mut self) -> Option<Action> {
        let upper = self.opcode.take("hi");
        self.opcode.take("lo");
        let (a_type, b_type) = (self.opcode.take_type()?, self.opcode.take_type()?);
        let signs = (a_type.is_signed(), b_type.is_signed());
        if a_type.bytes() != 4 || b_type.bytes() != 4 {
            return None;
        }
        let byte = |x: u32, index: u32, signed: bool| {
            let byte = (x >> (index * 8)) as u8;
            if signed { i64::from(byte as i8) } else { i64::from(byte) }
        };
        if self.opcode.name == "dp4a" {
            return self.map3(move |a: u32, b: u32, c: u32| {
                let sum: i64 = (0..4).map(|index| byte(a, index, signs.0) * byte(b, index, signs.1)).sum();
                c.wrapping_add(sum as u32)
            });
        }
        self.map3(move |a: u32, b: u32, c: u32| {
            let half = |index: u32| {
                let half = (a >> (index * 16)) as u16;
                if signs.0 { i64::from(half as i16) } else { i64::from(half) }
            };
            let first = if upper { 2 } else { 0 };
            let sum: i64 = (0..2).map(|index| half(index) * byte(b, first + index, signs.1)).sum();
            c.wrapping_add(sum as u32)
        })
    }

    fn predicate_logic(&mut self) -> Option<Action> {
        let result = self.predicate_of(self.argument(0)?)??;
        let first = self.condition(1)?;
        let combine = match self.opcode.name {
            "not" => {
                let first = Condition { negated: !first.negated, ..first };
                return each_lane(Logic { result, first, combine: Combine::Nothing });
            }
            "and" => Combine::And(self.condition(2)?),
            "or" => Combine::Or(self.condition(2)?),
            "xor" => Combine::Xor(self.condition(2)?),
            _ => return None,
        };
        each_lane(Logic { result, first, combine })
    }
}

/// An operation of predicates.
pub(super) struct Logic {
    pub(super) result: Predicate,
    pub(super) first: Condition,
    pub(super) combine: Combine,
}

impl Work for Logic {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let values = self.combine.apply(registers, registers.condition(self.first));
        registers.set_predicate(self.result, mask, values);
    }
}

/// `bfe`: `length` bits from `position`; where there are no more, the sign or 0.
fn extract(a: u64, position: u32, length: u32, width: u32, signed: bool) -> u64 {
    let (position, length) = (position & 0xFF, length & 0xFF);
    if length == 0 {
        return 0;
    }
    let bit = |index: u32| a >> index.min(width - 1) & 1;
    let sign = if signed { bit((position + length - 1).min(width - 1)) } else { 0 };
    let field = if position < width { a >> position } else { 0 };
    // Bits that come from the number itself; above them is the sign.
    let known = length.min(width.saturating_sub(position));
    let ones = if known < 64 { (1 << known) - 1 } else { u64::MAX };
    field & ones | if sign == 1 { !ones } else { 0 }
}

/// `prmt`: each of the four lowest half-bytes of `c` chooses a byte of `b` and `a`, or with its highest bit that byte's sign.
#[inline(always)]
fn permute(a: u32, b: u32, c: u32) -> u32 {
    let both = u64::from(b) << 32 | u64::from(a);
    let byte = |index: u32| {
        let choice = c >> (index * 4);
        let byte = (both >> ((choice & 7) * 8)) as u8;
        let sign = (byte as i8 >> 7) as u8;
        u32::from(if choice & 8 == 0 { byte } else { sign }) << (index * 8)
    };
    byte(0) | byte(1) | byte(2) | byte(3)
}

/// `prmt` with a mode: the table of the ISA, by the two lowest bits of `c`.
fn permute_mode(a: u32, b: u32, c: u32, mode: usize) -> u32 {
    const CHOICES: [[u32; 4]; 6] = [
        [0x3210, 0x4321, 0x5432, 0x6543],
        [0x5670, 0x6701, 0x7012, 0x0123],
        [0x0000, 0x1111, 0x2222, 0x3333],
        [0x3210, 0x3211, 0x3222, 0x3333],
        [0x0000, 0x1110, 0x2210, 0x3210],
        [0x1010, 0x3232, 0x1010, 0x3232],
    ];
    permute(a, b, CHOICES[mode][c as usize % 4])
}

/// `bfind`: the number of the highest bit that is set, or how far it is from the highest of all.
fn highest_bit(a: u64, width: u32, shift_amount: bool) -> u32 {
    match a.checked_ilog2() {
        Some(bit) if shift_amount => width - 1 - bit,
        Some(bit) => bit,
        None => u32::MAX,
    }
}
