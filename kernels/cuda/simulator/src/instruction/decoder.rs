//! Operands of an instruction that is being decoded.

use super::opcode::Opcode;
use super::{Action, Members};
use crate::assemble::{Arg, Flat, Place, Placement};
use crate::machine::{
    Combine, Compare, Condition, Lane, Map1, Map2, Map3, Mask, Predicate, Slot, Trouble, WARP, Warp, Work, work,
};
use crate::syntax::{Number, RegisterKind};
use std::collections::HashMap;

/// Literals are kept in registers that nothing writes, so that all operands are registers.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    pub(crate) places: HashMap<(RegisterKind, u64), Place>,
    scratch: HashMap<RegisterKind, Place>,
}

/// Decodes an instruction.
#[derive(Debug)]
pub(crate) struct Decoder<'d, 't> {
    pub(super) opcode: Opcode<'t>,
    pub(super) flat: &'d Flat<'t>,
    placement: &'d mut Placement,
    constants: &'d mut Constants,
}

impl<'d, 't> Decoder<'d, 't> {
    pub(crate) fn new(flat: &'d Flat<'t>, placement: &'d mut Placement, constants: &'d mut Constants) -> Self {
        Self { opcode: Opcode::new(flat.opcode), flat, placement, constants }
    }

    pub(super) fn argument(&self, index: usize) -> Option<&'d Arg> {
        self.flat.arguments.get(index)
    }

    pub(super) fn has_arguments(&self, count: usize) -> bool {
        self.flat.arguments.len() == count
    }

    /// What is read.
    pub(super) fn source<T: Lane>(&mut self, index: usize) -> Option<Slot<T>> {
        self.source_of(self.argument(index)?)
    }

    pub(super) fn source_of<T: Lane>(&mut self, argument: &Arg) -> Option<Slot<T>> {
        match argument {
            Arg::Register(register) => {
                let place = self.placement.place(*register);
                (place.kind == kind_of::<T>()).then(|| Slot::at(place.index))
            }
            Arg::Number(number) => self.constant(bits_of::<T>(*number)?),
            _ => None,
        }
    }

    /// A register that always holds the same.
    pub(super) fn constant<T: Lane>(&mut self, bits: u64) -> Option<Slot<T>> {
        let kind = kind_of::<T>();
        let placement = &mut self.placement;
        let place = self.constants.places.entry((kind, bits)).or_insert_with(|| placement.reserve(kind));
        Some(Slot::at(place.index))
    }

    /// What is written.
    pub(super) fn destination<T: Lane>(&mut self, index: usize) -> Option<Slot<T>> {
        self.destination_of(self.argument(index)?)
    }

    pub(super) fn destination_of<T: Lane>(&mut self, argument: &Arg) -> Option<Slot<T>> {
        let kind = kind_of::<T>();
        match argument {
            Arg::Register(register) => {
                let place = self.placement.place(*register);
                (place.kind == kind).then(|| Slot::at(place.index))
            }
            // Where nobody reads.
            Arg::Nothing => {
                let placement = &mut self.placement;
                Some(Slot::at(self.constants.scratch.entry(kind).or_insert_with(|| placement.reserve(kind)).index))
            }
            _ => None,
        }
    }

    /// The kind of register that an operand is; literals are of none.
    pub(super) fn kind(&self, index: usize) -> Option<RegisterKind> {
        self.kind_of(self.argument(index)?)
    }

    pub(super) fn kind_of(&self, argument: &Arg) -> Option<RegisterKind> {
        match argument {
            Arg::Register(register) => Some(self.placement.place(*register).kind),
            _ => None,
        }
    }

    /// A predicate that is written.
    pub(super) fn predicate_of(&self, argument: &Arg) -> Option<Option<Predicate>> {
        match argument {
            Arg::Register(register) => {
                let place = self.placement.place(*register);
                (place.kind == RegisterKind::Predicate).then_some(Some(Predicate(place.index)))
            }
            Arg::Nothing => Some(None),
            _ => None,
        }
    }

    /// A predicate that is read.
    pub(super) fn condition(&self, index: usize) -> Option<Condition> {
        let of = |register| {
            let place = self.placement.place(register);
            (place.kind == RegisterKind::Predicate).then_some(Predicate(place.index))
        };
        match self.argument(index)? {
            Arg::Register(register) => Some(Condition { predicate: of(*register)?, negated: false }),
            Arg::Not(register) => Some(Condition { predicate: of(*register)?, negated: true }),
            Arg::Number(Number::Integer(value)) => Some(Condition { predicate: Predicate::TRUE, negated: *value == 0 }),
            _ => None,
        }
    }

    /// What stands before the instruction, if anything; None if that is no predicate.
    pub(crate) fn guard(&self) -> Option<Option<Condition>> {
        let Some((register, negated)) = self.flat.guard else { return Some(None) };
        let place = self.placement.place(register);
        let predicate = Predicate(place.index);
        (place.kind == RegisterKind::Predicate).then_some(Some(Condition { predicate, negated }))
    }

    pub(super) fn map1<D: Lane, A: Lane>(&mut self, f: impl Fn(A) -> D + Send + Sync + 'static) -> Option<Action> {
        if !self.has_arguments(2) {
            return None;
        }
        each_lane(Map1 { d: self.destination(0)?, a: self.source(1)?, f })
    }

    pub(super) fn map2<D: Lane, A: Lane, B: Lane>(
        &mut self,
        f: impl Fn(A, B) -> D + Send + Sync + 'static,
    ) -> Option<Action> {
        if !self.has_arguments(3) {
            return None;
        }
        each_lane(Map2 { d: self.destination(0)?, a: self.source(1)?, b: self.source(2)?, f })
    }

    pub(super) fn map3<D: Lane, A: Lane, B: Lane, C: Lane>(
        &mut self,
        f: impl Fn(A, B, C) -> D + Send + Sync + 'static,
    ) -> Option<Action> {
        if !self.has_arguments(4) {
            return None;
        }
        each_lane(Map3 { d: self.destination(0)?, a: self.source(1)?, b: self.source(2)?, c: self.source(3)?, f })
    }

    /// A test of one or two registers whose result is a predicate, operand 0.
    pub(super) fn compare<A: Lane, B: Lane>(
        &mut self,
        second: usize,
        combine: Combine,
        f: impl Fn(A, B) -> bool + Send + Sync + 'static,
    ) -> Option<Action> {
        let (p, q) = match self.argument(0)? {
            Arg::Pair(pair) => (self.predicate_of(&pair[0])?, self.predicate_of(&pair[1])?),
            single => (self.predicate_of(single)?, None),
        };
        each_lane(Compare { p, q, a: self.source(1)?, b: self.source(second)?, f, combine })
    }
}

/// What each lane does by itself.
pub(super) fn each_lane(what: impl Work) -> Option<Action> {
    Some(Action::Lanes(work(what)))
}

/// What needs more than the lanes' registers.
pub(super) fn task(
    task: impl Fn(&mut Warp<'_>, Mask) -> Result<(), Trouble> + Send + Sync + 'static,
) -> Option<Action> {
    Some(Action::Effect(Box::new(task)))
}

/// What all lanes of the warp do together.
pub(super) fn of_warp(
    task: impl Fn(&mut Warp<'_>, Mask) -> Result<(), Trouble> + Send + Sync + 'static,
) -> Option<Action> {
    Some(Action::Gathered { members: Members::Warp, effect: Box::new(task) })
}

fn kind_of<T: Lane>() -> RegisterKind {
    match size_of::<[T; WARP]>() / WARP {
        2 => RegisterKind::Bits16,
        4 => RegisterKind::Bits32,
        _ => RegisterKind::Bits64,
    }
}

/// The bits of a literal in a register of `T`.
fn bits_of<T: Lane>(number: Number) -> Option<u64> {
    match (kind_of::<T>(), number) {
        (RegisterKind::Bits16, Number::Integer(value)) => Some(value & 0xFFFF),
        (RegisterKind::Bits32, Number::Integer(value)) => Some(value & 0xFFFF_FFFF),
        (RegisterKind::Bits64, Number::Integer(value)) => Some(value),
        (RegisterKind::Bits32, Number::Single(bits)) => Some(u64::from(bits)),
        (RegisterKind::Bits32, Number::Double(bits)) => Some(u64::from((f64::from_bits(bits) as f32).to_bits())),
        (RegisterKind::Bits64, Number::Double(bits)) => Some(bits),
        (RegisterKind::Bits64, Number::Single(bits)) => Some(f64::from(f32::from_bits(bits)).to_bits()),
        (RegisterKind::Bits16 | RegisterKind::Predicate, _) => None,
    }
}
