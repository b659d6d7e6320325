//! 3×3 convolution with a quarter of the multiplications: F(4×4, 3×3) of Lavin and Gray 2016.
//!
//! The output is made in tiles of 4×4. Each needs 6×6 pixels of the input, which are transformed to 36 numbers per channel;
//! a matrix product over the channels at each of the 36 positions and a second transform give the tile. The points are
//! 0, ±1, ±2 and infinity. In float32 the error is about ten times that of a direct convolution, 3e-6 relative.
//!
//! Filters are kept as they came and transformed at each call, a panel of output columns at a time: that costs about as
//! much as the products of four tiles, and saves four times the memory for the weights, and the traffic of reading it.

use std::ops::Range;

use crate::conv2d::Map;
use crate::gemm::{Epilogue, accumulate, read};
use crate::packed::{Numbers, PackedWeights, Stored};
use crate::pool;
use crate::scratch::Scratch;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::tensor::SharedMut;
use crate::tile::{Tile, with_tile};

/// Pixels of the input, each way, that a tile needs.
const IN: usize = 6;
/// Pixels of the output, each way, that a tile makes.
const OUT: usize = 4;
const POSITIONS: usize = IN * IN;
/// Floats of transformed input that are made before they are used: they should stay in the last-level cache.
const BLOCK_FLOATS: usize = 2 << 20;
/// Tiles whose sums with a panel stay in a core's second-level cache until they are transformed; a multiple of every tile's
/// rows.
const TASK_TILES: usize = 48;
/// Between the numbers of two positions, so that they do not all fall into the same few sets of a cache.
const GAP: usize = 5 * LANES;

/// Whether the method is faster than a direct convolution of 3×3 filters: what it multiplies and transforms for one image,
/// in vector operations, against what the other multiplies. Transforms were measured to cost as much as so many
/// multiplications of a vector.
///
/// A fixed rule, on purpose: which method is taken changes a picture's last bits, so it may depend on neither the batch nor a
/// measurement that comes out differently from day to day.
pub(crate) fn pays_off(inputs: usize, outputs: usize, (height, width): (usize, usize)) -> bool {
    const FILTER: usize = 160;
    const INPUT: usize = 200;
    const OUTPUT: usize = 200;
    let tiles = height.div_ceil(OUT) * width.div_ceil(OUT);
    let (panel_rows, vectors) = (inputs.div_ceil(LANES), outputs.div_ceil(LANES));
    let transforms = FILTER * inputs * vectors + tiles * (INPUT * panel_rows + OUTPUT * vectors);
    POSITIONS * tiles * inputs * vectors + transforms < 9 * height * width * inputs * vectors
}

/// Convolves `batch` images of `map` with 3×3 `filters` into `out`, `(batch, height, width, out)`.
pub(crate) fn convolve(filters: &PackedWeights, map: &Map<'_>, batch: usize, epilogue: Epilogue<'_>, out: SharedMut) {
    let across = (map.out_height.div_ceil(OUT), map.out_width.div_ceil(OUT));
    let tiles = batch * across.0 * across.1;
    if tiles == 0 {
        return;
    }
    let stride = filters.depth.next_multiple_of(LANES);
    let block = (BLOCK_FLOATS / (POSITIONS * stride)).next_multiple_of(TASK_TILES).min(tiles);
    let mut transformed = Scratch::take(POSITIONS * (block * stride + GAP));
    let shape = Layout { across, stride, position: block * stride + GAP };
    for first in (0..tiles).step_by(block) {
        let count = block.min(tiles - first);
        let shared = SharedMut::new(&mut transformed);
        pool::for_each_range(count, (count / (4 * pool::threads())).clamp(1, 8), |range| {
            dispatch(filters.isa, Input { map, layout: shape, first, range, channels: filters.depth, out: shared });
        });
        let input = &transformed[..];
        // Panels first, since tasks that share one each transform its filters.
        let panels = filters.panels();
        let parts = (4 * pool::threads()).div_ceil(panels).min(count.div_ceil(TASK_TILES));
        let each = count.div_ceil(parts).next_multiple_of(TASK_TILES);
        pool::for_each(panels * parts, |task| {
            let (panel, part) = (task / parts, task % parts);
            let tiles = count.min(part * each)..count.min((part + 1) * each);
            dispatch(filters.isa, Output { filters, map, layout: shape, first, panel, tiles, input, epilogue, out });
        });
    }
}

/// How transformed input lies: for each position, for each tile of a block, the channels.
#[derive(Clone, Copy)]
struct Layout {
    /// Tiles of an image, down and across.
    across: (usize, usize),
    /// From tile to tile.
    stride: usize,
    /// From position to position.
    position: usize,
}

impl Layout {
    /// The image, and the row and column of the first output pixel, of a tile.
    #[inline(always)]
    fn corner(self, tile: usize) -> (usize, usize, usize) {
        let within = tile % (self.across.0 * self.across.1);
        (tile / (self.across.0 * self.across.1), within / self.across.1 * OUT, within % self.across.1 * OUT)
    }
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

/// `G g` of three vectors.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
unsafe fn transform_filter<S: Simd>(g: [S::V; 3]) -> [S::V; IN] {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        let (sixth, twelfth) = (S::splat(1.0 / 6.0), S::splat(1.0 / 12.0));
        let ends = S::mul(S::add(g[0], g[2]), S::splat(-1.0 / 6.0));
        let far = S::fma(g[2], sixth, S::mul(g[0], S::splat(1.0 / 24.0)));
        [
            S::mul(g[0], S::splat(0.25)),
            S::fma(g[1], S::splat(-1.0 / 6.0), ends),
            S::fma(g[1], sixth, ends),
            S::fma(g[1], twelfth, far),
            S::fma(g[1], S::splat(-1.0 / 12.0), far),
            g[2],
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
    map: &'a Map<'a>,
    layout: Layout,
    /// The first tile of the block.
    first: usize,
    range: Range<usize>,
    channels: usize,
    out: SharedMut,
}

impl Kernel for Input<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Layout { stride, position, .. } = self.layout;
        for tile in self.range.clone() {
            let (image, y, x) = self.layout.corner(self.first + tile);
            let pixels: [*const f32; POSITIONS] =
                std::array::from_fn(|i| self.map.pixel(image, y + i / IN, x + i % IN).as_ptr());
            for c in (0..self.channels).step_by(LANES) {
                let lanes = LANES.min(self.channels - c);
                // SAFETY: each pixel has `channels` floats; the output has `stride` floats for each position and tile of a
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
                            S::store(self.out.at((row * IN + column) * position + tile * stride + c), v);
                        }
                    }
                }
            }
        }
    }
}

/// One task of the second half: a panel's filters, their products with some tiles, and their transform to pixels.
struct Output<'a> {
    filters: &'a PackedWeights,
    map: &'a Map<'a>,
    layout: Layout,
    first: usize,
    panel: usize,
    tiles: Range<usize>,
    input: &'a [f32],
    epilogue: Epilogue<'a>,
    out: SharedMut,
}

impl Kernel for Output<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        if self.tiles.is_empty() {
            return;
        }
        let width = self.filters.width();
        let position = self.filters.depth * width + GAP;
        let mut weights = Scratch::take(POSITIONS * position);
        let mut sums = Scratch::take(POSITIONS * TASK_TILES * width);
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match self.filters.numbers() {
                Numbers::F32(numbers) => self.transform::<S, _>(numbers, position, &mut weights),
                Numbers::F16(numbers) => self.transform::<S, _>(numbers, position, &mut weights),
                Numbers::Bf16(numbers) => self.transform::<S, _>(numbers, position, &mut weights),
            }
            for first in self.tiles.clone().step_by(TASK_TILES) {
                let tiles = first..self.tiles.end.min(first + TASK_TILES);
                for (p, sums) in sums.chunks_exact_mut(TASK_TILES * width).take(POSITIONS).enumerate() {
                    let weights = &weights[p * position..][..self.filters.depth * width];
                    for tile in tiles.clone().step_by(S::TILE_ROWS) {
                        let rows = S::TILE_ROWS.min(tiles.end - tile);
                        let sums = &mut sums[(tile - first) * width..];
                        let input = &self.input[p * self.layout.position + tile * self.layout.stride..];
                        let depth = self.filters.depth;
                        let mut product = Product { input, stride: self.layout.stride, depth, weights, rows, sums };
                        with_tile::<S>(rows, self.filters.vectors, &mut product);
                    }
                }
                for tile in tiles {
                    for vector in 0..self.filters.vectors {
                        self.finish::<S>(&sums, tile, tile - first, vector);
                    }
                }
            }
        }
    }
}

impl Output<'_> {
    /// Fills `weights`, for each position the panel's rows.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn transform<S: Simd, T: Stored>(&self, numbers: &[T], position: usize, weights: &mut [f32]) {
        let size = self.filters.depth * self.filters.width();
        let numbers = &numbers[self.filters.start(self.panel, 0)..][..9 * size];
        assert!(weights.len() >= POSITIONS * position && position >= size);
        for at in (0..size).step_by(LANES) {
            // SAFETY: there are `size` numbers for each tap and each position, whole vectors.
            unsafe {
                let mut half = [[S::splat(0.0); 3]; IN];
                for column in 0..3 {
                    let tap = |row: usize| T::load::<S>(numbers.as_ptr().add((row * 3 + column) * size + at));
                    for (row, v) in transform_filter::<S>([tap(0), tap(1), tap(2)]).into_iter().enumerate() {
                        half[row][column] = v;
                    }
                }
                for (row, g) in half.into_iter().enumerate() {
                    for (column, v) in transform_filter::<S>(g).into_iter().enumerate() {
                        S::store(weights.as_mut_ptr().add((row * IN + column) * position + at), v);
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
            accumulate::<S, ROWS, VECTORS>(&rows, self.depth, self.weights.as_ptr(), width, &mut found);
            for (found, sums) in found.iter().zip(sums.chunks_exact_mut(width)) {
                for (v, sums) in found.iter().zip(sums.chunks_exact_mut(LANES)) {
                    S::store(sums.as_mut_ptr(), *v);
                }
            }
        }
    }
}
