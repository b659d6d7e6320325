//! The registers of a warp.

use crate::assemble::Place;
use crate::syntax::RegisterKind;
use std::marker::PhantomData;

/// Threads of a warp.
pub(crate) const WARP: usize = 32;

/// A bit for each lane of a warp.
pub(crate) type Mask = u32;

/// What a register holds for one lane.
///
/// # Safety
/// Any bits are a value, and the size is 2, 4 or 8 bytes.
pub(crate) unsafe trait Lane: Copy + Send + Sync + 'static {
    const ZERO: Self;
}

macro_rules! lane {
    ($($name:ty = $zero:expr),*) => {
        $(
            // SAFETY: a number of 2, 4 or 8 bytes.
            unsafe impl Lane for $name {
                const ZERO: Self = $zero;
            }
        )*
    };
}

lane!(u16 = 0, i16 = 0, u32 = 0, i32 = 0, f32 = 0.0, u64 = 0, i64 = 0, f64 = 0.0);

/// A register of all lanes: where it begins in the file, in [`Line`]s.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    line: u32,
    lane: PhantomData<fn() -> T>,
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slot<T> {}

impl<T: Lane> Slot<T> {
    /// How many lines it takes.
    pub(crate) const LINES: usize = size_of::<[T; WARP]>() / size_of::<Line>();

    pub(crate) fn at(line: u32) -> Self {
        Self { line, lane: PhantomData }
    }
}

/// A predicate register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Predicate(pub(crate) u32);

impl Predicate {
    /// The carry flag of `add.cc` and others.
    pub(crate) const CARRY: Self = Self(0);
    /// Holds for every lane.
    pub(crate) const TRUE: Self = Self(1);
    /// The number of predicates that every function has.
    pub(crate) const RESERVED: u32 = 2;
}

/// A predicate or its contrary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) predicate: Predicate,
    pub(crate) negated: bool,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "only read through pointers to lanes")] [u8; 64]);

/// The registers of a warp, each lane's beside each other.
#[derive(Debug)]
pub(crate) struct Registers {
    lines: Vec<Line>,
    predicates: Vec<Mask>,
    /// Whether the processor has the instructions that [`super::lanes::work`] would like.
    pub(super) wide: bool,
}

impl Registers {
    pub(crate) fn new(lines: usize, predicates: usize, wide: bool) -> Self {
        let mut registers = Self { lines: vec![Line([0; 64]); lines], predicates: vec![0; predicates], wide };
        registers.set_predicate(Predicate::TRUE, Mask::MAX, Mask::MAX);
        registers
    }

    #[inline(always)]
    pub(crate) fn get<T: Lane>(&self, slot: Slot<T>) -> &[T; WARP] {
        let line = slot.line as usize;
        let lines = &self.lines[line..line + Slot::<T>::LINES];
        // SAFETY: the lines are as large as the array and aligned to more than `T`; any bits are a `T`.
        unsafe { &*lines.as_ptr().cast() }
    }

    #[inline(always)]
    pub(crate) fn get_mut<T: Lane>(&mut self, slot: Slot<T>) -> &mut [T; WARP] {
        let line = slot.line as usize;
        let lines = &mut self.lines[line..line + Slot::<T>::LINES];
        // SAFETY: the lines are as large as the array and aligned to more than `T`; any bits are a `T`, and any `T` is bytes.
        unsafe { &mut *lines.as_mut_ptr().cast() }
    }

    /// Writes the lanes of `mask`.
    #[inline(always)]
    pub(crate) fn set<T: Lane>(&mut self, slot: Slot<T>, mask: Mask, values: &[T; WARP]) {
        let register = self.get_mut(slot);
        if mask == Mask::MAX {
            *register = *values;
        } else {
            for lane in 0..WARP {
                register[lane] = if mask >> lane & 1 == 1 { values[lane] } else { register[lane] };
            }
        }
    }

    /// Writes the same bits to all lanes of a register.
    pub(super) fn fill(&mut self, place: Place, bits: u64) {
        match place.kind {
            RegisterKind::Predicate => {}
            RegisterKind::Bits16 => *self.get_mut(Slot::at(place.index)) = [bits as u16; WARP],
            RegisterKind::Bits32 => *self.get_mut(Slot::at(place.index)) = [bits as u32; WARP],
            RegisterKind::Bits64 => *self.get_mut(Slot::at(place.index)) = [bits; WARP],
        }
    }

    #[inline(always)]
    pub(crate) fn predicate(&self, predicate: Predicate) -> Mask {
        self.predicates[predicate.0 as usize]
    }

    /// The lanes for which a condition holds.
    #[inline(always)]
    pub(crate) fn condition(&self, condition: Condition) -> Mask {
        self.predicate(condition.predicate) ^ if condition.negated { Mask::MAX } else { 0 }
    }

    /// Writes the lanes of `mask`.
    #[inline(always)]
    pub(crate) fn set_predicate(&mut self, predicate: Predicate, mask: Mask, values: Mask) {
        let register = &mut self.predicates[predicate.0 as usize];
        *register = *register & !mask | values & mask;
    }
}

/// The lanes of a mask, from the lowest.
#[inline(always)]
pub(crate) fn lanes(mut mask: Mask) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (lane < 32).then_some(lane as usize)
    })
}
