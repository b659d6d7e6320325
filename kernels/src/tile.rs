//! Tiles of products: as many rows and columns as a register file holds the sums of.

use crate::simd::Simd;

/// A computation whose loops over a tile's rows and vectors are unrolled.
pub(crate) trait Tile {
    /// Must be `#[inline(always)]`, as [`Kernel::run`](crate::simd::Kernel).
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    unsafe fn compute<S: Simd, const ROWS: usize, const VECTORS: usize>(&mut self);
}

/// Computes `tile` at the fewest rows that are at least `rows`, which is at most [`Simd::TILE_ROWS`].
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn with_tile<S: Simd>(rows: usize, vectors: usize, tile: &mut impl Tile) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match (S::TILE_ROWS, vectors, rows) {
            (12, 2, 9..) => tile.compute::<S, 12, 2>(),
            (12, 2, 5..) => tile.compute::<S, 8, 2>(),
            (12, 2, _) => tile.compute::<S, 4, 2>(),
            (12, _, 5..) => tile.compute::<S, 12, 1>(),
            (12, _, _) => tile.compute::<S, 4, 1>(),
            (6, _, 4..) => tile.compute::<S, 6, 1>(),
            (6, _, _) => tile.compute::<S, 3, 1>(),
            (4, _, _) => tile.compute::<S, 4, 1>(),
            _ => unreachable!("the tiles of all instruction sets are named above"),
        }
    }
}
