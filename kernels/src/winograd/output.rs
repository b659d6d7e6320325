//! The second half: products of the transformed input with a panel's filters, and their transform to pixels.

use std::ops::Range;

use super::transform::{transform_filter, transform_output};
use super::{FEW_CHANNELS, GAP, IN, Layout, OUT, POSITIONS, TASK_TILES};
use crate::conv2d::Map;
use crate::gemm::{Epilogue, WEIGHTS_AHEAD, accumulate};
use crate::packed::{Numbers, PackedWeights, Stored};
use crate::scratch::Scratch;
use crate::simd::{Kernel, LANES, Simd};
use crate::tensor::SharedMut;
use crate::tile::{Tile, with_tile};

/// One task: a panel's filters, their products with some tiles, and the tiles' pixels.
pub(super) struct Output<'a> {
    pub(super) filters: &'a PackedWeights,
    pub(super) map: &'a Map<'a>,
    pub(super) layout: Layout,
    pub(super) first: usize,
    pub(super) panel: usize,
    pub(super) tiles: Range<usize>,
    pub(super) input: &'a [f32],
    pub(super) epilogue: Epilogue<'a>,
    pub(super) out: SharedMut,
}

impl Kernel for Output<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        if self.tiles.is_empty() {
            return;
        }
        let (width, depth) = (self.filters.width(), self.filters.depth);
        let most = if self.tiles.len() > TASK_TILES { depth } else { depth.min(FEW_CHANNELS) };
        let position = most * width + GAP;
        let mut weights = Scratch::take(POSITIONS * position);
        let mut sums = Scratch::take(POSITIONS * TASK_TILES * width);
        for first in self.tiles.clone().step_by(TASK_TILES) {
            let tiles = first..self.tiles.end.min(first + TASK_TILES);
            for channel in (0..depth).step_by(most) {
                let channels = channel..depth.min(channel + most);
                // SAFETY: the caller's promise is passed on.
                unsafe {
                    if first == self.tiles.start {
                        match self.filters.numbers() {
                            Numbers::F32(numbers) => {
                                self.transform::<S, _>(numbers, channels.clone(), position, &mut weights)
                            }
                            Numbers::F16(numbers) => {
                                self.transform::<S, _>(numbers, channels.clone(), position, &mut weights)
                            }
                            Numbers::Bf16(numbers) => {
                                self.transform::<S, _>(numbers, channels.clone(), position, &mut weights)
                            }
                        }
                    }
                    self.multiply::<S>(tiles.clone(), channels, position, &weights, &mut sums);
                }
            }
            for tile in tiles {
                for vector in 0..self.filters.vectors {
                    // SAFETY: the caller's promise is passed on.
                    unsafe { self.finish::<S>(&sums, tile, tile - first, vector) };
                }
            }
        }
    }
}

impl Output<'_> {
    /// Fills `weights`, for each position the panel's rows for these channels.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn transform<S: Simd, T: Stored>(
        &self,
        numbers: &[T],
        channels: Range<usize>,
        position: usize,
        weights: &mut [f32],
    ) {
        let width = self.filters.width();
        let tap_size = self.filters.depth * width;
        let numbers = &numbers[self.filters.start(self.panel, 0)..][..9 * tap_size];
        let size = channels.len() * width;
        assert!(weights.len() >= POSITIONS * position && position >= size && channels.end <= self.filters.depth);
        for at in (0..size).step_by(LANES) {
            // SAFETY: there are `tap_size` numbers for each tap and `size` for each position, whole vectors.
            unsafe {
                let from = numbers.as_ptr().add(channels.start * width + at);
                let mut columns = [[S::splat(0.0); IN]; 3];
                for (column, v) in columns.iter_mut().enumerate() {
                    let tap = |row: usize| T::load::<S>(from.add((row * 3 + column) * tap_size));
                    *v = transform_filter::<S>([tap(0), tap(1), tap(2)]);
                }
                for row in 0..IN {
                    let across = transform_filter::<S>(columns.map(|v| v[row]));
                    for (column, v) in across.into_iter().enumerate() {
                        S::store(weights.as_mut_ptr().add((row * IN + column) * position + at), v);
                    }
                }
            }
        }
    }

    /// Adds the products of some channels to the sums of some tiles; the first channels begin them.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn multiply<S: Simd>(
        &self,
        tiles: Range<usize>,
        channels: Range<usize>,
        position: usize,
        weights: &[f32],
        sums: &mut [f32],
    ) {
        let width = self.filters.width();
        let stride = self.layout.stride;
        for (p, sums) in sums.chunks_exact_mut(TASK_TILES * width).take(POSITIONS).enumerate() {
            let weights = &weights[p * position..][..channels.len() * width];
            for tile in tiles.clone().step_by(S::TILE_ROWS) {
                let mut product = Product {
                    input: &self.input[p * self.layout.position + tile * stride + channels.start..],
                    stride,
                    depth: channels.len(),
                    weights,
                    rows: S::TILE_ROWS.min(tiles.end - tile),
                    first: channels.start == 0,
                    sums: &mut sums[(tile - tiles.start) * width..],
                };
                // SAFETY: the caller's promise is passed on.
                unsafe { with_tile::<S>(product.rows, self.filters.vectors, &mut product) };
            }
        }
    }

    /// Transforms the sums of one tile and sixteen columns and stores the pixels.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, sums: &[f32], tile: usize, row: usize, vector: usize) {
        let width = self.filters.width();
        let first_column = self.panel * width + vector * LANES;
        let Some(lanes) = self.filters.columns.checked_sub(first_column).map(|n| n.min(LANES)) else { return };
        let (image, y, x) = self.layout.corner(self.first + tile);
        // SAFETY: there are `width` sums for each position and tile; the output has a place for each pixel within the map,
        // and this task alone writes these pixels and columns.
        unsafe {
            let mut half = [[S::splat(0.0); IN]; OUT];
            for c in 0..IN {
                let mut m = [S::splat(0.0); IN];
                for (r, m) in m.iter_mut().enumerate() {
                    *m = S::load(sums[((r * IN + c) * TASK_TILES + row) * width + vector * LANES..].as_ptr());
                }
                for (r, v) in transform_output::<S>(m).into_iter().enumerate() {
                    half[r][c] = v;
                }
            }
            for (r, m) in half.into_iter().enumerate().take(self.map.out_height - y) {
                for (c, v) in transform_output::<S>(m).into_iter().enumerate().take(self.map.out_width - x) {
                    let pixel = (image * self.map.out_height + y + r) * self.map.out_width + x + c;
                    let at = pixel * self.filters.columns + first_column;
                    self.epilogue.store::<S>(v, at, first_column, lanes, self.out);
                }
            }
        }
    }
}

/// The product of some tiles' input with a panel's weights, at one position.
struct Product<'a> {
    /// From the first tile on.
    input: &'a [f32],
    stride: usize,
    depth: usize,
    weights: &'a [f32],
    /// Tiles that exist.
    rows: usize,
    /// Whether the sums begin here.
    first: bool,
    sums: &'a mut [f32],
}

impl Tile for Product<'_> {
    #[inline(always)]
    unsafe fn compute<S: Simd, const ROWS: usize, const VECTORS: usize>(&mut self) {
        let width = VECTORS * LANES;
        let mut rows: [*const f32; ROWS] = [std::ptr::null(); ROWS];
        for (i, p) in rows.iter_mut().enumerate() {
            *p = self.input[i.min(self.rows - 1) * self.stride..][..self.depth].as_ptr();
        }
        let sums = &mut self.sums[..self.rows * width];
        // SAFETY: each row has `depth` floats, and there are as many rows of `width` weights.
        unsafe {
            let mut found = [[S::splat(0.0); VECTORS]; ROWS];
            if !self.first {
                for (found, sums) in found.iter_mut().zip(sums.chunks_exact(width)) {
                    for (v, sums) in found.iter_mut().zip(sums.chunks_exact(LANES)) {
                        *v = S::load(sums.as_ptr());
                    }
                }
            }
            accumulate::<S, ROWS, VECTORS, WEIGHTS_AHEAD>(
                &rows,
                1,
                self.depth,
                self.weights.as_ptr(),
                width,
                &mut found,
            );
            for (found, sums) in found.iter().zip(sums.chunks_exact_mut(width)) {
                for (v, sums) in found.iter().zip(sums.chunks_exact_mut(LANES)) {
                    S::store(sums.as_mut_ptr(), *v);
                }
            }
        }
    }
}
