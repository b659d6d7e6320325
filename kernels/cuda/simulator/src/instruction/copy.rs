//! Asynchronous copies to shared memory.

use super::decoder::task;
use super::{Action, Decoder};
use crate::assemble::Arg;
use crate::machine::{Copy, Slot, Space, lanes};
use crate::syntax::Number;

/// How much of the source is read; the rest is filled with zeros.
#[derive(Clone, Copy, Debug)]
enum Read {
    All,
    Bytes(Slot<u32>),
}

impl Decoder<'_, '_> {
    /// PTX ISA, "cp.async", "cp.async.commit_group", "cp.async.wait_group / cp.async.wait_all". Nothing is copied before it is waited for,
    /// and sources are read as late: a kernel that forgets to wait finds what was there before.
    pub(super) fn asynchronous_copy(&mut self) -> Option<Action> {
        if !self.opcode.take("async") {
            return None;
        }
        if self.opcode.take("commit_group") {
            return task(|warp, mask| {
                warp.copies.commit(mask);
                Ok(())
            });
        }
        if self.opcode.take("wait_all") {
            return task(|warp, mask| {
                warp.copies.wait_all(mask, &warp.watch);
                Ok(())
            });
        }
        if self.opcode.take("wait_group") {
            let Arg::Number(Number::Integer(pending)) = self.argument(0)? else { return None };
            let pending = *pending;
            return task(move |warp, mask| {
                warp.copies.wait_group(mask, pending, &warp.watch);
                Ok(())
            });
        }
        if !self.opcode.take("ca") && !self.opcode.take("cg") {
            return None;
        }
        let spaces = (self.space()?, self.space()?);
        let has_policy = self.opcode.take("L2::cache_hint");
        while self.opcode.take_map(|part| part.starts_with("L2::").then_some(())).is_some() {}
        let (to, from) = (self.place(0, spaces.0)?, self.place(1, spaces.1)?);
        let Arg::Number(Number::Integer(bytes @ (4 | 8 | 16))) = self.argument(2)? else { return None };
        let bytes = *bytes as usize;
        let read = match self.flat.arguments.len() - usize::from(has_policy) {
            3 => Read::All,
            4 => Read::Bytes(self.source(3)?),
            _ => return None,
        };
        if spaces != (Space::Shared, Space::Global) {
            return None;
        }
        task(move |warp, mask| {
            let amounts = match read {
                Read::All => None,
                Read::Bytes(slot) => Some(*warp.registers.get(slot)),
            };
            let destinations = warp.spaces.locate(to.space, &to.addresses(&warp.registers), mask, bytes)?;
            // A thread that reads nothing may name any source.
            let reading = amounts.map_or(mask, |amounts| {
                lanes(mask).filter(|lane| amounts[*lane] > 0).fold(0, |reading, lane| reading | 1 << lane)
            });
            let sources = if reading == 0 {
                destinations
            } else {
                warp.spaces.locate(from.space, &from.addresses(&warp.registers), reading, bytes)?
            };
            for lane in lanes(mask) {
                warp.watch.begin_copy(lane, destinations[lane], bytes)?;
                let read = amounts.map_or(bytes, |amounts| (amounts[lane] as usize).min(bytes));
                // SAFETY: `locate` has found that `bytes` bytes may be written to the one, and if any is read, read from the other, as long
                // as the launch lasts; both are aligned to as much, which is 4 bytes or more.
                unsafe { warp.copies.add(lane, Copy { to: destinations[lane], from: sources[lane], bytes, read }) };
            }
            Ok(())
        })
    }
}
