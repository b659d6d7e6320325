//! Between which instructions each register holds what is still needed.

use super::flat::{Arg, Virtual};
use super::flatten::Flattened;
use std::ops::Range;

/// The first and the last instruction for which a register has to keep its place; None if it is never used.
pub(super) type Interval = Option<(u32, u32)>;

/// A set of registers.
#[derive(Clone, Debug, PartialEq)]
struct Set(Vec<u64>);

impl Set {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn insert(&mut self, member: u32) {
        self.0[member as usize / 64] |= 1 << (member % 64);
    }

    fn remove(&mut self, member: u32) {
        self.0[member as usize / 64] &= !(1 << (member % 64));
    }

    /// Whether it grew.
    fn extend(&mut self, other: &Self) -> bool {
        let mut grew = false;
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            grew |= *other & !*word != 0;
            *word |= other;
        }
        grew
    }

    fn members(&self) -> impl Iterator<Item = u32> {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros();
                word &= word.wrapping_sub(1);
                (bit < 64).then_some(index as u32 * 64 + bit)
            })
        })
    }
}

/// Instructions that are always executed one after the other.
#[derive(Debug)]
struct Block {
    instructions: Range<usize>,
    next: Vec<usize>,
    /// Registers that are read before they are written. Sets are of numbers that [`Crossing`] gives.
    read: Set,
    /// Registers that are written for certain.
    written: Set,
    /// Registers that are needed when the block begins.
    live: Set,
}

/// Registers that some block needs from before it, which are few. The others are no member of any set.
#[derive(Debug)]
struct Crossing {
    registers: Vec<Virtual>,
    /// Of each register.
    numbers: Vec<Option<u32>>,
}

/// The interval of each register.
///
/// Lanes may be at different instructions, but each lane has its own place in a register; what is true of one thread's way through
/// the instructions is enough.
pub(super) fn intervals(kernel: &Flattened<'_>) -> Vec<Interval> {
    let (mut blocks, crossing) = blocks(kernel);
    let mut changed = true;
    while changed {
        changed = false;
        for index in (0..blocks.len()).rev() {
            let mut live = live_after(&blocks, index);
            for (word, written) in live.0.iter_mut().zip(&blocks[index].written.0) {
                *word &= !written;
            }
            live.extend(&blocks[index].read);
            changed |= blocks[index].live.extend(&live);
        }
    }
    let mut intervals = vec![None; kernel.kinds.len()];
    for (index, block) in blocks.iter().enumerate() {
        let (first, last) = (block.instructions.start as u32, block.instructions.end as u32 - 1);
        let mut widen_all = |live: &Set, at| {
            live.members().for_each(|number| widen(&mut intervals, crossing.registers[number as usize], at));
        };
        widen_all(&block.live, first);
        widen_all(&live_after(&blocks, index), last);
        for at in block.instructions.clone() {
            let instruction = &kernel.instructions[at];
            instruction.reads(|register| widen(&mut intervals, register, at as u32));
            instruction.writes(|register| widen(&mut intervals, register, at as u32));
        }
    }
    intervals
}

fn widen(intervals: &mut [Interval], register: Virtual, at: u32) {
    let interval = &mut intervals[register.0 as usize];
    let (first, last) = interval.unwrap_or((at, at));
    *interval = Some((first.min(at), last.max(at)));
}

fn live_after(blocks: &[Block], index: usize) -> Set {
    let mut live = Set(vec![0; blocks[index].live.0.len()]);
    for next in &blocks[index].next {
        live.extend(&blocks[*next].live);
    }
    live
}

fn blocks(kernel: &Flattened<'_>) -> (Vec<Block>, Crossing) {
    let count = kernel.instructions.len();
    let mut begins = vec![false; count + 1];
    begins[0] = true;
    begins[count] = true;
    for (at, instruction) in kernel.instructions.iter().enumerate() {
        let targets = targets(&instruction.arguments);
        if !targets.is_empty() || ends(instruction.opcode) {
            begins[at + 1] = true;
        }
        targets.iter().for_each(|target| begins[*target] = true);
    }
    let starts: Vec<usize> = (0..=count).filter(|at| begins[*at]).collect();
    let mut number = vec![0; count];
    for (index, window) in starts.windows(2).enumerate() {
        number[window[0]..window[1]].fill(index);
    }
    let blocks: Vec<Range<usize>> = starts.windows(2).map(|window| window[0]..window[1]).collect();
    let crossing = crossing(kernel, &blocks);
    let number_of = |register: Virtual| crossing.numbers[register.0 as usize];
    let block = |(index, instructions): (usize, Range<usize>)| {
        let last = &kernel.instructions[instructions.end - 1];
        let mut next: Vec<usize> = targets(&last.arguments).iter().map(|target| number[*target]).collect();
        let falls_through = last.guard.is_some() || next.is_empty() && !ends(last.opcode);
        if falls_through && instructions.end < count {
            next.push(index + 1);
        }
        let (mut read, mut written) = (Set::new(crossing.registers.len()), Set::new(crossing.registers.len()));
        for instruction in kernel.instructions[instructions.clone()].iter().rev() {
            if instruction.guard.is_none() {
                instruction.writes(|register| {
                    if let Some(number) = number_of(register) {
                        written.insert(number);
                        read.remove(number);
                    }
                });
            }
            instruction.reads(|register| number_of(register).into_iter().for_each(|number| read.insert(number)));
        }
        Block { instructions, next, live: read.clone(), read, written }
    };
    (blocks.into_iter().enumerate().map(block).collect(), crossing)
}

fn crossing(kernel: &Flattened<'_>, blocks: &[Range<usize>]) -> Crossing {
    let mut crossing = Crossing { registers: Vec::new(), numbers: vec![None; kernel.kinds.len()] };
    // The last block that has written a register before it read it.
    let mut written_by = vec![usize::MAX; kernel.kinds.len()];
    for (index, block) in blocks.iter().enumerate() {
        for instruction in &kernel.instructions[block.clone()] {
            instruction.reads(|register| {
                let number = &mut crossing.numbers[register.0 as usize];
                if written_by[register.0 as usize] != index && number.is_none() {
                    *number = Some(crossing.registers.len() as u32);
                    crossing.registers.push(register);
                }
            });
            if instruction.guard.is_none() {
                instruction.writes(|register| written_by[register.0 as usize] = index);
            }
        }
    }
    crossing
}

fn targets(arguments: &[Arg]) -> &[usize] {
    arguments
        .iter()
        .find_map(|argument| match argument {
            Arg::Target(target) => Some(std::slice::from_ref(target)),
            Arg::Targets(targets) => Some(&targets[..]),
            _ => None,
        })
        .unwrap_or(&[])
}

/// Whether no instruction follows an instruction that has no targets.
fn ends(opcode: &str) -> bool {
    matches!(opcode.split('.').next(), Some("ret" | "exit" | "trap"))
}
