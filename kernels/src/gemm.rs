//! The matrix product that linear layers and convolutions share.
//!
//! `out[row][n] = Σ_tap Σ_k input(row, tap)[k] · weight[tap · depth + k][n]`: a linear layer has one tap, a 3×3 convolution
//! nine (the *indirect* form of Dukhan 2019: no patch is ever copied, each tap of each row is a pointer). The sum over
//! `(tap, k)` is one chain of fused multiply-adds in that order, started at zero, for each element of the output. Splitting
//! the chain in blocks that pass through memory does not change it, nor does the size of a tile; so the bits of a row
//! depend on nothing but its own input and the weights.

use crate::Activation;
use crate::math;
use crate::packed::PackedWeights;
use crate::pool;
use crate::scratch::Scratch;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::tensor::SharedMut;
use crate::tile::{Tile, with_tile};

/// Floats of a block of packed weights that should stay in a core's second-level cache while rows pass by.
const BLOCK_FLOATS: usize = 32 * 1024;
/// How many of their rows before they are used weights are asked for, that lie in the second-level cache.
pub(crate) const WEIGHTS_AHEAD: usize = 8;
/// Rows that one task takes: enough that a block of weights is used often, few enough that tasks balance.
pub(crate) const TASK_ROWS: usize = 192;

/// Where the rows of the left matrix lie in memory.
pub(crate) trait Rows: Sync {
    /// Rows that one task takes, so that what lies under them stays in a core's second-level cache.
    fn task_rows(&self) -> usize {
        TASK_ROWS
    }

    /// Writes the address of `depth` floats for each tap of `row`: `pointers[tap * stride]`.
    ///
    /// The addresses must stay readable while `self` lives.
    fn addresses(&self, row: usize, pointers: &mut [*const f32], stride: usize);
}

/// What is done to a sum before it is stored: bias, then what is added to an image, then residual, then activation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epilogue<'a> {
    /// Of the output.
    pub(crate) columns: usize,
    /// One for each column.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) per_image: Option<PerImage<'a>>,
    /// Of the output's shape.
    pub(crate) residual: Option<&'a [f32]>,
    pub(crate) activation: Activation,
}

/// Numbers that are added to each row of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerImage<'a> {
    /// For each image one number for each column.
    pub(crate) values: &'a [f32],
    /// Numbers of an image's output.
    pub(crate) image: usize,
}

impl Epilogue<'_> {
    /// Finishes `lanes` sums that begin at column `column` and at `at` in the output, and stores them.
    ///
    /// # Safety
    ///
    /// See [`Simd`]; `column + lanes` is at most the number of columns, `at + lanes` at most the size of the output, and no
    /// other task writes there.
    #[inline(always)]
    pub(crate) unsafe fn store<S: Simd>(&self, sum: S::V, at: usize, column: usize, lanes: usize, out: SharedMut) {
        // SAFETY: bias, residual and what images get have the sizes that the caller promises to stay within.
        unsafe {
            let mut v = sum;
            if let Some(bias) = self.bias {
                v = S::add(v, read::<S>(bias.as_ptr().add(column), lanes));
            }
            if let Some(PerImage { values, image }) = self.per_image {
                v = S::add(v, read::<S>(values.as_ptr().add(at / image * self.columns + column), lanes));
            }
            if let Some(residual) = self.residual {
                v = S::add(v, read::<S>(residual.as_ptr().add(at), lanes));
            }
            write::<S>(out.at(at), math::activate::<S>(v, self.activation), lanes);
        }
    }
}

/// Computes all `rows` rows of the product into `out`, `rows * columns` floats.
pub(crate) fn multiply(
    input: &impl Rows,
    weights: &PackedWeights,
    rows: usize,
    epilogue: Epilogue<'_>,
    out: SharedMut,
) {
    if rows == 0 {
        return;
    }
    assert!(epilogue.residual.is_none_or(|r| r.len() == rows * weights.columns), "the residual has the output's shape");
    assert!(epilogue.per_image.is_none_or(|i| i.values.len() * i.image == rows * weights.columns * weights.columns));
    assert!(epilogue.bias.is_none_or(|b| b.len() == weights.columns), "the bias has one number for each column");
    let panels = weights.panels();
    // With few rows the weights are the traffic: tasks share out the panels, and each weight is read once. With many rows
    // tasks share out the rows.
    let task_rows = input.task_rows();
    let row_tasks = rows.div_ceil(task_rows);
    let panel_tasks =
        if row_tasks >= 4 * pool::threads() { 1 } else { panels.min((8 * pool::threads()).div_ceil(row_tasks)) };
    let panels_each = panels.div_ceil(panel_tasks);
    let panel_tasks = panels.div_ceil(panels_each);
    pool::for_each(row_tasks * panel_tasks, |task| {
        let (row_task, panel_task) = (task / panel_tasks, task % panel_tasks);
        let first_panel = panel_task * panels_each;
        let block = Block {
            input,
            weights,
            epilogue,
            out,
            rows: row_task * task_rows..rows.min((row_task + 1) * task_rows),
            panels: first_panel..panels.min(first_panel + panels_each),
        };
        dispatch(weights.isa, block);
    });
}

/// One task of a product: some rows, some panels of columns.
struct Block<'a, R> {
    input: &'a R,
    weights: &'a PackedWeights,
    epilogue: Epilogue<'a>,
    out: SharedMut,
    rows: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
}

/// A stretch of the sum's chain: some taps in full, or a part of one tap.
struct Stretch {
    taps: std::ops::Range<usize>,
    depth: std::ops::Range<usize>,
}

/// Cuts the chain so that a panel's stretch fits [`BLOCK_FLOATS`].
fn stretches(taps: usize, depth: usize, width: usize) -> Vec<Stretch> {
    let most = BLOCK_FLOATS / width;
    if depth <= most {
        let step = most / depth;
        (0..taps).step_by(step).map(|t| Stretch { taps: t..taps.min(t + step), depth: 0..depth }).collect()
    } else {
        let starts = move |tap| {
            (0..depth).step_by(most).map(move |d| Stretch { taps: tap..tap + 1, depth: d..depth.min(d + most) })
        };
        (0..taps).flat_map(starts).collect()
    }
}

impl<R: Rows> Kernel for Block<'_, R> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let tile_rows = S::TILE_ROWS;
        let taps = self.weights.taps;
        let tiles = self.rows.len().div_ceil(tile_rows);
        // The addresses of a tile: tap after tap, `tile_rows` each; a short last tile repeats its last row.
        let mut table = vec![std::ptr::null(); tiles * taps * tile_rows];
        for tile in 0..tiles {
            for i in 0..tile_rows {
                let row = (self.rows.start + tile * tile_rows + i).min(self.rows.end - 1);
                self.input.addresses(row, &mut table[tile * taps * tile_rows + i..], tile_rows);
            }
        }
        let weights = self.weights;
        let all = stretches(taps, weights.depth, weights.width());
        let mut room = Scratch::take(if weights.is_narrow() { BLOCK_FLOATS } else { 0 });
        for (n, stretch) in all.iter().enumerate() {
            let (first, last) = (n == 0, n + 1 == all.len());
            for panel in self.panels.clone() {
                let start = weights.start(panel, stretch.taps.start) + stretch.depth.start * weights.width();
                let count = stretch.taps.len() * stretch.depth.len() * weights.width();
                // SAFETY: the caller's promise is passed on.
                let numbers = unsafe { weights.rows::<S>(start, count, &mut room) };
                for tile in 0..tiles {
                    let row = self.rows.start + tile * tile_rows;
                    let rows = tile_rows.min(self.rows.end - row);
                    let pointers = &table[tile * taps * tile_rows..];
                    let mut span = Span { block: &self, pointers, stretch, numbers, panel, row, rows, first, last };
                    // SAFETY: the caller's promise is passed on.
                    unsafe { with_tile::<S>(rows, weights.vectors, &mut span) };
                }
            }
        }
    }
}

/// One tile of the output and the stretch of the chain that is to be added to it.
struct Span<'a, R> {
    block: &'a Block<'a, R>,
    pointers: &'a [*const f32],
    stretch: &'a Stretch,
    /// The stretch's weights.
    numbers: *const f32,
    panel: usize,
    row: usize,
    /// Rows of the tile that exist.
    rows: usize,
    first: bool,
    last: bool,
}

impl<R: Rows> Tile for Span<'_, R> {
    #[inline(always)]
    unsafe fn compute<S: Simd, const ROWS: usize, const VECTORS: usize>(&mut self) {
        let Block { weights, epilogue, out, .. } = *self.block;
        let width = VECTORS * LANES;
        let first_column = self.panel * width;
        let columns = width.min(weights.columns - first_column);
        // SAFETY: `out` has `rows * columns` floats and this task alone writes this tile; there are `width` weights for each
        // element of the stretch; the table holds readable addresses of `depth` floats.
        unsafe {
            let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
            if !self.first {
                for (i, sum) in sums.iter_mut().enumerate() {
                    if i >= self.rows {
                        break;
                    }
                    for (j, v) in sum.iter_mut().enumerate() {
                        let Some(lanes) = columns.checked_sub(j * LANES).map(|n| n.min(LANES)) else { break };
                        let at = out.at((self.row + i) * weights.columns + first_column + j * LANES);
                        *v = read::<S>(at, lanes);
                    }
                }
            }
            let mut b = self.numbers;
            for tap in self.stretch.taps.clone() {
                let mut a: [*const f32; ROWS] = [std::ptr::null(); ROWS];
                for (a, p) in a.iter_mut().zip(&self.pointers[tap * S::TILE_ROWS..][..ROWS]) {
                    *a = p.add(self.stretch.depth.start);
                }
                accumulate::<S, ROWS, VECTORS, WEIGHTS_AHEAD>(&a, 1, self.stretch.depth.len(), b, width, &mut sums);
                b = b.add(self.stretch.depth.len() * width);
            }
            // A loop that ends early, not one over fewer rows: the compiler unrolls it, and the sums stay in registers.
            for (i, sum) in sums.iter().enumerate() {
                if i >= self.rows {
                    break;
                }
                for (j, v) in sum.iter().enumerate() {
                    let Some(lanes) = columns.checked_sub(j * LANES).map(|n| n.min(LANES)) else { break };
                    let column = first_column + j * LANES;
                    let at = (self.row + i) * weights.columns + column;
                    if self.last {
                        epilogue.store::<S>(*v, at, column, lanes, out);
                    } else {
                        write::<S>(out.at(at), *v, lanes);
                    }
                }
            }
        }
    }
}

/// `sums[i][j] += Σ_k a[i][k * step] · b[k * width + 16 j ..]`, one fused multiply-add after the other. Rows of `b` are asked for
/// `AHEAD` rows before they are used; none are where that is 0, for a `b` that is in the first-level cache.
///
/// # Safety
///
/// See [`Simd`]; each of `a` has `depth` floats at a distance of `step`, `b` has `depth` rows at a distance of `width`.
#[inline(always)]
pub(crate) unsafe fn accumulate<S: Simd, const ROWS: usize, const VECTORS: usize, const AHEAD: usize>(
    a: &[*const f32; ROWS],
    step: usize,
    depth: usize,
    b: *const f32,
    width: usize,
    sums: &mut [[S::V; VECTORS]; ROWS],
) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        // A copy that only this loop sees stays in registers.
        let mut found = *sums;
        let mut b = b;
        for k in 0..depth {
            let mut w = [S::splat(0.0); VECTORS];
            for (j, w) in w.iter_mut().enumerate() {
                *w = S::load(b.add(j * LANES));
                if AHEAD > 0 {
                    S::prefetch(b.wrapping_add(AHEAD * width + j * LANES));
                }
            }
            for i in 0..ROWS {
                S::fma_row(a[i], k * step, &w, &mut found[i]);
            }
            b = b.add(width);
        }
        *sums = found;
    }
}

/// `lanes` floats at `p`; zeros in the other lanes.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn read<S: Simd>(p: *const f32, lanes: usize) -> S::V {
    // SAFETY: the caller's promise is passed on.
    unsafe { if lanes == LANES { S::load(p) } else { S::load_partial(p, lanes) } }
}

/// Stores the first `lanes` floats of `v` at `p`.
///
/// # Safety
///
/// See [`Simd`].
#[inline(always)]
pub(crate) unsafe fn write<S: Simd>(p: *mut f32, v: S::V, lanes: usize) {
    // SAFETY: the caller's promise is passed on.
    unsafe { if lanes == LANES { S::store(p, v) } else { S::store_partial(p, v, lanes) } }
}
