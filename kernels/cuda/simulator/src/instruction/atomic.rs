//! Atomic operations on memory.

use super::compare::flush;
use super::decoder::task;
use super::load_store::Place;
use super::opcode::Type;
use super::{Action, Decoder};
use crate::machine::{Lane, Slot, Space, Stored, WARP, lanes, space_of, window};
use crate::number::{Bf16, F16, Small};

/// How a value lies in memory.
trait Bits: Lane {
    type Stored: Stored;
    fn to_bits(self) -> Self::Stored;
    fn from_bits(bits: Self::Stored) -> Self;
}

macro_rules! bits {
    ($($T:ty, $S:ty, $value:ident => $to:expr, $stored:ident => $from:expr;)*) => {
        $(
            impl Bits for $T {
                type Stored = $S;

                fn to_bits(self) -> $S {
                    let $value = self;
                    $to
                }

                fn from_bits($stored: $S) -> Self {
                    $from
                }
            }
        )*
    };
}

bits! {
    u16, u16, x => x, s => s;
    u32, u32, x => x, s => s;
    u64, u64, x => x, s => s;
    i32, u32, x => x as u32, s => s as i32;
    i64, u64, x => x as u64, s => s as i64;
    f32, u32, x => x.to_bits(), s => f32::from_bits(s);
    f64, u64, x => x.to_bits(), s => f64::from_bits(s);
    F16, u16, x => x.0, s => F16(s);
    Bf16, u16, x => x.0, s => Bf16(s);
    [F16; 2], u32, x => u32::from(x[1].0) << 16 | u32::from(x[0].0), s => [F16(s as u16), F16((s >> 16) as u16)];
    [Bf16; 2], u32, x => u32::from(x[1].0) << 16 | u32::from(x[0].0), s => [Bf16(s as u16), Bf16((s >> 16) as u16)];
}

impl Decoder<'_, '_> {
    /// PTX ISA, "Parallel Synchronization and Communication Instructions: atom, red".
    pub(super) fn atomic(&mut self) -> Option<Action> {
        let order = |part: &str| {
            let known = ["relaxed", "acquire", "release", "acq_rel", "cta", "cluster", "gpu", "sys", "noftz"];
            known.contains(&part).then_some(())
        };
        let space = self.space().unwrap_or(Space::Generic);
        while self.opcode.take_map(order).is_some() {}
        let operations = ["add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"];
        let operation = self.opcode.take_map(|part| operations.iter().find(|name| **name == part).copied())?;
        match (operation, self.opcode.take_type()?) {
            ("add", Type::U32 | Type::S32) => self.update(space, |old: u32, b, _| old.wrapping_add(b)),
            ("add", Type::U64 | Type::S64) => self.update(space, |old: u64, b, _| old.wrapping_add(b)),
            ("add", Type::F32) => self.add_single(space),
            ("add", Type::F64) => self.update(space, |old: f64, b, _| old + b),
            ("add", Type::F16) => self.update(space, |old: F16, b, _| old.add(b)),
            ("add", Type::Bf16) => self.update(space, |old: Bf16, b, _| old.add(b)),
            ("add", Type::F16x2) => self.update(space, |old: [F16; 2], b, _| [old[0].add(b[0]), old[1].add(b[1])]),
            ("add", Type::Bf16x2) => self.update(space, |old: [Bf16; 2], b, _| [old[0].add(b[0]), old[1].add(b[1])]),
            ("min", Type::U32) => self.update(space, |old: u32, b, _| old.min(b)),
            ("min", Type::S32) => self.update(space, |old: i32, b, _| old.min(b)),
            ("min", Type::U64) => self.update(space, |old: u64, b, _| old.min(b)),
            ("min", Type::S64) => self.update(space, |old: i64, b, _| old.min(b)),
            ("max", Type::U32) => self.update(space, |old: u32, b, _| old.max(b)),
            ("max", Type::S32) => self.update(space, |old: i32, b, _| old.max(b)),
            ("max", Type::U64) => self.update(space, |old: u64, b, _| old.max(b)),
            ("max", Type::S64) => self.update(space, |old: i64, b, _| old.max(b)),
            ("and", Type::B32) => self.update(space, |old: u32, b, _| old & b),
            ("and", Type::B64) => self.update(space, |old: u64, b, _| old & b),
            ("or", Type::B32) => self.update(space, |old: u32, b, _| old | b),
            ("or", Type::B64) => self.update(space, |old: u64, b, _| old | b),
            ("xor", Type::B32) => self.update(space, |old: u32, b, _| old ^ b),
            ("xor", Type::B64) => self.update(space, |old: u64, b, _| old ^ b),
            ("exch", Type::B32) => self.update(space, |_: u32, b, _| b),
            ("exch", Type::B64) => self.update(space, |_: u64, b, _| b),
            ("cas", Type::B16) => self.update(space, |old: u16, b, c| if old == b { c } else { old }),
            ("cas", Type::B32) => self.update(space, |old: u32, b, c| if old == b { c } else { old }),
            ("cas", Type::B64) => self.update(space, |old: u64, b, c| if old == b { c } else { old }),
            ("inc", Type::U32) => self.update(space, |old: u32, b, _| if old >= b { 0 } else { old + 1 }),
            ("dec", Type::U32) => self.update(space, |old: u32, b, _| if old == 0 || old > b { b } else { old - 1 }),
            _ => None,
        }
    }

    /// The ISA says of `atom.add.f32` that it takes numbers without hidden bit for zeros in global memory only.
    fn add_single(&mut self, space: Space) -> Option<Action> {
        self.update_at(space, |address, old: f32, b, _| {
            let flushes = space_of(address) == Space::Global;
            flush(flush(old, flushes) + flush(b, flushes), flushes)
        })
    }

    fn update<T: Bits>(&mut self, space: Space, f: impl Fn(T, T, T) -> T + Send + Sync + 'static) -> Option<Action> {
        self.update_at(space, move |_, old, b, c| f(old, b, c))
    }

    /// `f` is given the generic address, what is there and the operands, and says what will be there.
    fn update_at<T: Bits>(
        &mut self,
        space: Space,
        f: impl Fn(u64, T, T, T) -> T + Send + Sync + 'static,
    ) -> Option<Action> {
        let first = usize::from(self.opcode.name == "atom");
        let result: Option<Slot<T>> = if first == 1 { Some(self.destination(0)?) } else { None };
        let place: Place = self.place(first, space)?;
        let b: Slot<T> = self.source(first + 1)?;
        let c: Slot<T> = if self.has_arguments(first + 3) { self.source(first + 2)? } else { b };
        task(move |warp, mask| {
            let addresses = place.addresses(&warp.registers);
            let pointers = warp.spaces.locate(place.space, &addresses, mask, size_of::<T::Stored>())?;
            warp.watch.write(&pointers, mask, size_of::<T::Stored>())?;
            let (b, c) = (warp.registers.get(b), warp.registers.get(c));
            let mut before = [T::ZERO; WARP];
            for lane in lanes(mask) {
                let generic = addresses[lane].wrapping_add(window(place.space));
                // SAFETY: `locate` has found that this may be read and written there, and that it is aligned.
                let mut old = unsafe { T::Stored::load(pointers[lane]) };
                loop {
                    let new = f(generic, T::from_bits(old), b[lane], c[lane]).to_bits();
                    // SAFETY: as above.
                    match unsafe { T::Stored::exchange(pointers[lane], old, new) } {
                        Ok(()) => break,
                        Err(other) => old = other,
                    }
                }
                before[lane] = T::from_bits(old);
            }
            if let Some(result) = result {
                warp.registers.set(result, mask, &before);
            }
            Ok(())
        })
    }
}
