//! A block: warps that meet at barriers.

use super::grid::Program;
use super::lanes::is_wide;
use super::registers::{Mask, Registers, Slot, WARP};
use super::shadow::Watch;
use super::space::{Buffer, Global, Spaces};
use super::warp::{Passed, Pause, Stopped, Warp};
use crate::assemble::Special;
use crate::fault::{Fault, FaultKind};
use crate::module::{Launch, Options, WarpOrder};
use std::rc::Rc;

/// What a warp is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    Waits { barrier: u32 },
    Ended,
}

/// Who has come to a barrier.
#[derive(Clone, Copy, Debug, Default)]
struct Arrivals {
    warps: usize,
    votes: u32,
    /// How many threads are expected, if it was said.
    threads: Option<u32>,
}

/// The most barriers that a block has.
const BARRIERS: usize = 16;

/// One block after the other.
#[derive(Debug)]
pub(super) struct Block<'a> {
    warps: Vec<Warp<'a>>,
    states: Vec<State>,
    barriers: [Arrivals; BARRIERS],
    shared: Rc<Buffer>,
}

impl<'a> Block<'a> {
    pub(super) fn new(program: &Program, launch: &Launch<'_>, options: Options, global: &Global<'a>) -> Self {
        let shared = Rc::new(Buffer::new(program.shared_bytes + launch.shared_bytes as usize));
        let parameters = Rc::new(Buffer::holding(launch.parameters));
        let count = threads(launch).div_ceil(WARP);
        let watches = Watch::of_block(count, shared.base(), shared.bytes(), program.is_asynchronous);
        let warps = watches.into_iter().map(|watch| {
            let wide = options.wide && is_wide();
            let mut registers = Registers::new(program.lines as usize, program.predicates as usize, wide);
            for (place, bits) in &program.constants {
                registers.fill(*place, *bits);
            }
            let spaces = Spaces::new(global.clone(), shared.clone(), parameters.clone(), program.local_bytes);
            Warp::new(registers, spaces, watch, options.instructions)
        });
        Self { warps: warps.collect(), states: Vec::new(), barriers: Default::default(), shared }
    }

    /// Runs the block with an index to its end.
    pub(super) fn run(&mut self, program: &Program, launch: &Launch<'_>, index: [u32; 3]) -> Result<(), Fault> {
        self.start(program, launch, index);
        let fault = |warp: usize, stopped: Stopped| Fault {
            function: program.name.clone(),
            block: index,
            thread: thread(launch.block, warp, stopped.trouble.lane),
            instruction: program.text(stopped.at),
            kind: stopped.trouble.kind,
        };
        while self.states.contains(&State::Runs) {
            for turn in 0..self.warps.len() {
                let number = match launch.order {
                    WarpOrder::Forward => turn,
                    WarpOrder::Backward => self.warps.len() - 1 - turn,
                };
                // A warp that waits has had its turn, even if its barrier opens at once.
                while self.states[number] == State::Runs {
                    let state = self.turn(number, program).map_err(|stopped| fault(number, stopped))?;
                    self.states[number] = state;
                    self.release();
                    if state != State::Runs {
                        break;
                    }
                }
            }
        }
        match self.states.iter().position(|state| *state != State::Ended) {
            Some(number) => Err(fault(number, self.warps[number].stopped(FaultKind::Deadlock))),
            None => Ok(()),
        }
    }

    fn start(&mut self, program: &Program, launch: &Launch<'_>, index: [u32; 3]) {
        self.shared.fill();
        self.states = vec![State::Runs; self.warps.len()];
        self.barriers = Default::default();
        // All views are of the same shadow memory.
        self.warps[0].watch.clear();
        for (number, warp) in self.warps.iter_mut().enumerate() {
            for (special, slot) in &program.specials {
                let values = special_values(*special, number, launch, index, program);
                warp.registers.set(*slot, Mask::MAX, &values);
            }
            let here = (threads(launch) - number * WARP).min(WARP);
            warp.start(Mask::MAX >> (WARP - here));
        }
    }

    /// Runs a warp until it has something to say.
    fn turn(&mut self, number: usize, program: &Program) -> Result<State, Stopped> {
        let warp = &mut self.warps[number];
        match warp.run(program)? {
            Pause::Ended => Ok(State::Ended),
            Pause::Barrier { number, threads, waits, votes } => {
                let Some(arrivals) = self.barriers.get_mut(number as usize) else {
                    return Err(warp.stopped(FaultKind::Launch(format!("there is no barrier {number}"))));
                };
                arrivals.warps += 1;
                arrivals.votes += votes;
                arrivals.threads = threads;
                Ok(if waits { State::Waits { barrier: number } } else { State::Runs })
            }
        }
    }

    /// Lets the warps go on whose barrier all have reached.
    fn release(&mut self) {
        let running = self.states.iter().filter(|state| **state != State::Ended).count();
        for (number, arrivals) in self.barriers.iter_mut().enumerate() {
            // A barrier counts whole warps.
            let expected = arrivals.threads.map_or(running, |threads| threads.div_ceil(WARP as u32) as usize);
            if arrivals.warps == 0 || arrivals.warps < expected {
                continue;
            }
            let live = self.warps.iter().map(|warp| warp.live().count_ones()).sum();
            let passed = Passed { votes: arrivals.votes, threads: arrivals.threads.unwrap_or(live) };
            for (state, warp) in self.states.iter_mut().zip(&mut self.warps) {
                if *state == (State::Waits { barrier: number as u32 }) {
                    *state = State::Runs;
                    warp.passed = Some(passed);
                }
            }
            *arrivals = Arrivals::default();
        }
    }
}

fn threads(launch: &Launch<'_>) -> usize {
    launch.block.iter().product::<u32>() as usize
}

/// The index of a lane's thread.
fn thread(size: [u32; 3], warp: usize, lane: usize) -> [u32; 3] {
    let number = (warp * WARP + lane) as u32;
    [number % size[0], number / size[0] % size[1], number / size[0] / size[1]]
}

fn special_values(
    special: Special,
    warp: usize,
    launch: &Launch<'_>,
    block: [u32; 3],
    program: &Program,
) -> [u32; WARP] {
    let warps = threads(launch).div_ceil(WARP) as u32;
    std::array::from_fn(|lane| {
        let bit = 1_u32 << lane;
        match special {
            Special::ThreadIndex(axis) => thread(launch.block, warp, lane)[axis],
            Special::BlockSize(axis) => launch.block[axis],
            Special::BlockIndex(axis) => block[axis],
            Special::GridSize(axis) => launch.grid[axis],
            Special::Lane => lane as u32,
            Special::Warp => warp as u32,
            Special::Warps => warps,
            Special::Lanes => bit,
            Special::LanesLess => bit - 1,
            Special::LanesUpTo => bit | (bit - 1),
            Special::LanesFrom => !(bit - 1),
            Special::LanesAfter => !(bit | (bit - 1)),
            Special::DynamicSharedBytes => launch.shared_bytes,
            Special::TotalSharedBytes => program.shared_bytes as u32 + launch.shared_bytes,
            Special::Zero => 0,
            Special::One => 1,
        }
    })
}

/// Where a special register is kept.
pub(super) type SpecialSlot = (Special, Slot<u32>);
