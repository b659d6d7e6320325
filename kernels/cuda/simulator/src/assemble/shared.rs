//! Where a kernel's shared variables lie.

use super::module::Names;
use crate::syntax::{Function, Operand, Space, Statement, Variable};
use std::collections::{HashMap, HashSet};

/// Offsets in a block's shared memory.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedLayout<'t> {
    pub(super) offsets: HashMap<&'t str, u64>,
    /// Bytes of the variables whose size is declared; what the launch adds comes after them.
    pub(super) bytes: usize,
}

impl<'t> SharedLayout<'t> {
    /// The variables that a kernel and the functions which it calls name, in the order in which they are met.
    pub(super) fn of(kernel: &'t Function<'t>, names: &Names<'t>) -> Self {
        let mut layout = Self::default();
        let mut sized: Vec<&'t Variable<'t>> = Vec::new();
        let mut unsized_: Vec<&'t Variable<'t>> = Vec::new();
        let mut met = HashSet::new();
        let mut functions = vec![kernel];
        let mut seen = HashSet::from([kernel.name]);
        let mut add = |variable: &'t Variable<'t>| {
            if met.insert(variable.name) {
                if variable.bytes > 0 { sized.push(variable) } else { unsized_.push(variable) }
            }
        };
        while let Some(function) = functions.pop() {
            for statement in function.body.iter().flatten() {
                match statement {
                    Statement::Variable(variable) if variable.space == Space::Shared => add(variable),
                    Statement::Instruction(instruction) => {
                        for operand in &instruction.operands {
                            let (Operand::Name { name, .. } | Operand::Address { name: Some(name), .. }) = operand
                            else {
                                continue;
                            };
                            // Most are registers.
                            if name.starts_with('%') {
                                continue;
                            }
                            if let Some(variable) = names.shared.get(name) {
                                add(variable);
                            }
                            if let Some(function) = names.functions.get(name)
                                && seen.insert(function.name)
                            {
                                functions.push(function);
                            }
                        }
                    }
                    Statement::Variable(_)
                    | Statement::Registers { .. }
                    | Statement::Label(_)
                    | Statement::Targets { .. }
                    | Statement::Open
                    | Statement::Close => {}
                }
            }
        }
        for variable in sized {
            let offset = layout.bytes.next_multiple_of(variable.alignment);
            layout.offsets.insert(variable.name, offset as u64);
            layout.bytes = offset + variable.bytes;
        }
        // Whatever the launch adds begins at one place, aligned for all that is in it.
        if let Some(alignment) = unsized_.iter().map(|variable| variable.alignment).max() {
            layout.bytes = layout.bytes.next_multiple_of(alignment.max(16));
        }
        for variable in unsized_ {
            layout.offsets.insert(variable.name, layout.bytes as u64);
        }
        layout
    }
}
