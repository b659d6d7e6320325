//! Loads and stores.

use super::opcode::Type;
use super::{Action, Decoder};
use crate::assemble::Arg;
use crate::machine::{Effect, Lane, Mask, Registers, Slot, Space, Stored, Trouble, WARP, Warp, effect, lanes};
use crate::syntax::RegisterKind;
use std::marker::PhantomData;

/// Where a load or a store goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) space: Space,
    base: Base,
    offset: u64,
}

#[derive(Clone, Copy, Debug)]
enum Base {
    Nothing,
    Bits32(Slot<u32>),
    Bits64(Slot<u64>),
}

impl Place {
    #[inline(always)]
    pub(super) fn addresses(&self, registers: &Registers) -> [u64; WARP] {
        let mut addresses = [self.offset; WARP];
        match self.base {
            Base::Nothing => {}
            Base::Bits32(base) => {
                let base = registers.get(base);
                for lane in 0..WARP {
                    addresses[lane] = u64::from(base[lane].wrapping_add(self.offset as u32));
                }
            }
            Base::Bits64(base) => {
                let base = registers.get(base);
                for lane in 0..WARP {
                    addresses[lane] = base[lane].wrapping_add(self.offset);
                }
            }
        }
        addresses
    }
}

impl Decoder<'_, '_> {
    /// PTX ISA, "Data Movement and Conversion Instructions: ld, ldu, st, prefetch".
    pub(super) fn load_or_store(&mut self) -> Option<Action> {
        let space = self.space().unwrap_or(Space::Generic);
        // What concerns caches and the order in which other processors see it changes nothing here.
        let without_effect = |part: &str| {
            let cache =
                ["ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc", "weak", "volatile", "relaxed", "acquire", "release"];
            let scope = ["cta", "cluster", "gpu", "sys", "unified", "L1", "L2"];
            let known = cache.contains(&part) || scope.contains(&part);
            (known || part.starts_with("L1::") || part.starts_with("L2::")).then_some(())
        };
        while self.opcode.take_map(without_effect).is_some() {}
        if self.opcode.name.starts_with("prefetch") {
            return Some(Action::Nothing);
        }
        let lanes = self.opcode.take_map(|part| match part {
            "v2" => Some(2),
            "v4" => Some(4),
            "v8" => Some(8),
            _ => None,
        });
        let ty = self.opcode.take_type()?;
        let is_load = self.opcode.name != "st";
        let place = self.place(usize::from(is_load), space)?;
        let parts = match (self.argument(usize::from(!is_load))?, lanes) {
            (Arg::Vector(parts), Some(lanes)) if parts.len() == lanes => &parts[..],
            (single, None) => std::slice::from_ref(single),
            _ => return None,
        };
        if is_load { self.load(ty, place, parts) } else { self.store(ty, place, parts) }
    }

    /// An address among the operands.
    pub(super) fn place(&mut self, index: usize, space: Space) -> Option<Place> {
        let Arg::Address { space: of_variable, base, offset } = self.argument(index)? else { return None };
        let base = match base {
            None => Base::Nothing,
            Some(register) => match self.kind_of(&Arg::Register(*register))? {
                RegisterKind::Bits32 => Base::Bits32(self.source_of(&Arg::Register(*register))?),
                RegisterKind::Bits64 => Base::Bits64(self.source_of(&Arg::Register(*register))?),
                RegisterKind::Predicate | RegisterKind::Bits16 => return None,
            },
        };
        // What is passed between functions is said to be parameters, but lies in local memory.
        let space = match (space, of_variable) {
            (Space::Parameter, Some(Space::Local)) => Space::Local,
            (Space::Generic, Some(of_variable)) => *of_variable,
            (space, _) => space,
        };
        Some(Place { space, base, offset: *offset })
    }

    fn load(&mut self, ty: Type, place: Place, parts: &[Arg]) -> Option<Action> {
        let kind = parts.iter().find_map(|part| self.kind_of(part))?;
        match (ty, kind) {
            (Type::U8 | Type::B8, RegisterKind::Bits16) => self.load_as(place, parts, |x: u8| u16::from(x)),
            (Type::U8 | Type::B8, RegisterKind::Bits32) => self.load_as(place, parts, |x: u8| u32::from(x)),
            (Type::U8 | Type::B8, RegisterKind::Bits64) => self.load_as(place, parts, |x: u8| u64::from(x)),
            (Type::S8, RegisterKind::Bits16) => self.load_as(place, parts, |x: u8| i16::from(x as i8)),
            (Type::S8, RegisterKind::Bits32) => self.load_as(place, parts, |x: u8| i32::from(x as i8)),
            (Type::S8, RegisterKind::Bits64) => self.load_as(place, parts, |x: u8| i64::from(x as i8)),
            (Type::S16, RegisterKind::Bits32) => self.load_as(place, parts, |x: u16| i32::from(x as i16)),
            (Type::S16, RegisterKind::Bits64) => self.load_as(place, parts, |x: u16| i64::from(x as i16)),
            (Type::S32, RegisterKind::Bits64) => self.load_as(place, parts, |x: u32| i64::from(x as i32)),
            _ => match (ty.bytes(), kind) {
                (2, RegisterKind::Bits16) => self.load_as(place, parts, |x: u16| x),
                (2, RegisterKind::Bits32) => self.load_as(place, parts, |x: u16| u32::from(x)),
                (2, RegisterKind::Bits64) => self.load_as(place, parts, |x: u16| u64::from(x)),
                (4, RegisterKind::Bits32) => self.load_as(place, parts, |x: u32| x),
                (4, RegisterKind::Bits64) => self.load_as(place, parts, |x: u32| u64::from(x)),
                (8, RegisterKind::Bits64) => self.load_as(place, parts, |x: u64| x),
                _ => None,
            },
        }
    }

    fn load_as<M: Stored, T: Lane>(
        &mut self,
        place: Place,
        parts: &[Arg],
        extend: impl Fn(M) -> T + Send + Sync + 'static,
    ) -> Option<Action> {
        let slots = parts.iter().map(|part| self.destination_of(part)).collect::<Option<Vec<Slot<T>>>>()?;
        Some(Action::Effect(effect(Load { place, slots, extend, stored: PhantomData })))
    }

    fn store(&mut self, ty: Type, place: Place, parts: &[Arg]) -> Option<Action> {
        if place.space == Space::Parameter || place.space == Space::Const {
            return None;
        }
        let kind = parts.iter().find_map(|part| self.kind_of(part));
        match (ty.bytes(), kind) {
            (1, Some(RegisterKind::Bits32)) => self.store_as(place, parts, |x: u32| x as u8),
            (1, Some(RegisterKind::Bits64)) => self.store_as(place, parts, |x: u64| x as u8),
            (1, _) => self.store_as(place, parts, |x: u16| x as u8),
            (2, Some(RegisterKind::Bits32)) => self.store_as(place, parts, |x: u32| x as u16),
            (2, Some(RegisterKind::Bits64)) => self.store_as(place, parts, |x: u64| x as u16),
            (2, _) => self.store_as(place, parts, |x: u16| x),
            (4, Some(RegisterKind::Bits64)) => self.store_as(place, parts, |x: u64| x as u32),
            (4, _) => self.store_as(place, parts, |x: u32| x),
            (8, _) => self.store_as(place, parts, |x: u64| x),
            _ => None,
        }
    }

    fn store_as<T: Lane, M: Stored>(
        &mut self,
        place: Place,
        parts: &[Arg],
        cut: impl Fn(T) -> M + Send + Sync + 'static,
    ) -> Option<Action> {
        let slots = parts.iter().map(|part| self.source_of(part)).collect::<Option<Vec<Slot<T>>>>()?;
        Some(Action::Effect(effect(Store { place, slots, cut })))
    }
}

/// Loads one `M` into each register, from one after the other.
struct Load<T, M, F> {
    place: Place,
    slots: Vec<Slot<T>>,
    extend: F,
    stored: PhantomData<fn() -> M>,
}

impl<T: Lane, M: Stored, F: Fn(M) -> T + Send + Sync + 'static> Effect for Load<T, M, F> {
    #[inline(always)]
    fn run(&self, warp: &mut Warp<'_>, mask: Mask) -> Result<(), Trouble> {
        let addresses = self.place.addresses(&warp.registers);
        let bytes = size_of::<M>() * self.slots.len();
        let pointers = warp.spaces.locate(self.place.space, &addresses, mask, bytes)?;
        for (index, slot) in self.slots.iter().enumerate() {
            let register = warp.registers.get_mut(*slot);
            let load = |lane: usize| {
                let pointer = pointers[lane].wrapping_add(index * size_of::<M>());
                // SAFETY: `locate` has found that `bytes` bytes may be read there, and that they are aligned.
                register[lane] = (self.extend)(unsafe { M::load(pointer) });
            };
            if mask == Mask::MAX { (0..WARP).for_each(load) } else { lanes(mask).for_each(load) }
        }
        Ok(())
    }
}

/// Stores one `M` from each register, to one after the other.
struct Store<T, F> {
    place: Place,
    slots: Vec<Slot<T>>,
    cut: F,
}

impl<T: Lane, M: Stored, F: Fn(T) -> M + Send + Sync + 'static> Effect for Store<T, F> {
    #[inline(always)]
    fn run(&self, warp: &mut Warp<'_>, mask: Mask) -> Result<(), Trouble> {
        let addresses = self.place.addresses(&warp.registers);
        let bytes = size_of::<M>() * self.slots.len();
        let pointers = warp.spaces.locate(self.place.space, &addresses, mask, bytes)?;
        warp.watch.write(&pointers, mask, bytes)?;
        for (index, slot) in self.slots.iter().enumerate() {
            let values = warp.registers.get(*slot);
            let store = |lane: usize| {
                let pointer = pointers[lane].wrapping_add(index * size_of::<M>());
                // SAFETY: `locate` has found that `bytes` bytes may be written there, and that they are aligned.
                unsafe { M::store(pointer, (self.cut)(values[lane])) };
            };
            if mask == Mask::MAX { (0..WARP).for_each(store) } else { lanes(mask).for_each(store) }
        }
        Ok(())
    }
}
