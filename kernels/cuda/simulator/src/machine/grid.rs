//! A launch: all blocks.

use super::block::{Block, SpecialSlot};
use super::products::Accumulator;
use super::registers::Condition;
use super::space::Global;
use crate::assemble::Place;
use crate::fault::Fault;
use crate::instruction::Action;
use crate::memory::Memory;
use crate::module::{Launch, Options};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

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
    pub(crate) has_atomics: bool,
    /// Whether shared memory is written or read while threads go on.
    pub(crate) is_asynchronous: bool,
}

impl Program {
    /// An instruction as it is written, on one line.
    pub(super) fn text(&self, at: usize) -> String {
        self.text[self.steps[at].text.clone()].split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// An instruction of a program.
pub(crate) struct Step {
    pub(crate) guard: Option<Condition>,
    pub(crate) action: Action,
    /// Registers of matrix instructions of warpgroups that this one, which is none, reads or writes.
    pub(crate) accumulators: Box<[Accumulator]>,
    /// Where it stands in the module.
    pub(crate) text: Range<usize>,
}

/// Blocks that are worth a thread of their own.
const BLOCKS_PER_THREAD: u64 = 4;

/// Runs all blocks of a launch that a device would take.
pub(crate) fn run_grid(program: &Program, memory: &Memory, launch: &Launch<'_>, options: Options) -> Result<(), Fault> {
    let blocks: u64 = launch.grid.iter().map(|size| u64::from(*size)).product();
    let threads = match thread::available_parallelism() {
        // Sums in floating point depend on the order of the blocks.
        Ok(threads) if !program.has_atomics => (threads.get() as u64).min(blocks / BLOCKS_PER_THREAD),
        Ok(_) | Err(_) => 1,
    };
    let global = Global::new(memory);
    let next = AtomicU64::new(0);
    let faults = Mutex::new(Vec::new());
    let work = || {
        let mut block = Block::new(program, launch, options, &global);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= blocks {
                return;
            }
            if let Err(fault) = block.run(program, launch, index(launch.grid, number)) {
                // No further block is begun. Those before this one were, so that the first fault is found whatever the threads.
                next.store(blocks, Ordering::Relaxed);
                faults.lock().unwrap_or_else(PoisonError::into_inner).push((number, fault));
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    match faults.into_iter().min_by_key(|(number, _)| *number) {
        Some((_, fault)) => Err(fault),
        None => Ok(()),
    }
}

fn index(grid: [u32; 3], number: u64) -> [u32; 3] {
    let [x, y, _] = grid.map(u64::from);
    [number % x, number / x % y, number / x / y].map(|index| index as u32)
}
