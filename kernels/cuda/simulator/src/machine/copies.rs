//! Asynchronous copies that are under way.

use super::registers::{Mask, WARP};
use super::shadow::Watch;
use super::stored::Stored;

/// A copy of `read` of `bytes` bytes, followed by zeros.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    pub(crate) to: *mut u8,
    pub(crate) from: *mut u8,
    pub(crate) bytes: usize,
    pub(crate) read: usize,
}

impl Copy {
    /// # Safety
    /// `to` is valid for atomic writes of `bytes` bytes and `from` for atomic reads of `read` bytes; both are aligned to 4 bytes, and
    /// `bytes` is a multiple of 4.
    unsafe fn run(self) {
        for word in 0..self.bytes / 4 {
            let known = self.read.saturating_sub(4 * word);
            let from = self.from.wrapping_add(4 * word);
            // SAFETY: as many bytes are read as are known.
            let value = unsafe {
                if known >= 4 {
                    u32::load(from)
                } else {
                    (0..known).fold(0, |value, byte| value | u32::from(u8::load(from.wrapping_add(byte))) << (8 * byte))
                }
            };
            // SAFETY: the word is one of `bytes` bytes.
            unsafe { u32::store(self.to.wrapping_add(4 * word), value) };
        }
    }
}

/// The copies of a warp's threads, none of which was done.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// Lane, number of the lane's group, and copy, in the order in which they were begun.
    pending: Vec<(usize, u64, Copy)>,
    /// How many groups each lane has committed.
    committed: [u64; WARP],
}

impl Copies {
    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
        self.committed = [0; WARP];
    }

    /// Begins a copy.
    ///
    /// # Safety
    /// Until [`Self::clear`] is called, `to` is valid for atomic writes of `bytes` bytes and `from` for atomic reads of `read` bytes; both
    /// are aligned to 4 bytes, and `bytes` is a multiple of 4.
    pub(crate) unsafe fn add(&mut self, lane: usize, copy: Copy) {
        self.pending.push((lane, self.committed[lane], copy));
    }

    /// Ends a group of each lane.
    pub(crate) fn commit(&mut self, mask: Mask) {
        for (lane, committed) in self.committed.iter_mut().enumerate() {
            *committed += u64::from(mask >> lane & 1);
        }
    }

    /// Does the copies of all groups but the last `pending` that were committed.
    pub(crate) fn wait_group(&mut self, mask: Mask, pending: u64, watch: &Watch) {
        let committed = self.committed;
        self.finish(mask, watch, |lane, group| group + pending < committed[lane]);
    }

    /// Does all copies, committed or not.
    pub(crate) fn wait_all(&mut self, mask: Mask, watch: &Watch) {
        self.finish(mask, watch, |_, _| true);
    }

    fn finish(&mut self, mask: Mask, watch: &Watch, is_due: impl Fn(usize, u64) -> bool) {
        self.pending.retain(|(lane, group, copy)| {
            let is_due = mask >> lane & 1 == 1 && is_due(*lane, *group);
            if is_due {
                // SAFETY: whoever called `add` has promised that both are valid and aligned.
                unsafe { copy.run() };
                watch.end_copy(*lane, copy.to, copy.bytes);
            }
            !is_due
        });
    }
}
