//! An allocator that keeps large blocks for the next one who asks.
//!
//! A network call makes and drops hundreds of buffers of megabytes. Fresh from the system, each of their pages costs a fault
//! and a clearing, about a tenth of a step; general allocators give such blocks back soon. This one keeps them, asks for huge
//! pages, and leaves all that is smaller to another allocator.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Mutex;

/// Blocks of at least so many bytes are kept.
const LARGE: usize = 1 << 20;
/// Blocks that are kept at most.
const MOST_KEPT: usize = 1024;
/// What is held may exceed what was ever in use at once by so many bytes.
const SLACK: usize = 256 << 20;

static LARGE_BLOCKS: Mutex<LargeBlocks> = Mutex::new(LargeBlocks {
    kept: [(0, 0); MOST_KEPT],
    count: 0,
    statistics: Statistics { used: 0, kept: 0, peak: 0, asked: 0 },
});

/// `A`, and beside it large blocks that are used again.
///
/// Beside the blocks in use it holds no more than what was once in use at the same time, and 256 MiB.
#[derive(Debug)]
pub struct BufferAllocator<A>(A);

/// What large blocks a process has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    pub used: usize,
    /// Kept for later.
    pub kept: usize,
    /// The most that was in use at once.
    pub peak: usize,
    /// How often the system was asked for a block.
    pub asked: u64,
}

impl<A> BufferAllocator<A> {
    /// `small` serves what is not large.
    pub const fn new(small: A) -> Self {
        Self(small)
    }

    /// About the large blocks of all allocators of this type.
    pub fn statistics() -> Statistics {
        with_blocks(|blocks| blocks.statistics)
    }
}

// SAFETY: small blocks are the other allocator's affair. A large one is a mapping of its own, or a kept one that nobody uses;
// its size follows from the layout alone, so it is the same when the block comes back. Pages satisfy every alignment that
// `is_large` lets through.
unsafe impl<A: GlobalAlloc> GlobalAlloc for BufferAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match size(layout) {
            Some(size) => take(size).0,
            // SAFETY: the caller's promise is passed on.
            None => unsafe { self.0.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(size) = size(layout) else {
            // SAFETY: the caller's promise is passed on.
            return unsafe { self.0.alloc_zeroed(layout) };
        };
        let (block, used_before) = take(size);
        if used_before {
            // SAFETY: the block has at least `layout.size()` bytes.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match size(layout) {
            Some(size) => give_back(block, size),
            // SAFETY: the caller's promise is passed on.
            None => unsafe { self.0.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `new_size`, rounded up to the alignment, does not overflow.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (size(layout), size(new)) {
            // SAFETY: the caller's promise is passed on.
            (None, None) => unsafe { self.0.realloc(block, layout, new_size) },
            (Some(old), Some(new)) if old == new => block,
            _ => {
                // SAFETY: the new block is another one, and both have at least the smaller number of bytes.
                unsafe {
                    let moved = self.alloc(new);
                    if !moved.is_null() {
                        moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

/// The size of the block for a large layout, whole pages: one of eight sizes between two powers of two, so that buffers of
/// about the same size can take each other's place. None for what the other allocator serves.
fn size(layout: Layout) -> Option<usize> {
    if !cfg!(unix) || layout.size() < LARGE || layout.align() > 4096 || layout.size() > isize::MAX as usize / 2 {
        return None;
    }
    Some(layout.size().next_multiple_of((1 << layout.size().ilog2()) / 8))
}

/// Blocks that nobody uses, the oldest first.
struct LargeBlocks {
    /// Address and size.
    kept: [(usize, usize); MOST_KEPT],
    count: usize,
    statistics: Statistics,
}

impl LargeBlocks {
    /// Removes the kept block at `index`.
    fn remove(&mut self, index: usize) -> (usize, usize) {
        let block = self.kept[index];
        self.kept.copy_within(index + 1..self.count, index);
        self.count -= 1;
        self.statistics.kept -= block.1;
        block
    }

    fn evict_oldest(&mut self) {
        let (address, size) = self.remove(0);
        system::unmap(address as *mut u8, size);
    }

    fn used(&mut self, size: usize) {
        self.statistics.used += size;
        self.statistics.peak = self.statistics.peak.max(self.statistics.used);
    }
}

fn with_blocks<R>(f: impl FnOnce(&mut LargeBlocks) -> R) -> R {
    // Nothing below panics while the lock is held; if something did, the list would still be whole.
    f(&mut LARGE_BLOCKS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

/// A block, null if there is none, and whether it was used before.
fn take(size: usize) -> (*mut u8, bool) {
    with_blocks(|blocks| {
        // The youngest is the likeliest to be in a cache still.
        if let Some(index) = (0..blocks.count).rev().find(|i| blocks.kept[*i].1 == size) {
            let (address, _) = blocks.remove(index);
            blocks.used(size);
            return (address as *mut u8, true);
        }
        let Statistics { used, peak, .. } = blocks.statistics;
        let most = peak.max(used + size) + SLACK;
        while blocks.count > 0 && used + size + blocks.statistics.kept > most {
            blocks.evict_oldest();
        }
        let block = system::map(size);
        if !block.is_null() {
            blocks.used(size);
            blocks.statistics.asked += 1;
        }
        (block, false)
    })
}

fn give_back(block: *mut u8, size: usize) {
    with_blocks(|blocks| {
        blocks.statistics.used -= size;
        if blocks.count == MOST_KEPT {
            blocks.evict_oldest();
        }
        blocks.kept[blocks.count] = (block as usize, size);
        blocks.count += 1;
        blocks.statistics.kept += size;
    });
}

#[cfg(unix)]
mod system {
    //! Memory straight from the operating system.

    /// The size of a huge page on x86-64 and most others.
    const HUGE: usize = 2 << 20;

    /// `size` zero bytes, at the beginning of a huge page if they fill one; null if there are none.
    pub(super) fn map(size: usize) -> *mut u8 {
        let length = if size < HUGE { size } else { size + HUGE };
        let (read_write, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
        // SAFETY: a new mapping touches nothing that exists.
        let mapped = unsafe { libc::mmap(std::ptr::null_mut(), length, read_write, private, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return std::ptr::null_mut();
        }
        let mapped: *mut u8 = mapped.cast();
        if length == size {
            return mapped;
        }
        let before = mapped.align_offset(HUGE);
        // SAFETY: both ends lie within the new mapping, outside of the block.
        let block = unsafe {
            let block = mapped.add(before);
            unmap(mapped, before);
            unmap(block.add(size), length - before - size);
            block
        };
        #[cfg(target_os = "linux")]
        // SAFETY: advice about the block, which is ours. Where it is not taken, pages stay small.
        unsafe {
            libc::madvise(block.cast(), size, libc::MADV_HUGEPAGE);
        }
        block
    }

    /// Gives `size` bytes of a mapping that nobody uses back to the system.
    pub(super) fn unmap(block: *mut u8, size: usize) {
        if size > 0 {
            // SAFETY: the callers own these bytes, and nothing points into them any more.
            unsafe { libc::munmap(block.cast(), size) };
        }
    }
}

#[cfg(not(unix))]
mod system {
    //! Elsewhere no block is large: see `size`.

    pub(super) fn map(_size: usize) -> *mut u8 {
        std::ptr::null_mut()
    }

    pub(super) fn unmap(_block: *mut u8, _size: usize) {}
}
