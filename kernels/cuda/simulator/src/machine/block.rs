//! A block: warps that meet at barriers.

use super::grid::{GridLaunch, Program};
use super::registers::{Mask, Registers, Slot, WARP};
use super::space::{Buffer, Global, Spaces, Trouble};
use super::warp::{Passed, Pause, Stopped, Warp};
use crate::assemble::Special;
use crate::fault::FaultKind;
use crate::module::WarpOrder;
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
    shared: Rc<Buffer>,
    size: [u32; 3],
}

impl<'a> Block<'a> {
    pub(super) fn new(program: &Program, launch: &GridLaunch<'_>, global: &Global<'a>) -> Self {
        let shared = Rc::new(Buffer::new(program.shared_bytes + launch.shared_bytes));
        let parameters = Rc::new(Buffer::holding(launch.parameters));
        let threads = launch.block.iter().product::<u32>() as usize;
        let wide = super::lanes::is_wide();
        let warps = (0..threads.div_ceil(WARP)).map(|_| {
            let mut registers = Registers::new(program.lines as usize, program.predicates as usize, wide);
            for (place, bits) in &program.constants {
                registers.fill(*place, *bits);
            }
            let spaces = Spaces::new(global.clone(), shared.clone(), parameters.clone(), program.local_bytes);
            Warp::new(registers, spaces, launch.limit)
        });
        Self { warps: warps.collect(), shared, size: launch.block }
    }

    /// Runs the block with an index to its end.
    pub(super) fn run(
        &mut self,
        program: &Program,
        launch: &GridLaunch<'_>,
        index: [u32; 3],
    ) -> Result<(), (usize, Stopped)> {
        self.shared.fill();
        let threads = self.size.iter().product::<u32>() as usize;
        for (number, warp) in self.warps.iter_mut().enumerate() {
            for (special, slot) in &program.specials {
                let values = special_values(*special, number, launch, index, program);
                warp.registers.set(*slot, Mask::MAX, &values);
            }
            let here = (threads - number * WARP).min(WARP);
            warp.start(if here == WARP { Mask::MAX } else { (1 << here) - 1 });
        }
        let mut states = vec![State::Runs; self.warps.len()];
        let mut barriers = [Arrivals::default(); BARRIERS];
        loop {
            for turn in 0..self.warps.len() {
                let number = match launch.order {
                    WarpOrder::Forward => turn,
                    WarpOrder::Backward => self.warps.len() - 1 - turn,
                };
                while states[number] == State::Runs {
                    states[number] = self.turn(number, program, &mut barriers).map_err(|stopped| (number, stopped))?;
                }
            }
            if states.iter().all(|state| *state == State::Ended) {
                return Ok(());
            }
            if !self.release(&mut states, &mut barriers) {
                let waits = |state: &State| matches!(state, State::Waits { .. });
                let number = states.iter().position(waits).unwrap_or_default();
                let warp = &self.warps[number];
                let lane = warp.live().trailing_zeros() as usize % WARP;
                let trouble = Trouble { lane, kind: FaultKind::Deadlock };
                return Err((number, Stopped { at: warp.at(), trouble }));
            }
        }
    }

    /// Runs a warp until it has something to say.
    fn turn(
        &mut self,
        number: usize,
        program: &Program,
        barriers: &mut [Arrivals; BARRIERS],
    ) -> Result<State, Stopped> {
        let warp = &mut self.warps[number];
        match warp.run(program)? {
            Pause::Ended => Ok(State::Ended),
            Pause::Barrier { number, threads, waits, votes } => {
                let Some(arrivals) = barriers.get_mut(number as usize) else {
                    let kind = FaultKind::Launch(format!("there is no barrier {number}"));
                    return Err(Stopped { at: warp.at(), trouble: Trouble { lane: 0, kind } });
                };
                arrivals.warps += 1;
                arrivals.votes += votes;
                arrivals.threads = threads;
                Ok(if waits { State::Waits { barrier: number } } else { State::Runs })
            }
        }
    }

    /// Lets the warps go on whose barrier all have reached. False if there is none.
    fn release(&mut self, states: &mut [State], barriers: &mut [Arrivals; BARRIERS]) -> bool {
        let running = states.iter().filter(|state| **state != State::Ended).count();
        let live = self.warps.iter().map(|warp| warp.live().count_ones()).sum();
        let mut any = false;
        for (number, arrivals) in barriers.iter_mut().enumerate() {
            // A barrier counts whole warps.
            let expected = arrivals.threads.map_or(running, |threads| threads.div_ceil(WARP as u32) as usize);
            if arrivals.warps == 0 || arrivals.warps < expected {
                continue;
            }
            let passed = Passed { votes: arrivals.votes, threads: arrivals.threads.unwrap_or(live) };
            for (state, warp) in states.iter_mut().zip(&mut self.warps) {
                if *state == (State::Waits { barrier: number as u32 }) {
                    *state = State::Runs;
                    warp.passed = Some(passed);
                }
            }
            *arrivals = Arrivals::default();
            any = true;
        }
        any
    }

    /// The index of a lane's thread.
    pub(super) fn thread(&self, warp: usize, lane: usize) -> [u32; 3] {
        thread(self.size, warp, lane)
    }
}

fn thread(size: [u32; 3], warp: usize, lane: usize) -> [u32; 3] {
    let number = (warp * WARP + lane) as u32;
    [number % size[0], number / size[0] % size[1], number / size[0] / size[1]]
}

fn special_values(
    special: Special,
    warp: usize,
    launch: &GridLaunch<'_>,
    block: [u32; 3],
    program: &Program,
) -> [u32; WARP] {
    let warps = launch.block.iter().product::<u32>().div_ceil(WARP as u32);
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
            Special::DynamicSharedBytes => launch.shared_bytes as u32,
            Special::TotalSharedBytes => (program.shared_bytes + launch.shared_bytes) as u32,
            Special::Zero => 0,
            Special::One => 1,
        }
    })
}

/// Where a special register is kept.
pub(super) type SpecialSlot = (Special, Slot<u32>);
