//! Moves, and what addresses of state spaces become elsewhere.

use super::bits::Logic;
use super::decoder::{each_lane, task};
use super::opcode::{Type, by_width};
use super::{Action, Decoder};
use crate::assemble::Arg;
use crate::machine::{Combine, Lane, Map2, Mask, Registers, Slot, Space, WARP, Work, space_of, window};
use crate::syntax::RegisterKind;

/// A part of a register that is packed or unpacked.
#[derive(Clone, Copy, Debug)]
enum Part {
    Bits16(Slot<u16>),
    Bits32(Slot<u32>),
}

impl Decoder<'_, '_> {
    pub(super) fn moves(&mut self) -> Option<Action> {
        match self.opcode.name {
            "mov" => self.mov(),
            "cvta" => self.convert_address(),
            _ => self.is_in_space(),
        }
    }

    fn mov(&mut self) -> Option<Action> {
        let ty = self.opcode.take_type()?;
        match (self.argument(0)?, self.argument(1)?) {
            (result, _) if ty == Type::Predicate => {
                let (result, first) = (self.predicate_of(result)??, self.condition(1)?);
                each_lane(Logic { result, first, combine: Combine::Nothing })
            }
            (_, Arg::Clock) => by_width!(ty, T => {
                let d = self.destination::<T>(0)?;
                task(move |warp, mask| {
                    let now = [warp.executed() as T; WARP];
                    warp.registers.set(d, mask, &now);
                    Ok(())
                })
            }),
            (Arg::Vector(parts), _) => self.unpack(parts),
            (_, Arg::Vector(parts)) => self.pack(parts),
            _ => by_width!(ty, T => self.map1(|a: T| a)),
        }
    }

    fn pack(&mut self, parts: &[Arg]) -> Option<Action> {
        let total = self.kind(0)?;
        let bits = bits_of(total)?.checked_div(parts.len())?;
        let mut sources = Vec::new();
        for part in parts {
            sources.push(match bits {
                16 => Part::Bits16(self.source_of(part)?),
                32 => Part::Bits32(self.source_of(part)?),
                _ => return None,
            });
        }
        match (total, &sources[..]) {
            (RegisterKind::Bits32, [Part::Bits16(low), Part::Bits16(high)]) => {
                let f = |low: u16, high: u16| u32::from(high) << 16 | u32::from(low);
                each_lane(Map2 { d: self.destination(0)?, a: *low, b: *high, f })
            }
            (RegisterKind::Bits64, [Part::Bits32(low), Part::Bits32(high)]) => {
                let f = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
                each_lane(Map2 { d: self.destination(0)?, a: *low, b: *high, f })
            }
            (RegisterKind::Bits64, [Part::Bits16(_), ..]) => {
                each_lane(Pack { d: self.destination(0)?, parts: sources })
            }
            _ => None,
        }
    }

    fn unpack(&mut self, parts: &[Arg]) -> Option<Action> {
        // What is unpacked may be a literal only in theory.
        let total = self.kind(1)?;
        let bits = bits_of(total)?.checked_div(parts.len())?;
        let mut destinations = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if *part == Arg::Nothing {
                continue;
            }
            let part = match bits {
                16 => Part::Bits16(self.destination_of(part)?),
                32 => Part::Bits32(self.destination_of(part)?),
                _ => return None,
            };
            destinations.push((index as u32 * bits as u32, part));
        }
        match total {
            RegisterKind::Bits32 => each_lane(Unpack::<u32> { a: self.source(1)?, parts: destinations }),
            RegisterKind::Bits64 => each_lane(Unpack::<u64> { a: self.source(1)?, parts: destinations }),
            RegisterKind::Bits16 | RegisterKind::Predicate => None,
        }
    }

    /// From an address of a space to a generic address, or back.
    fn convert_address(&mut self) -> Option<Action> {
        let to = self.opcode.take("to");
        let window = window(self.space()?);
        match self.opcode.take_type()? {
            Type::U64 if to => self.map1(move |a: u64| a.wrapping_sub(window)),
            Type::U64 => self.map1(move |a: u64| a.wrapping_add(window)),
            _ => None,
        }
    }

    fn is_in_space(&mut self) -> Option<Action> {
        let space = match self.space()? {
            Space::Const => Space::Global,
            space => space,
        };
        self.compare(1, Combine::Nothing, move |a: u64, _: u64| space_of(a) == space)
    }

    /// The state space among the modifiers.
    pub(super) fn space(&mut self) -> Option<Space> {
        self.opcode.take_map(|part| match part {
            "global" => Some(Space::Global),
            "const" => Some(Space::Const),
            "shared" | "shared::cta" => Some(Space::Shared),
            "local" => Some(Space::Local),
            "param" | "param::entry" | "param::func" => Some(Space::Parameter),
            _ => None,
        })
    }
}

fn bits_of(kind: RegisterKind) -> Option<usize> {
    match kind {
        RegisterKind::Predicate => None,
        RegisterKind::Bits16 => Some(16),
        RegisterKind::Bits32 => Some(32),
        RegisterKind::Bits64 => Some(64),
    }
}

/// Four parts into one register.
struct Pack {
    d: Slot<u64>,
    parts: Vec<Part>,
}

impl Work for Pack {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let mut d = [0; WARP];
        for (index, part) in self.parts.iter().enumerate() {
            let values: [u64; WARP] = match part {
                Part::Bits16(part) => registers.get(*part).map(|value| u64::from(value) << (index * 16)),
                Part::Bits32(part) => registers.get(*part).map(|value| u64::from(value) << (index * 32)),
            };
            d.iter_mut().zip(values).for_each(|(d, value)| *d |= value);
        }
        registers.set(self.d, mask, &d);
    }
}

/// One register into parts, each from a bit on.
struct Unpack<A> {
    a: Slot<A>,
    parts: Vec<(u32, Part)>,
}

impl<A: Lane + Into<u64>> Work for Unpack<A> {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let a = *registers.get(self.a);
        for (bit, part) in &self.parts {
            match part {
                Part::Bits16(part) => {
                    let values = a.map(|value| (value.into() >> bit) as u16);
                    registers.set(*part, mask, &values);
                }
                Part::Bits32(part) => {
                    let values = a.map(|value| (value.into() >> bit) as u32);
                    registers.set(*part, mask, &values);
                }
            }
        }
    }
}
