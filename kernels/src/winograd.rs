//! 3×3 convolution with a quarter of the multiplications: F(4×4, 3×3) of Lavin and Gray 2016.
//!
//! The output is made in tiles of 4×4. Each needs 6×6 pixels of the input, which are transformed to 36 numbers per channel;
//! a matrix product over the channels at each of the 36 positions and a second transform give the tile. The points are
//! 0, ±1, ±2 and infinity. In float32 the error is about ten times that of a direct convolution, 3e-6 relative.
//!
//! Filters are kept as they came and transformed at each call, a panel of output columns at a time: that costs about as
//! much as the products of four tiles, and saves four times the memory for the weights, and the traffic of reading it.

mod output;
mod transform;

use std::ops::Range;

use crate::conv2d::Map;
use crate::gemm::{Epilogue, read};
use crate::packed::PackedWeights;
use crate::pool;
use crate::scratch::Scratch;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::tensor::SharedMut;
use output::Output;
use transform::transform_input;

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
/// Channels whose transformed filters stay in the second-level cache beside those sums. All channels are transformed at once
/// only where more tiles than one task's come to use them.
const FEW_CHANNELS: usize = 64;
/// Between the numbers of two positions, so that they do not all fall into the same few sets of a cache.
const GAP: usize = 5 * LANES;

/// The fewest channels of input and output that the method is taken for.
const CHANNELS: usize = 64;

/// Whether the method is faster than a direct convolution of 3×3 filters: what it multiplies and transforms for one image,
/// in vector operations, against what the other multiplies. A transform counts as its arithmetic, loads and
/// stores.
///
/// A fixed rule, on purpose: which method is taken changes a picture's last bits, so it may depend on neither the batch nor a
/// measurement that comes out differently from day to day.
///
/// With fewer than [`CHANNELS`] it is never taken: its error is then large beside the sums, and a pixel-space model multiplies it by
/// its highest noise level, which showed in pictures compared with diffusers'.
pub(crate) fn pays_off(inputs: usize, outputs: usize, (height, width): (usize, usize)) -> bool {
    const FILTER: usize = 160;
    const INPUT: usize = 200;
    const OUTPUT: usize = 200;
    let tiles = height.div_ceil(OUT) * width.div_ceil(OUT);
    let (panel_rows, vectors) = (inputs.div_ceil(LANES), outputs.div_ceil(LANES));
    let transforms = FILTER * inputs * vectors + tiles * (INPUT * panel_rows + OUTPUT * vectors);
    inputs.min(outputs) >= CHANNELS
        && POSITIONS * tiles * inputs * vectors + transforms < 9 * height * width * inputs * vectors
}

/// Convolves `batch` images of `map` with 3×3 `filters` into `out`, `(batch, height, width, out)`.
pub(crate) fn convolve(filters: &PackedWeights, map: &Map<'_>, batch: usize, epilogue: Epilogue<'_>, out: SharedMut) {
    let across = (map.out_height.div_ceil(OUT), map.out_width.div_ceil(OUT));
    let tiles = batch * across.0 * across.1;
    if tiles == 0 {
        return;
    }
    let stride = filters.depth.next_multiple_of(LANES);
    let block = (BLOCK_FLOATS / (POSITIONS * stride)).max(1).next_multiple_of(TASK_TILES).min(tiles);
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
