//! Moving 8×8 matrices of 16-bit elements between memory and the lanes of a warp.
//!
//! PTX ISA, "Warp-level matrix load instruction: ldmatrix", "stmatrix" and "movmatrix". Lane `4 g + t` holds the elements `2 t` and
//! `2 t + 1` of row `g`, or with `.trans` of column `g`; the rows' addresses are those of the lanes `8 i` to `8 i + 7` for matrix `i`.

use super::decoder::of_warp;
use super::load_store::Place;
use super::{Action, Decoder, Members};
use crate::machine::{Effect, Mask, Slot, Space, Stored, Trouble, WARP, Warp, effect};

/// Rows of a matrix, and elements of a row.
const SIZE: usize = 8;
const ROW_BYTES: usize = SIZE * 2;

/// The two elements that a lane holds, each as row and column.
fn elements(lane: usize, transposes: bool) -> [(usize, usize); 2] {
    let (g, t) = (lane / 4, lane % 4);
    [(g, 2 * t), (g, 2 * t + 1)].map(|(row, column)| if transposes { (column, row) } else { (row, column) })
}

impl Decoder<'_, '_> {
    pub(super) fn fragment(&mut self) -> Option<Action> {
        if !self.opcode.take("sync")
            || !self.opcode.take("aligned")
            || !self.opcode.take("m8n8")
            || !self.opcode.take("b16")
        {
            return None;
        }
        let transposes = self.opcode.take("trans");
        if self.opcode.name == "movmatrix" {
            return if transposes { self.transpose() } else { None };
        }
        let counts = [("x1", 1), ("x2", 2), ("x4", 4)];
        let named = |part: &str| counts.iter().find(|(name, _)| *name == part).map(|(_, count)| *count);
        let count: usize = self.opcode.take_map(named)?;
        let space = self.space().unwrap_or(Space::Shared);
        let is_load = self.opcode.name == "ldmatrix";
        let slots: Vec<Slot<u32>> = if is_load { self.destinations(0)? } else { self.sources(1)? };
        let place = self.place(usize::from(is_load), space)?;
        if slots.len() != count || space != Space::Shared {
            return None;
        }
        let effect = match (is_load, transposes) {
            (true, false) => effect(Fragments::<true, false> { place, slots }),
            (true, true) => effect(Fragments::<true, true> { place, slots }),
            (false, false) => effect(Fragments::<false, false> { place, slots }),
            (false, true) => effect(Fragments::<false, true> { place, slots }),
        };
        Some(Action::Gathered { members: Members::Warp, effect })
    }

    fn transpose(&mut self) -> Option<Action> {
        let (d, a): (Slot<u32>, Slot<u32>) = (self.destination(0)?, self.source(1)?);
        of_warp(move |warp, mask| {
            let held = *warp.registers.get(a);
            let element = |(row, column): (usize, usize)| held[4 * row + column / 2] >> (column % 2 * 16) & 0xFFFF;
            let values = std::array::from_fn(|lane| {
                let [first, second] = elements(lane, true).map(element);
                second << 16 | first
            });
            warp.registers.set(d, mask, &values);
            Ok(())
        })
    }
}

/// Loads a matrix into each register, or stores it.
struct Fragments<const LOAD: bool, const TRANSPOSES: bool> {
    place: Place,
    slots: Vec<Slot<u32>>,
}

impl<const LOAD: bool, const TRANSPOSES: bool> Effect for Fragments<LOAD, TRANSPOSES> {
    #[inline(always)]
    fn run(&self, warp: &mut Warp<'_>, _: Mask) -> Result<(), Trouble> {
        // The lanes whose addresses are read.
        let addressing = Mask::MAX >> (WARP - self.slots.len() * SIZE);
        let rows =
            warp.spaces.locate(self.place.space, &self.place.addresses(&warp.registers), addressing, ROW_BYTES)?;
        if !LOAD {
            warp.watch.write(&rows, addressing, ROW_BYTES)?;
        }
        for (slot, rows) in self.slots.iter().zip(rows.chunks_exact(SIZE)) {
            let register = warp.registers.get_mut(*slot);
            for (lane, value) in register.iter_mut().enumerate() {
                let pointers = elements(lane, TRANSPOSES).map(|(row, column)| rows[row].wrapping_add(2 * column));
                // SAFETY: `locate` has found that a row may be read or written there, and that it is aligned; elements of one row are
                // beside each other and together as aligned as their first.
                unsafe {
                    match (LOAD, TRANSPOSES) {
                        (true, false) => *value = u32::load(pointers[0]),
                        (true, true) => {
                            *value = u32::from(u16::load(pointers[1])) << 16 | u32::from(u16::load(pointers[0]));
                        }
                        (false, _) => {
                            u16::store(pointers[0], *value as u16);
                            u16::store(pointers[1], (*value >> 16) as u16);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
