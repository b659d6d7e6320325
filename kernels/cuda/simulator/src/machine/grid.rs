//! A launch: all blocks.

use super::block::{Block, SpecialSlot};
use super::registers::Condition;
use super::space::Global;
use crate::assemble::Place;
use crate::fault::{Fault, FaultKind};
use crate::instruction::Action;
use crate::memory::Memory;
use crate::module::WarpOrder;
use std::ops::Range;
use std::sync::Arc;

/// A kernel that can be executed.
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    /// The whole module, of which instructions are parts.
    pub(crate) text: Arc<str>,
    /// Sizes of the register file, in its lines, and of the predicates.
    pub(crate) lines: u32,
    pub(crate) predicates: u32,
    /// What registers hold that nothing writes.
    pub(crate) constants: Vec<(Place, u64)>,
    pub(crate) specials: Vec<SpecialSlot>,
    /// Bytes of the shared memory that the kernel declares.
    pub(crate) shared_bytes: usize,
    /// Bytes of each thread's own memory.
    pub(crate) local_bytes: usize,
}

/// An instruction of a program.
pub(crate) struct Step {
    pub(crate) guard: Option<Condition>,
    pub(crate) action: Action,
    /// Where it stands in the module.
    pub(crate) text: Range<usize>,
}

/// What a launch says, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GridLaunch<'a> {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) shared_bytes: usize,
    pub(crate) parameters: &'a [u8],
    pub(crate) order: WarpOrder,
    /// The most instructions that a warp executes.
    pub(crate) limit: u64,
}

/// Runs all blocks.
pub(crate) fn run_grid(program: &Program, memory: &Memory, launch: &GridLaunch<'_>) -> Result<(), Fault> {
    let global = Global::new(memory);
    let mut block = Block::new(program, launch, &global);
    for z in 0..launch.grid[2] {
        for y in 0..launch.grid[1] {
            for x in 0..launch.grid[0] {
                let index = [x, y, z];
                block.run(program, launch, index).map_err(|(warp, stopped)| {
                    fault(program, index, block.thread(warp, stopped.trouble.lane), stopped.at, stopped.trouble.kind)
                })?;
            }
        }
    }
    Ok(())
}

fn fault(program: &Program, block: [u32; 3], thread: [u32; 3], at: usize, kind: FaultKind) -> Fault {
    let instruction = program.text[program.steps[at].text.clone()].split_whitespace().collect::<Vec<_>>().join(" ");
    Fault { function: program.name.clone(), block, thread, instruction, kind }
}
