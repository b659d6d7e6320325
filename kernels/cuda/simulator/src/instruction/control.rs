//! Branches, ends and barriers.

use super::decoder::task;
use super::{Action, Barrier, BarrierKind, Decoder};
use crate::assemble::Arg;

impl Decoder<'_, '_> {
    /// PTX ISA, "Control Flow Instructions" and "Parallel Synchronization and Communication Instructions".
    pub(super) fn control(&mut self) -> Option<Action> {
        match self.opcode.name {
            "bra" => {
                self.opcode.take("uni");
                let [Arg::Target(target)] = &self.flat.arguments[..] else { return None };
                Some(Action::Branch(*target))
            }
            "brx" => {
                self.opcode.take("uni");
                let (true, [_, Arg::Targets(targets)]) = (self.opcode.take("idx"), &self.flat.arguments[..]) else {
                    return None;
                };
                Some(Action::BranchTable { index: self.source(0)?, targets: targets.clone() })
            }
            "ret" => {
                self.opcode.take("uni");
                Some(Action::Exit)
            }
            "exit" => Some(Action::Exit),
            "trap" => Some(Action::Trap),
            "nanosleep" => {
                self.opcode.take("u32");
                Some(Action::Nothing)
            }
            // Warps run one after the other, and see all that the others have written.
            "membar" | "fence" => {
                if self.opcode.take("proxy") {
                    return self.proxy_fence();
                }
                let known = ["gl", "cta", "sys", "gpu", "cluster", "sc", "acq_rel", "acquire", "release"];
                while self.opcode.take_map(|part| known.contains(&part).then_some(())).is_some() {}
                Some(Action::Nothing)
            }
            "bar" | "barrier" => self.barrier(),
            _ => None,
        }
    }

    /// Of shared memory alone, or of all.
    fn proxy_fence(&mut self) -> Option<Action> {
        self.opcode.take("shared::cta");
        if !self.opcode.take("async") {
            return None;
        }
        task(|warp, mask| {
            warp.watch.fence(mask);
            Ok(())
        })
    }

    fn barrier(&mut self) -> Option<Action> {
        self.opcode.take("cta");
        self.opcode.take("aligned");
        if self.opcode.take("warp") {
            return self.warp_barrier();
        }
        if self.opcode.take("sync") {
            let threads = if self.has_arguments(2) { Some(self.source(1)?) } else { None };
            return Some(Action::Barrier(Barrier { number: self.source(0)?, threads, kind: BarrierKind::Wait }));
        }
        if self.opcode.take("arrive") {
            let threads = Some(self.source(1)?);
            return Some(Action::Barrier(Barrier { number: self.source(0)?, threads, kind: BarrierKind::Arrive }));
        }
        if !self.opcode.take("red") {
            return None;
        }
        let last = self.flat.arguments.len().checked_sub(1)?;
        let threads = if last == 3 { Some(self.source(2)?) } else { None };
        let condition = self.condition(last)?;
        let number = self.source(1)?;
        let kind = if self.opcode.take("popc") {
            self.opcode.take("u32");
            BarrierKind::Count { result: self.destination(0)?, condition }
        } else {
            let all = self.opcode.take("and");
            if !all && !self.opcode.take("or") {
                return None;
            }
            self.opcode.take("pred");
            BarrierKind::Vote { result: self.predicate_of(self.argument(0)?)??, condition, all }
        };
        Some(Action::Barrier(Barrier { number, threads, kind }))
    }
}
