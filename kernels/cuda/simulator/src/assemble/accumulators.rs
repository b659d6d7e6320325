//! Registers that asynchronous matrix instructions add to.

use super::flat::{Flat, Virtual};
use super::flatten::Flattened;
use crate::machine::Accumulator;
use std::collections::HashSet;

/// Those of a kernel.
#[derive(Debug)]
pub(crate) struct Accumulators(HashSet<Accumulator>);

impl Accumulators {
    pub(crate) fn of(kernel: &Flattened<'_>) -> Self {
        let mut accumulators = HashSet::new();
        for instruction in kernel.instructions.iter().filter(|instruction| instruction.is_warpgroups()) {
            instruction.writes(|register| {
                accumulators.insert(register.0);
            });
        }
        Self(accumulators)
    }

    /// Those that an instruction reads or writes, unless it is one that knows of waiting for them.
    pub(crate) fn touched(&self, instruction: &Flat<'_>) -> Box<[Accumulator]> {
        let mut touched = Vec::new();
        if !instruction.is_warpgroups() {
            let mut touch = |register: Virtual| {
                if self.0.contains(&register.0) {
                    touched.push(register.0);
                }
            };
            instruction.reads(&mut touch);
            instruction.writes(&mut touch);
        }
        touched.into()
    }
}
