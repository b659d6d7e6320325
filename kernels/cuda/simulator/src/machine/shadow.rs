//! What is under way in a block's shared memory, word by word: shadow memory, as tools that look for races keep it.
//!
//! `cp.async` writes shared memory while the threads go on, and `wgmma` reads it, by another way than they write it (PTX ISA, "Async
//! proxy"): what is found would depend on the moment. The simulator writes and reads at one moment, and faults where any other that the
//! ISA allows could give something else.

use super::registers::{Mask, WARP, lanes};
use super::space::Trouble;
use crate::fault::FaultKind;
use std::cell::RefCell;
use std::rc::Rc;

/// Bytes of a word. Threads that write parts of the same word are taken for the last of them.
const WORD: usize = 4;

/// Warps of a warpgroup.
pub(crate) const WARPGROUP: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Word {
    /// The thread of the block that wrote it last, and how many proxy fences that thread had executed.
    written: Option<(u16, u32)>,
    /// Copies to it that were begun and not waited for.
    copies: u16,
    /// Matrix instructions that read it, and were not waited for.
    reads: u16,
}

/// A matrix instruction of a warpgroup: where it stands in the program, and its descriptors.
type Issued = (usize, [u64; 2]);

#[derive(Debug)]
struct Shadow {
    words: Vec<Word>,
    /// Proxy fences that each thread has executed.
    fences: Vec<u32>,
    /// What each warpgroup was told to multiply, by the first warp that came to it.
    issued: Vec<Vec<Issued>>,
}

/// A warp's view of its block's shadow memory. There is none in kernels without asynchronous instructions.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// The warp's number in the block.
    warp: usize,
    /// Where shared memory begins in the host's memory.
    base: *mut u8,
    shadow: Option<Rc<RefCell<Shadow>>>,
}

impl Watch {
    /// Views of a block's warps.
    pub(super) fn of_block(warps: usize, base: *mut u8, bytes: usize, is_needed: bool) -> Vec<Self> {
        let shadow = is_needed.then(|| {
            Rc::new(RefCell::new(Shadow {
                words: vec![Word::default(); bytes.div_ceil(WORD)],
                fences: vec![0; warps * WARP],
                issued: vec![Vec::new(); warps / WARPGROUP],
            }))
        });
        (0..warps).map(|warp| Self { warp, base, shadow: shadow.clone() }).collect()
    }

    /// Forgets all: another block begins.
    pub(super) fn clear(&self) {
        let Some(shadow) = &self.shadow else { return };
        let shadow = &mut *shadow.borrow_mut();
        shadow.words.fill(Word::default());
        shadow.fences.fill(0);
        shadow.issued.iter_mut().for_each(Vec::clear);
    }

    /// The warp's number in its warpgroup.
    pub(crate) fn rank(&self) -> usize {
        self.warp % WARPGROUP
    }

    /// Lanes are about to write so many bytes each.
    #[inline(always)]
    pub(crate) fn write(&self, pointers: &[*mut u8; WARP], mask: Mask, bytes: usize) -> Result<(), Trouble> {
        match &self.shadow {
            None => Ok(()),
            Some(shadow) => lanes(mask).try_for_each(|lane| {
                self.change(shadow, lane, pointers[lane], bytes, |word, writer| {
                    word.written = Some(writer);
                    word.reads == 0 && word.copies == 0
                })
            }),
        }
    }

    /// A copy to shared memory begins.
    pub(crate) fn begin_copy(&self, lane: usize, to: *mut u8, bytes: usize) -> Result<(), Trouble> {
        let Some(shadow) = &self.shadow else { return Ok(()) };
        self.change(shadow, lane, to, bytes, |word, _| {
            word.copies += 1;
            word.reads == 0 && word.copies == 1
        })
    }

    /// A copy was waited for, and is done now.
    pub(super) fn end_copy(&self, lane: usize, to: *mut u8, bytes: usize) {
        let Some(shadow) = &self.shadow else { return };
        let done = self.change(shadow, lane, to, bytes, |word, writer| {
            word.copies -= 1;
            word.written = Some(writer);
            true
        });
        debug_assert!(done.is_ok(), "only a copy that has begun can end");
    }

    /// Changes what is known of the words of some bytes that a lane writes. It is told the thread's number and its fences, and says
    /// whether that may be.
    fn change(
        &self,
        shadow: &RefCell<Shadow>,
        lane: usize,
        pointer: *mut u8,
        bytes: usize,
        mut change: impl FnMut(&mut Word, (u16, u32)) -> bool,
    ) -> Result<(), Trouble> {
        let shadow = &mut *shadow.borrow_mut();
        let thread = self.warp * WARP + lane;
        let writer = (thread as u16, shadow.fences[thread]);
        let offset = pointer.addr().wrapping_sub(self.base.addr());
        // Whatever lies elsewhere is no shared memory.
        if offset >= shadow.words.len() * WORD {
            return Ok(());
        }
        for (index, word) in shadow.words[offset / WORD..(offset + bytes).div_ceil(WORD)].iter_mut().enumerate() {
            if !change(word, writer) {
                let address = (offset / WORD + index) * WORD;
                return Err(Trouble { lane, kind: FaultKind::Race { address: address as u64 } });
            }
        }
        Ok(())
    }

    /// `fence.proxy.async`: what these lanes have written so far may be read by matrix instructions.
    pub(crate) fn fence(&self, mask: Mask) {
        let Some(shadow) = &self.shadow else { return };
        let fences = &mut shadow.borrow_mut().fences;
        lanes(mask).for_each(|lane| fences[self.warp * WARP + lane] += 1);
    }

    /// A matrix instruction is issued, which all warps of the warpgroup have to agree on.
    pub(super) fn issue(&self, turn: usize, issued: Issued) -> Result<(), FaultKind> {
        let Some(shadow) = &self.shadow else { return Ok(()) };
        let shadow = &mut *shadow.borrow_mut();
        let Some(group) = shadow.issued.get_mut(self.warp / WARPGROUP) else {
            return Err(FaultKind::Warpgroup("the warp belongs to no whole warpgroup".into()));
        };
        match group.get(turn) {
            None => group.push(issued),
            Some(other) if *other == issued => {}
            Some(_) => {
                let message = "the warps of a warpgroup execute different instructions, or with different descriptors";
                return Err(FaultKind::Warpgroup(message.into()));
            }
        }
        Ok(())
    }

    /// A matrix instruction begins to read so many bytes at each address.
    pub(crate) fn begin_read(&self, addresses: &[u32], bytes: usize) -> Result<(), FaultKind> {
        let Some(shadow) = &self.shadow else { return Ok(()) };
        let Shadow { words, fences, .. } = &mut *shadow.borrow_mut();
        for address in addresses {
            let first = *address as usize / WORD;
            for (index, word) in words[first..first + bytes / WORD].iter_mut().enumerate() {
                let address = ((first + index) * WORD) as u64;
                if word.copies > 0 {
                    return Err(FaultKind::Race { address });
                }
                if word.written.is_some_and(|(thread, before)| fences[usize::from(thread)] == before) {
                    return Err(FaultKind::Proxy { address });
                }
                word.reads += 1;
            }
        }
        Ok(())
    }

    /// A matrix instruction has read what it had begun to.
    pub(super) fn end_read(&self, addresses: &[u32], bytes: usize) {
        let Some(shadow) = &self.shadow else { return };
        let words = &mut shadow.borrow_mut().words;
        for address in addresses {
            let first = *address as usize / WORD;
            words[first..first + bytes / WORD].iter_mut().for_each(|word| word.reads -= 1);
        }
    }
}
