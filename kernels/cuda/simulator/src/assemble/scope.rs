//! What the names in a function mean, block by block.

use super::flat::Virtual;
use crate::machine::Space;
use std::collections::HashMap;
use std::rc::Rc;

/// What a name means.
#[derive(Clone, Debug)]
pub(super) enum Name {
    /// One register.
    Register(Virtual),
    /// Registers that are named by a number after the name.
    Registers {
        first: Virtual,
        count: u32,
    },
    Variable {
        space: Space,
        address: u64,
    },
    Label(usize),
    Labels(Rc<[usize]>),
}

/// The blocks around a statement, from the outermost.
#[derive(Debug, Default)]
pub(super) struct Scopes<'t> {
    blocks: Vec<HashMap<&'t str, Name>>,
}

impl<'t> Scopes<'t> {
    pub(super) fn open(&mut self) {
        self.blocks.push(HashMap::new());
    }

    pub(super) fn close(&mut self) {
        self.blocks.pop();
    }

    /// How many blocks are open.
    pub(super) fn depth(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn declare(&mut self, name: &'t str, meaning: Name) {
        if let Some(block) = self.blocks.last_mut() {
            block.insert(name, meaning);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Name> {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = name[stem.len()..].parse::<u32>().ok();
        for block in self.blocks.iter().rev() {
            if let Some(number) = number
                && let Some(Name::Registers { first, count }) = block.get(stem)
                && number < *count
            {
                return Some(Name::Register(Virtual(first.0 + number)));
            }
            match block.get(name) {
                Some(Name::Registers { .. }) | None => {}
                Some(found) => return Some(found.clone()),
            }
        }
        None
    }
}
