//! State spaces: what addresses mean, and what may be touched.

use super::registers::{Mask, WARP, lanes};
use crate::fault::FaultKind;
use crate::memory::Memory;
pub(crate) use crate::syntax::Space;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

/// Generic addresses of shared, local and parameter memory are their own addresses and these, which no address of a host reaches.
const SHARED_WINDOW: u64 = 1 << 60;
const LOCAL_WINDOW: u64 = 2 << 60;
const PARAMETER_WINDOW: u64 = 3 << 60;

/// What is added to an address of a space to make it a generic one.
pub(crate) fn window(space: Space) -> u64 {
    match space {
        Space::Shared => SHARED_WINDOW,
        Space::Local => LOCAL_WINDOW,
        Space::Parameter => PARAMETER_WINDOW,
        Space::Global | Space::Const | Space::Generic => 0,
    }
}

/// The space of a generic address.
pub(crate) fn space_of(address: u64) -> Space {
    match address >> 60 {
        0 => Space::Global,
        1 => Space::Shared,
        2 => Space::Local,
        3 => Space::Parameter,
        _ => Space::Generic,
    }
}

/// Generic addresses that belong together.
#[derive(Clone, Copy, Debug)]
struct Range {
    begin: u64,
    bytes: u64,
    /// Where lane 0 finds them in the host's memory.
    host: *mut u8,
    /// How much further each next lane finds them: local memory is each lane's own.
    stride: usize,
}

impl Range {
    const EMPTY: Self = Self { begin: 0, bytes: 0, host: std::ptr::null_mut(), stride: 0 };

    /// Whether `bytes` bytes at an address lie in it.
    #[inline(always)]
    fn contains(&self, address: u64, bytes: u64) -> bool {
        address >= self.begin && bytes <= self.bytes && address - self.begin <= self.bytes - bytes
    }

    #[inline(always)]
    fn pointer(&self, address: u64, lane: usize) -> *mut u8 {
        self.host.wrapping_add((address - self.begin) as usize).wrapping_add(lane * self.stride)
    }
}

/// Global memory as a launch finds it.
#[derive(Clone, Debug)]
pub(crate) struct Global<'a> {
    ranges: Arc<[Range]>,
    memory: PhantomData<&'a Memory>,
}

// SAFETY: what the pointers point to is only accessed by atomic operations while a launch runs.
unsafe impl Send for Global<'_> {}
// SAFETY: as above.
unsafe impl Sync for Global<'_> {}

impl<'a> Global<'a> {
    pub(crate) fn new(memory: &'a Memory) -> Self {
        let range = |(begin, bytes): (u64, usize)| Range {
            begin,
            bytes: bytes as u64,
            host: std::ptr::with_exposed_provenance_mut(begin as usize),
            stride: 0,
        };
        Self { ranges: memory.allocations().map(range).collect(), memory: PhantomData }
    }
}

/// Memory that only this thread uses, through any number of references; aligned for any access.
#[derive(Debug)]
pub(crate) struct Buffer {
    words: Box<[UnsafeCell<u128>]>,
    bytes: usize,
}

impl Buffer {
    /// Full of 0xFF bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let words = bytes.div_ceil(size_of::<u128>());
        Self { words: (0..words).map(|_| UnsafeCell::new(u128::MAX)).collect(), bytes }
    }

    /// Holds these bytes.
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        let mut buffer = Self::new(bytes.len());
        for (word, bytes) in buffer.words.iter_mut().zip(bytes.chunks(size_of::<u128>())) {
            let mut whole = [0xFF; size_of::<u128>()];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word.get_mut() = u128::from_ne_bytes(whole);
        }
        buffer
    }

    /// Fills it with 0xFF bytes again.
    pub(crate) fn fill(&self) {
        for word in &self.words {
            // SAFETY: a buffer is not `Sync` and hands out no references.
            unsafe { *word.get() = u128::MAX };
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it begins in the host's memory.
    pub(super) fn base(&self) -> *mut u8 {
        UnsafeCell::raw_get(self.words.as_ptr()).cast()
    }

    fn range(&self, begin: u64) -> Range {
        Range { begin, bytes: self.bytes as u64, host: self.base(), stride: 0 }
    }
}

/// What a lane did that ends the launch.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) lane: usize,
    pub(crate) kind: FaultKind,
}

/// The memory that a warp can reach.
#[derive(Debug)]
pub(crate) struct Spaces<'a> {
    global: Global<'a>,
    shared: Range,
    local: Range,
    parameters: Range,
    /// The range of global memory that was used last: most likely the next access is to it too.
    recent: Range,
    local_buffer: Buffer,
    /// Keeps what the other ranges point to.
    _buffers: [Rc<Buffer>; 2],
}

impl<'a> Spaces<'a> {
    /// `shared` and `parameters` are used by all warps of the block.
    pub(crate) fn new(global: Global<'a>, shared: Rc<Buffer>, parameters: Rc<Buffer>, local_bytes: usize) -> Self {
        // Each lane's part begins as aligned as the whole.
        let stride = local_bytes.next_multiple_of(size_of::<u128>());
        let local_buffer = Buffer::new(stride * WARP);
        let local = Range { bytes: local_bytes as u64, stride, ..local_buffer.range(LOCAL_WINDOW) };
        let shared_range = shared.range(SHARED_WINDOW);
        let parameters_range = parameters.range(PARAMETER_WINDOW);
        Self {
            global,
            shared: shared_range,
            local,
            parameters: parameters_range,
            recent: Range::EMPTY,
            local_buffer,
            _buffers: [shared, parameters],
        }
    }

    /// Forgets what a block before left in local memory.
    pub(super) fn start(&self) {
        self.local_buffer.fill();
    }

    /// Where the lanes of `mask`, which is not empty, find `bytes` bytes at their addresses of a space. The other lanes are told where
    /// one of these lanes finds them, so that every pointer is valid.
    #[inline(always)]
    pub(crate) fn locate(
        &mut self,
        space: Space,
        addresses: &[u64; WARP],
        mask: Mask,
        bytes: usize,
    ) -> Result<[*mut u8; WARP], Trouble> {
        let window = window(space);
        let first = addresses[mask.trailing_zeros() as usize % WARP];
        let mut generic = [first.wrapping_add(window); WARP];
        if mask == Mask::MAX {
            for lane in 0..WARP {
                generic[lane] = addresses[lane].wrapping_add(window);
            }
        } else {
            for lane in lanes(mask) {
                generic[lane] = addresses[lane].wrapping_add(window);
            }
        }
        let size = bytes as u64;
        if let Some(range) = self.range(space, first.wrapping_add(window), size) {
            // Most likely all lanes are in the same range. The highest bit of these differences tells who is outside, as neither ranges nor
            // accesses are so large.
            let limit = range.bytes - size;
            let (mut outside, mut unaligned) = (0, 0);
            let mut pointers = [std::ptr::null_mut(); WARP];
            for lane in 0..WARP {
                let offset = generic[lane].wrapping_sub(range.begin);
                outside |= offset | limit.wrapping_sub(offset);
                unaligned |= generic[lane];
                pointers[lane] = range.host.wrapping_add(offset as usize);
            }
            if range.stride != 0 {
                for (lane, pointer) in pointers.iter_mut().enumerate() {
                    *pointer = pointer.wrapping_add(lane * range.stride);
                }
            }
            if outside >> 63 == 0 && unaligned & (size - 1) == 0 {
                return Ok(pointers);
            }
        }
        self.locate_each(space, &generic, mask, bytes)
    }

    /// [`Self::locate`] for lanes that are in different places, or in a wrong one.
    #[cold]
    fn locate_each(
        &mut self,
        space: Space,
        generic: &[u64; WARP],
        mask: Mask,
        bytes: usize,
    ) -> Result<[*mut u8; WARP], Trouble> {
        let mut pointers = [std::ptr::null_mut(); WARP];
        for lane in lanes(mask) {
            let address = generic[lane];
            let Some(range) = self.range(space, address, bytes as u64) else {
                let kind = FaultKind::OutOfBounds { address: address.wrapping_sub(window(space)), bytes };
                return Err(Trouble { lane, kind });
            };
            if !address.is_multiple_of(bytes as u64) {
                let kind = FaultKind::Misaligned { address: address.wrapping_sub(window(space)), alignment: bytes };
                return Err(Trouble { lane, kind });
            }
            pointers[lane] = range.pointer(address, lane);
        }
        let first = pointers[mask.trailing_zeros() as usize % WARP];
        Ok(std::array::from_fn(|lane| if mask >> lane & 1 == 1 { pointers[lane] } else { first }))
    }

    /// The range in which `bytes` bytes at a generic address lie.
    #[inline(always)]
    fn range(&mut self, space: Space, address: u64, bytes: u64) -> Option<Range> {
        let range = match space {
            Space::Shared => self.shared,
            Space::Local => self.local,
            Space::Parameter => self.parameters,
            Space::Global | Space::Const => return self.global_range(address, bytes),
            Space::Generic => match space_of(address) {
                Space::Global => return self.global_range(address, bytes),
                Space::Shared => self.shared,
                Space::Local => self.local,
                Space::Parameter => self.parameters,
                Space::Const | Space::Generic => return None,
            },
        };
        range.contains(address, bytes).then_some(range)
    }

    #[inline(always)]
    fn global_range(&mut self, address: u64, bytes: u64) -> Option<Range> {
        if self.recent.contains(address, bytes) { Some(self.recent) } else { self.other_range(address, bytes) }
    }

    #[inline(never)]
    fn other_range(&mut self, address: u64, bytes: u64) -> Option<Range> {
        let ranges = &self.global.ranges;
        let range = ranges[ranges.partition_point(|range| range.begin <= address).checked_sub(1)?];
        if !range.contains(address, bytes) {
            return None;
        }
        self.recent = range;
        Some(range)
    }
}
