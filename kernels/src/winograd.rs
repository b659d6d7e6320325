//! 3×3 convolution with a quarter of the multiplications: F(4×4, 3×3) of Lavin and Gray 2016.
//!
//! The output is made in tiles of 4×4. Each needs 6×6 pixels of the input, which are transformed to 36 numbers per channel;
//! a matrix product over the channels at each of the 36 positions and a second transform give the tile. The points are
//! 0, ±1, ±2 and infinity. In float32 the error is about ten times that of a direct convolution, 3e-6 relative.

use std::ops::Range;

use crate::conv2d::Map;
use crate::gemm::{Epilogue, PackedWeights, accumulate, read};
use crate::pool;
use crate::scratch::Scratch;
use crate::simd::{Isa, Kernel, LANES, Simd, dispatch};
use crate::tensor::SharedMut;

/// Pixels of the input, each way, that a tile needs.
const IN: usize = 6;
/// Pixels of the output, each way, that a tile makes.
const OUT: usize = 4;
pub(crate) const POSITIONS: usize = IN * IN;
/// Floats of transformed input that are made before they are used: they should stay in the last-level cache.
const BLOCK_FLOATS: usize = 2 << 20;
/// Tiles and columns of the product whose sums stay in a core's second-level cache until they are transformed.
const TASK_TILES: usize = 48;
const TASK_COLUMNS: usize = 64;

/// The filter's transform `G g Gᵀ`.
const G: [[f64; 3]; IN] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// A 3×3 filter bank, transformed: instead of nine taps it has one matrix for each of the 36 positions.
#[derive(Debug)]
pub(crate) struct Winograd {
    positions: PackedWeights,
    isa: Isa,
    inputs: usize,
    outputs: usize,
}

impl Winograd {
    /// `filters` has nine taps, the rows of the 3×3 filter one after the other.
    pub(crate) fn new(isa: Isa, filters: &PackedWeights) -> Self {
        let positions = filters.transformed(isa, POSITIONS, |filter, out| {
            for (lane, position, sum) in
                (0..LANES).flat_map(|lane| transform_filter(filter, lane).map(move |(p, x)| (lane, p, x)))
            {
                out[position][lane] = sum;
            }
        });
        Self { positions, isa, inputs: filters.depth, outputs: filters.columns }
    }

    /// Convolves `batch` images of `map` into `out`, `(batch, height, width, out)`.
    pub(crate) fn convolve(&self, map: &Map<'_>, batch: usize, epilogue: Epilogue<'_>, out: SharedMut) {
        let across = (map.out_height.div_ceil(OUT), map.out_width.div_ceil(OUT));
        let tiles = batch * across.0 * across.1;
        let stride = self.inputs.next_multiple_of(LANES);
        let block =
            (BLOCK_FLOATS / (POSITIONS * stride)).next_multiple_of(TASK_TILES).min(tiles.next_multiple_of(TASK_TILES));
        let mut transformed = Scratch::take(POSITIONS * block * stride);
        let column_tasks = self.outputs.div_ceil(TASK_COLUMNS);
        for first in (0..tiles).step_by(block) {
            let count = block.min(tiles - first);
            let shared = SharedMut::new(&mut transformed);
            pool::for_each_range(count, 8, |range| {
                dispatch(self.isa, Input { layer: self, map, across, first, block, range, out: shared });
            });
            let transformed = &transformed[..];
            pool::for_each(column_tasks * count.div_ceil(TASK_TILES), |task| {
                // Tasks that share columns follow each other, so that their weights stay in the cache.
                let (columns, part) = (task / count.div_ceil(TASK_TILES), task % count.div_ceil(TASK_TILES));
                let tiles = part * TASK_TILES..count.min((part + 1) * TASK_TILES);
                let columns = columns * TASK_COLUMNS..self.outputs.min((columns + 1) * TASK_COLUMNS);
                dispatch(
                    self.isa,
                    Output { layer: self, map, across, first, block, tiles, columns, transformed, epilogue, out },
                );
            });
        }
    }
}

/// `G g Gᵀ` of one lane of a filter: the 36 positions and their numbers, computed in float64.
fn transform_filter(filter: &[[f32; LANES]], lane: usize) -> impl Iterator<Item = (usize, f32)> {
    let mut half = [[0.0; 3]; IN];
    for (y, row) in half.iter_mut().enumerate() {
        for (x, sum) in row.iter_mut().enumerate() {
            *sum = (0..3).map(|r| G[y][r] * f64::from(filter[r * 3 + x][lane])).sum::<f64>();
        }
    }
    (0..POSITIONS).map(move |p| (p, (0..3).map(|c| G[p % IN][c] * half[p / IN][c]).sum::<f64>() as f32))
}

/// The image, and the row and column of the first output pixel, of a tile.
#[inline(always)]
fn corner(tile: usize, across: (usize, usize)) -> (usize, usize, usize) {
    let within = tile % (across.0 * across.1);
    (tile / (across.0 * across.1), within / across.1 * OUT, within % across.1 * OUT)
}

/// `Bᵀ d` of six vectors.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
unsafe fn transform_input<S: Simd>(d: [S::V; IN]) -> [S::V; IN] {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let (two, four) = (S::splat(2.0), S::splat(4.0));
        let even = S::fma(S::splat(-4.0), d[2], d[4]);
        let odd = S::fma(S::splat(-4.0), d[1], d[3]);
        let even_small = S::sub(d[4], d[2]);
        let odd_small = S::sub(d[3], d[1]);
        [
            S::fma(four, d[0], S::fma(S::splat(-5.0), d[2], d[4])),
            S::add(even, odd),
            S::sub(even, odd),
            S::fma(two, odd_small, even_small),
            S::fma(S::splat(-2.0), odd_small, even_small),
            S::fma(four, d[1], S::fma(S::splat(-5.0), d[3], d[5])),
        ]
    }
}

/// `Aᵀ m` of six vectors.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
unsafe fn transform_output<S: Simd>(m: [S::V; IN]) -> [S::V; OUT] {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let (sum_1, difference_1) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (sum_2, difference_2) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        [
            S::add(S::add(m[0], sum_1), sum_2),
            S::fma(S::splat(2.0), difference_2, difference_1),
            S::fma(S::splat(4.0), sum_2, sum_1),
            S::add(S::fma(S::splat(8.0), difference_2, difference_1), m[5]),
        ]
    }
}

/// One task of the first half: transforms the input of some tiles.
struct Input<'a> {
    layer: &'a Winograd,
    map: &'a Map<'a>,
    across: (usize, usize),
    /// The first tile of the block, and how many tiles a block has room for.
    first: usize,
    block: usize,
    range: Range<usize>,
    /// `(position, tile of the block, channel)`
    out: SharedMut,
}

impl Kernel for Input<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let inputs = self.layer.inputs;
        let stride = inputs.next_multiple_of(LANES);
        for tile in self.range.clone() {
            let (image, y, x) = corner(self.first + tile, self.across);
            let pixels: [*const f32; POSITIONS] =
                std::array::from_fn(|i| self.map.pixel(image, y + i / IN, x + i % IN).as_ptr());
            for c in (0..inputs).step_by(LANES) {
                let lanes = LANES.min(inputs - c);
                // SAFETY: each pixel has `inputs` channels; the output has `stride` floats for each position and tile of a
                // block, and this task alone writes these tiles.
                unsafe {
                    let mut half = [[S::splat(0.0); IN]; IN];
                    for column in 0..IN {
                        let mut d = [S::splat(0.0); IN];
                        for (row, d) in d.iter_mut().enumerate() {
                            *d = read::<S>(pixels[row * IN + column].add(c), lanes);
                        }
                        let t = transform_input::<S>(d);
                        for row in 0..IN {
                            half[row][column] = t[row];
                        }
                    }
                    for (row, d) in half.into_iter().enumerate() {
                        for (column, v) in transform_input::<S>(d).into_iter().enumerate() {
                            S::store(self.out.at(((row * IN + column) * self.block + tile) * stride + c), v);
                        }
                    }
                }
            }
        }
    }
}

/// One task of the second half: products of some tiles and columns, and their transform to pixels.
struct Output<'a> {
    layer: &'a Winograd,
    map: &'a Map<'a>,
    across: (usize, usize),
    first: usize,
    block: usize,
    tiles: Range<usize>,
    columns: Range<usize>,
    transformed: &'a [f32],
    epilogue: Epilogue<'a>,
    out: SharedMut,
}

impl Kernel for Output<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut sums = Scratch::take(POSITIONS * TASK_TILES * TASK_COLUMNS);
        let vectors = self.layer.positions.vectors();
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match (vectors, S::TILE_ROWS) {
                (2, 12) => self.multiply::<S, 12, 2>(&mut sums),
                (_, 12) => self.multiply::<S, 12, 1>(&mut sums),
                (_, 6) => self.multiply::<S, 6, 1>(&mut sums),
                (_, 4) => self.multiply::<S, 4, 1>(&mut sums),
                _ => unreachable!("the tiles of all instruction sets are named above"),
            }
            for tile in 0..self.tiles.len() {
                for column in (0..self.columns.len()).step_by(LANES) {
                    self.finish::<S>(&sums, tile, column);
                }
            }
        }
    }
}

impl Output<'_> {
    /// Fills `sums`, `(position, tile, column)`.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn multiply<S: Simd, const ROWS: usize, const VECTORS: usize>(&self, sums: &mut [f32]) {
        let stride = self.layer.inputs.next_multiple_of(LANES);
        let width = VECTORS * LANES;
        for position in 0..POSITIONS {
            for column in (0..self.columns.len()).step_by(width) {
                let panel = self.layer.positions.panel((self.columns.start + column) / width, position);
                for first in (0..self.tiles.len()).step_by(ROWS) {
                    let tile = |i: usize| (self.tiles.start + first + i).min(self.tiles.end - 1);
                    let row = |i: usize| self.transformed[(position * self.block + tile(i)) * stride..].as_ptr();
                    let mut rows: [*const f32; ROWS] = [std::ptr::null(); ROWS];
                    for (i, p) in rows.iter_mut().enumerate() {
                        *p = row(i);
                    }
                    // SAFETY: each row has `inputs` floats, and the panel as many rows of `width`.
                    unsafe {
                        let mut found = [[S::splat(0.0); VECTORS]; ROWS];
                        accumulate::<S, ROWS, VECTORS>(&rows, self.layer.inputs, panel, width, &mut found);
                        for (i, found) in found.iter().enumerate().take(self.tiles.len() - first) {
                            for (j, v) in found.iter().enumerate() {
                                let at = (position * TASK_TILES + first + i) * TASK_COLUMNS + column + j * LANES;
                                S::store(sums[at..at + LANES].as_mut_ptr(), *v);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Transforms the sums of one tile and sixteen columns and stores the pixels.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, sums: &[f32], tile: usize, column: usize) {
        let first_column = self.columns.start + column;
        let lanes = LANES.min(self.columns.end - first_column);
        let (image, y, x) = corner(self.first + self.tiles.start + tile, self.across);
        // SAFETY: the sums have `TASK_COLUMNS` floats for each position and tile; the output has a place for each pixel
        // within the map, and this task alone writes these pixels and columns.
        unsafe {
            let mut half = [[S::splat(0.0); IN]; OUT];
            for c in 0..IN {
                let mut m = [S::splat(0.0); IN];
                for (r, m) in m.iter_mut().enumerate() {
                    *m = S::load(sums[((r * IN + c) * TASK_TILES + tile) * TASK_COLUMNS + column..].as_ptr());
                }
                for (r, v) in transform_output::<S>(m).into_iter().enumerate() {
                    half[r][c] = v;
                }
            }
            for (r, m) in half.into_iter().enumerate().take(self.map.out_height - y) {
                for (c, v) in transform_output::<S>(m).into_iter().enumerate().take(self.map.out_width - x) {
                    let pixel = (image * self.map.out_height + y + r) * self.map.out_width + x + c;
                    let at = pixel * self.layer.outputs + first_column;
                    self.epilogue.store::<S>(v, at, first_column, lanes, self.out);
                }
            }
        }
    }
}
