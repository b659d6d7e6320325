//! Where registers lie in the register file.

use super::flat::Virtual;
use super::flatten::Flattened;
use super::liveness::intervals;
use crate::machine::Predicate;
use crate::syntax::RegisterKind;

/// A register's place: its first line of the register file, or its number among the predicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: RegisterKind,
    pub(crate) index: u32,
}

/// The place of each register.
#[derive(Debug)]
pub(crate) struct Placement {
    places: Vec<Place>,
    pub(crate) lines: u32,
    pub(crate) predicates: u32,
}

impl Placement {
    pub(crate) fn place(&self, register: Virtual) -> Place {
        self.places[register.0 as usize]
    }

    /// A place that nothing else uses.
    pub(crate) fn reserve(&mut self, kind: RegisterKind) -> Place {
        let index = match kind {
            RegisterKind::Predicate => &mut self.predicates,
            RegisterKind::Bits16 | RegisterKind::Bits32 | RegisterKind::Bits64 => &mut self.lines,
        };
        let place = Place { kind, index: *index };
        *index += size(kind);
        place
    }
}

/// How many lines of the register file, or predicates, a register takes.
fn size(kind: RegisterKind) -> u32 {
    match kind {
        RegisterKind::Predicate | RegisterKind::Bits16 => 1,
        RegisterKind::Bits32 => 2,
        RegisterKind::Bits64 => 4,
    }
}

/// Gives registers that are never needed at the same time the same place: nvcc writes each value to a new register, and the register
/// files of a block should fit into the processor's cache.
///
/// Linear scan: Poletto and Sarkar, "Linear Scan Register Allocation", 1999.
pub(crate) fn place(kernel: &Flattened<'_>) -> Placement {
    let intervals = intervals(kernel);
    let unused = |kind| Place { kind, index: 0 };
    let mut placement = Placement {
        places: kernel.kinds.iter().map(|kind| unused(*kind)).collect(),
        lines: 0,
        predicates: Predicate::RESERVED,
    };
    for register in kernel.specials.values() {
        placement.places[register.0 as usize] = placement.reserve(kernel.kinds[register.0 as usize]);
    }
    let is_special = |register: &u32| kernel.specials.values().any(|special| special.0 == *register);
    let mut order: Vec<(u32, u32, u32)> = (0..kernel.kinds.len() as u32)
        .filter(|register| !is_special(register))
        .filter_map(|register| intervals[register as usize].map(|(first, last)| (first, last, register)))
        .collect();
    order.sort_unstable();
    // Registers that hold a place now, with the last instruction that needs them, and places that are free again.
    let mut held: Vec<(u32, Place)> = Vec::new();
    let mut free: Vec<Place> = Vec::new();
    for (first, last, register) in order {
        held.retain(|(end, place)| {
            let is_held = *end >= first;
            if !is_held {
                free.push(*place);
            }
            is_held
        });
        let kind = kernel.kinds[register as usize];
        let place = match free.iter().rposition(|place| place.kind == kind) {
            Some(index) => free.swap_remove(index),
            None => placement.reserve(kind),
        };
        placement.places[register as usize] = place;
        held.push((last, place));
    }
    placement
}
