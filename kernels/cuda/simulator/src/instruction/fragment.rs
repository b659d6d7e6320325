//! Moving 8×8 matrices of 16-bit elements between memory and the lanes of a warp.
//!
//! PTX ISA, "Warp-level matrix load instruction: ldmatrix", "stmatrix" and "movmatrix". Lane `4 g + t` holds the elements `2 t` and
//! `2 t + 1` of row `g`, or with `.trans` of column `g`; the rows' addresses are those of the lanes `8 i` to `8 i + 7` for matrix `i`.

use super::decoder::of_warp;
use super::{Action, Decoder};
use crate::machine::{Slot, Space, Stored, WARP};

/// Rows, and elements of a row.
const SIZE: usize = 8;
const ROW_BYTES: usize = SIZE * 2;

/// A matrix, row by row.
type Matrix = [[u16; SIZE]; SIZE];

fn transposed(matrix: &Matrix) -> Matrix {
    std::array::from_fn(|row| std::array::from_fn(|column| matrix[column][row]))
}

fn to_lanes(matrix: &Matrix) -> [u32; WARP] {
    std::array::from_fn(|lane| {
        let (row, column) = (lane / 4, lane % 4 * 2);
        u32::from(matrix[row][column + 1]) << 16 | u32::from(matrix[row][column])
    })
}

fn from_lanes(lanes: &[u32; WARP]) -> Matrix {
    std::array::from_fn(|row| std::array::from_fn(|column| (lanes[row * 4 + column / 2] >> (column % 2 * 16)) as u16))
}

impl Decoder<'_, '_> {
    pub(super) fn fragment(&mut self) -> Option<Action> {
        if !self.opcode.take("sync") || !self.opcode.take("aligned") || !self.opcode.take("m8n8") || !self.opcode.take("b16") {
            return None;
        }
        let transposes = self.opcode.take("trans");
        if self.opcode.name == "movmatrix" {
            let (d, a) = (self.destination(0)?, self.source(1)?);
            if !transposes {
                return None;
            }
            return of_warp(move |warp, mask| {
                let matrix = from_lanes(warp.registers.get(a));
                warp.registers.set(d, mask, &to_lanes(&transposed(&matrix)));
                Ok(())
            });
        }
        let counts = [("x1", 1), ("x2", 2), ("x4", 4)];
        let named = |part: &str| counts.iter().find(|(name, _)| *name == part).map(|(_, count)| *count);
        let count: usize = self.opcode.take_map(named)?;
        let space = self.space().unwrap_or(Space::Shared);
        let is_load = self.opcode.name == "ldmatrix";
        let slots: Vec<Slot<u32>> = self.sources(usize::from(!is_load))?;
        let place = self.place(usize::from(is_load), space)?;
        if slots.len() != count || space != Space::Shared {
            return None;
        }
        // The lanes whose addresses are read.
        let addressing = u32::MAX >> (WARP - count * SIZE);
        of_warp(move |warp, mask| {
            let addresses = place.addresses(&warp.registers);
            let rows = warp.spaces.locate(place.space, &addresses, addressing, ROW_BYTES)?;
            for (index, slot) in slots.iter().enumerate() {
                let rows = &rows[index * SIZE..][..SIZE];
                if is_load {
                    let element = |row: usize, column: usize| {
                        // SAFETY: `locate` has found that a row may be read there, and that it is aligned.
                        unsafe { u16::load(rows[row].wrapping_add(column * 2)) }
                    };
                    let matrix: Matrix = std::array::from_fn(|row| std::array::from_fn(|column| element(row, column)));
                    let matrix = if transposes { transposed(&matrix) } else { matrix };
                    warp.registers.set(*slot, mask, &to_lanes(&matrix));
                } else {
                    let matrix = from_lanes(warp.registers.get(*slot));
                    let matrix = if transposes { transposed(&matrix) } else { matrix };
                    for (row, pointer) in rows.iter().enumerate() {
                        for column in 0..SIZE {
                            // SAFETY: `locate` has found that a row may be written there, and that it is aligned.
                            unsafe { u16::store(pointer.wrapping_add(column * 2), matrix[row][column]) };
                        }
                    }
                }
            }
            Ok(())
        })
    }
}
