//! A warp: 32 threads that execute one instruction together where they can.
//!
//! Threads that are at the same instruction are a group. The group that is furthest behind runs until it meets another or has passed it:
//! nvcc puts what follows a branch after both of its sides, so groups meet again where they can. A thread that waits in a loop for another
//! of its warp to do something waits forever; the ISA promises that such loops end, but none of what is run here has them.

use super::copies::Copies;
use super::grid::Program;
use super::products::Products;
use super::registers::{Mask, Registers, Slot, WARP, lanes};
use super::shadow::Watch;
use super::space::{Spaces, Trouble};
use crate::fault::FaultKind;
use crate::instruction::{Action, Barrier, BarrierKind, Members};

/// Threads of a warp that are at the same instruction.
#[derive(Clone, Copy, Debug)]
struct Group {
    at: usize,
    threads: Mask,
    /// Whether they wait for others to come to the same instruction.
    waits: bool,
}

/// Why a warp does not run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    Ended,
    /// At a barrier, with the threads for which the barrier's condition holds.
    Barrier {
        number: u32,
        threads: Option<u32>,
        waits: bool,
        votes: u32,
    },
}

/// What a barrier tells the warps that have waited at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) votes: u32,
    pub(super) threads: u32,
}

/// Where in the program a warp was when something went wrong.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) at: usize,
    pub(super) trouble: Trouble,
}

#[derive(Debug)]
pub(crate) struct Warp<'a> {
    pub(crate) registers: Registers,
    pub(crate) spaces: Spaces<'a>,
    pub(crate) copies: Copies,
    pub(crate) products: Products,
    pub(crate) watch: Watch,
    /// Threads that have not ended.
    live: Mask,
    /// The group that runs.
    at: usize,
    active: Mask,
    others: Vec<Group>,
    /// The next instruction at which another group is.
    meeting: usize,
    /// Whether there are groups at lower instructions, which wait.
    leaves_behind: bool,
    /// What the barrier at which the warp waited has told it.
    pub(super) passed: Option<Passed>,
    executed: u64,
    limit: u64,
}

impl<'a> Warp<'a> {
    /// At most `limit` instructions are executed by each block's warp.
    pub(super) fn new(registers: Registers, spaces: Spaces<'a>, watch: Watch, limit: u64) -> Self {
        Self {
            registers,
            spaces,
            copies: Copies::default(),
            products: Products::default(),
            watch,
            live: 0,
            at: 0,
            active: 0,
            others: Vec::new(),
            meeting: usize::MAX,
            leaves_behind: false,
            passed: None,
            executed: 0,
            limit,
        }
    }

    /// Puts threads to the beginning of the program.
    pub(super) fn start(&mut self, threads: Mask) {
        self.copies.clear();
        self.products = Products::default();
        self.spaces.start();
        self.live = threads;
        self.at = 0;
        self.active = threads;
        self.others.clear();
        self.meeting = usize::MAX;
        self.leaves_behind = false;
        self.passed = None;
        self.executed = 0;
    }

    /// The index of the instruction that is executed.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Instructions that were executed so far.
    pub(crate) fn executed(&self) -> u64 {
        self.executed
    }

    /// What to say of a warp that cannot go on where it is.
    pub(super) fn stopped(&self, kind: FaultKind) -> Stopped {
        Stopped { at: self.at, trouble: self.trouble_of(self.live, kind) }
    }

    /// Threads that have not ended.
    pub(super) fn live(&self) -> Mask {
        self.live
    }

    /// Runs until the warp ends or comes to a barrier.
    pub(super) fn run(&mut self, program: &Program) -> Result<Pause, Stopped> {
        match self.run_inner(program) {
            Ok(pause) => Ok(pause),
            Err(trouble) => Err(Stopped { at: self.at, trouble }),
        }
    }

    fn run_inner(&mut self, program: &Program) -> Result<Pause, Trouble> {
        loop {
            if self.at >= self.meeting {
                self.meet()?;
            }
            let step = &program.steps[self.at];
            let mask = match step.guard {
                None => self.active,
                Some(guard) => self.active & self.registers.condition(guard),
            };
            self.executed += 1;
            if self.executed > self.limit {
                return Err(self.trouble(FaultKind::Endless));
            }
            if mask == 0 {
                self.at += 1;
                continue;
            }
            if !step.accumulators.is_empty() {
                self.products.touch(&step.accumulators).map_err(|kind| self.trouble_of(mask, kind))?;
            }
            match &step.action {
                Action::Lanes(work) => {
                    work(&mut self.registers, mask);
                    self.at += 1;
                }
                Action::Effect(effect) => {
                    effect(self, mask)?;
                    self.at += 1;
                }
                Action::Nothing => self.at += 1,
                Action::Branch(target) => self.branch(*target, mask)?,
                Action::BranchTable { index, targets } => self.branch_table(*index, targets, mask)?,
                Action::Gathered { members, effect } => {
                    if self.gather(*members, mask)? {
                        effect(self, mask)?;
                        self.at += 1;
                    }
                }
                Action::Barrier(barrier) => {
                    if mask != self.live {
                        self.wait(mask)?;
                    } else if let Some(passed) = self.passed.take() {
                        self.tell(barrier, passed);
                        self.at += 1;
                    } else {
                        let pause = self.pause(barrier);
                        if matches!(barrier.kind, BarrierKind::Arrive) {
                            self.at += 1;
                        }
                        return Ok(pause);
                    }
                }
                Action::Exit => {
                    self.live &= !mask;
                    self.active &= !mask;
                    // Whoever waits may have waited for these.
                    self.others.iter_mut().for_each(|group| group.waits = false);
                    self.at += 1;
                    if self.live == 0 {
                        return Ok(Pause::Ended);
                    }
                    self.meet()?;
                }
                Action::Trap => return Err(self.trouble_of(mask, FaultKind::Trap)),
                Action::Unsupported => return Err(self.trouble_of(mask, FaultKind::Unsupported)),
            }
        }
    }

    fn trouble(&self, kind: FaultKind) -> Trouble {
        self.trouble_of(self.active, kind)
    }

    fn trouble_of(&self, mask: Mask, kind: FaultKind) -> Trouble {
        Trouble { lane: mask.trailing_zeros() as usize % WARP, kind }
    }

    fn branch(&mut self, target: usize, taken: Mask) -> Result<(), Trouble> {
        let rest = self.active & !taken;
        if rest == 0 {
            self.at = target;
            if self.leaves_behind { self.meet() } else { Ok(()) }
        } else {
            self.active = rest;
            self.at += 1;
            self.others.push(Group { at: target, threads: taken, waits: false });
            self.meet()
        }
    }

    fn branch_table(&mut self, index: Slot<u32>, targets: &[usize], mask: Mask) -> Result<(), Trouble> {
        let chosen = *self.registers.get(index);
        let rest = self.active & !mask;
        if rest != 0 {
            self.others.push(Group { at: self.at + 1, threads: rest, waits: false });
        }
        for lane in lanes(mask) {
            let Some(target) = targets.get(chosen[lane] as usize) else {
                return Err(Trouble { lane, kind: FaultKind::Launch("there is no such target".into()) });
            };
            self.others.push(Group { at: *target, threads: 1 << lane, waits: false });
        }
        self.active = 0;
        self.meet()
    }

    /// Whether all members are here. If not, those who are wait, and others run.
    fn gather(&mut self, members: Members, mask: Mask) -> Result<bool, Trouble> {
        if mask == self.live && (matches!(members, Members::Named(_)) || mask == Mask::MAX) {
            return Ok(true);
        }
        let needed = match members {
            Members::Warp => Mask::MAX,
            Members::Named(members) => {
                let members = self.registers.get(members);
                lanes(mask).fold(0, |needed, lane| needed | members[lane]) & self.live
            }
        };
        if needed & !mask == 0 {
            return Ok(true);
        }
        self.wait(mask)?;
        Ok(false)
    }

    /// Lets a part of the running group wait here, and others run.
    fn wait(&mut self, mask: Mask) -> Result<(), Trouble> {
        let rest = self.active & !mask;
        self.others.push(Group { at: self.at, threads: mask, waits: true });
        self.active = rest;
        self.at += 1;
        self.meet()
    }

    /// Joins groups that are at the same instruction, and chooses the one that is furthest behind of those that do not wait.
    fn meet(&mut self) -> Result<(), Trouble> {
        if self.active != 0 {
            self.others.push(Group { at: self.at, threads: self.active, waits: false });
        }
        self.others.sort_unstable_by_key(|group| group.at);
        self.others.dedup_by(|later, earlier| {
            let same = later.at == earlier.at;
            if same {
                earlier.threads |= later.threads;
                // Who has waited looks again whether all are there.
                earlier.waits &= later.waits;
            }
            same
        });
        let Some(index) = self.others.iter().position(|group| !group.waits) else {
            let group = self.others[0];
            self.at = group.at;
            return Err(self.trouble_of(group.threads, FaultKind::Deadlock));
        };
        let group = self.others.remove(index);
        self.at = group.at;
        self.active = group.threads;
        // Groups behind wait; only a branch backwards can meet them.
        self.leaves_behind = index > 0;
        self.meeting = self.others[index..].first().map_or(usize::MAX, |group| group.at);
        Ok(())
    }

    fn pause(&self, barrier: &Barrier) -> Pause {
        let lane = self.live.trailing_zeros() as usize % WARP;
        let votes = match &barrier.kind {
            BarrierKind::Wait | BarrierKind::Arrive => 0,
            BarrierKind::Count { condition, .. } | BarrierKind::Vote { condition, .. } => {
                (self.registers.condition(*condition) & self.live).count_ones()
            }
        };
        Pause::Barrier {
            number: self.registers.get(barrier.number)[lane],
            threads: barrier.threads.map(|threads| self.registers.get(threads)[lane]),
            waits: !matches!(barrier.kind, BarrierKind::Arrive),
            votes,
        }
    }

    fn tell(&mut self, barrier: &Barrier, passed: Passed) {
        match barrier.kind {
            BarrierKind::Wait | BarrierKind::Arrive => {}
            BarrierKind::Count { result, .. } => self.registers.set(result, self.live, &[passed.votes; WARP]),
            BarrierKind::Vote { result, all, .. } => {
                let vote = if all { passed.votes == passed.threads } else { passed.votes > 0 };
                self.registers.set_predicate(result, self.live, if vote { Mask::MAX } else { 0 });
            }
        }
    }
}
