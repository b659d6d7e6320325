//! Scaled dot-product attention without a score matrix.
//!
//! Keys are taken in blocks with a running maximum and a running sum of each query's softmax (Milakov and Gimelshein 2018;
//! Dao et al. 2022). Blocks have a fixed size, so the order of the additions depends on the number of keys alone.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::gemm::accumulate;
use crate::math;
use crate::pool;
use crate::simd::{Isa, Kernel, LANES, Simd, dispatch};
use crate::tensor::{SharedMut, filled, floats, output};

/// Keys of a block: with their values they stay in the second-level cache while queries pass by.
const KEY_BLOCK: usize = 512;
/// Queries that one task takes, a multiple of every tile's rows.
const TASK_QUERIES: usize = 192;

/// Which keys a query may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mask {
    None,
    /// Query `i` looks at keys `0..=i`.
    Causal,
}

/// Multi-head attention: `q` is `(batch, n, heads * d)`, `k` and `v` are `(batch, m, heads * d)`, the answer `(batch, n, heads * d)`.
/// Scores are multiplied by `scale` before the softmax.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, scale: f32, mask: Mask) -> Result<Tensor> {
    attention_with_isa(q, k, v, Options { heads, scale, mask, isa: Isa::best() })
}

/// What [`attention`] is told beside its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub heads: usize,
    pub scale: f32,
    pub mask: Mask,
    pub isa: Isa,
}

/// [`attention`] with an instruction set that is not the best one, to compare them.
pub fn attention_with_isa(q: &Tensor, k: &Tensor, v: &Tensor, options: Options) -> Result<Tensor> {
    q.contiguous()?.apply_op3_no_bwd(&k.contiguous()?, &v.contiguous()?, &Op(options))
}

struct Op(Options);

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, queries, inner) = q_layout.shape().dims3()?;
        let keys = k_layout.dims().get(1).copied().unwrap_or(0);
        let fits = k_layout.dims() == [batch, keys, inner] && v_layout.dims() == k_layout.dims() && keys > 0;
        let heads = self.0.heads;
        if !fits || heads == 0 || inner == 0 || !inner.is_multiple_of(heads) {
            bail!(
                "attention of {heads} heads was given {:?}, {:?} and {:?}",
                q_layout.shape(),
                k_layout.shape(),
                v_layout.shape()
            )
        }
        let shape = Sizes { options: self.0, batch, queries, keys, inner, width: inner / heads };
        let packed = Packed::new(shape, floats(k, k_layout)?, floats(v, v_layout)?);
        let q = floats(q, q_layout)?;
        let tasks_each = queries.div_ceil(TASK_QUERIES);
        let fill = |out| {
            pool::for_each(batch * heads * tasks_each, |task| {
                let (pair, part) = (task / tasks_each, task % tasks_each);
                let queries = part * TASK_QUERIES..queries.min((part + 1) * TASK_QUERIES);
                dispatch(self.0.isa, Queries { sizes: shape, q, packed: &packed, pair, queries, out });
            });
        };
        // SAFETY: the tasks cover every query of every head of every batch row.
        Ok(output(unsafe { filled(q.len(), fill) }, q_layout.shape().clone()))
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    options: Options,
    batch: usize,
    queries: usize,
    keys: usize,
    /// `heads * width`
    inner: usize,
    /// Channels of a head.
    width: usize,
}

impl Sizes {
    /// Keys in a panel of packed keys.
    fn panel(self) -> usize {
        match self.options.isa {
            Isa::Avx512 => 2 * LANES,
            Isa::Avx2 | Isa::Portable => LANES,
        }
    }

    /// Floats of the packed keys of one head.
    fn keys_length(self) -> usize {
        self.keys.next_multiple_of(self.panel()) * self.width
    }

    fn padded_width(self) -> usize {
        self.width.next_multiple_of(LANES)
    }

    /// Where the channels of a head begin at a position of a sequence.
    fn start(self, pair: usize, length: usize, position: usize) -> usize {
        let (image, head) = (pair / self.options.heads, pair % self.options.heads);
        (image * length + position) * self.inner + head * self.width
    }
}

/// Keys and values of each head in the order in which they are read.
struct Packed {
    /// For each head: panels of keys, each with the channels as rows.
    keys: Vec<f32>,
    /// For each head: each key's value, padded to whole vectors.
    values: Vec<f32>,
}

impl Packed {
    fn new(sizes: Sizes, k: &[f32], v: &[f32]) -> Self {
        let heads = sizes.batch * sizes.options.heads;
        let (panel, padded) = (sizes.panel(), sizes.padded_width());
        let mut keys = vec![0.0; heads * sizes.keys_length()];
        pool::for_each_chunk(&mut keys, sizes.keys_length(), |pair, packed| {
            for key in 0..sizes.keys {
                let row = &k[sizes.start(pair, sizes.keys, key)..][..sizes.width];
                let first = key / panel * panel * sizes.width + key % panel;
                for (c, x) in row.iter().enumerate() {
                    packed[first + c * panel] = *x;
                }
            }
        });
        let mut values = vec![0.0; heads * sizes.keys * padded];
        pool::for_each_chunk(&mut values, sizes.keys * padded, |pair, packed| {
            for (key, row) in packed.chunks_exact_mut(padded).enumerate() {
                row[..sizes.width].copy_from_slice(&v[sizes.start(pair, sizes.keys, key)..][..sizes.width]);
            }
        });
        Self { keys, values }
    }
}

/// One task: some queries of one head.
struct Queries<'a> {
    sizes: Sizes,
    q: &'a [f32],
    packed: &'a Packed,
    /// `batch row * heads + head`
    pair: usize,
    queries: Range<usize>,
    out: SharedMut,
}

/// What is known of the queries of a task after some blocks of keys.
struct Running {
    maximum: Vec<f32>,
    sum: Vec<f32>,
    /// For each query the weighted values, padded to whole vectors, not yet divided by the sum.
    values: Vec<f32>,
    /// The scores of one tile of queries with one block of keys, and then their exponentials.
    scores: Vec<f32>,
}

impl Kernel for Queries<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match S::TILE_ROWS {
                12 => self.attend::<S, 12, 2>(),
                6 => self.attend::<S, 6, 1>(),
                4 => self.attend::<S, 4, 1>(),
                _ => unreachable!("the tiles of all instruction sets are named above"),
            }
        }
    }
}

impl Queries<'_> {
    /// # Safety
    ///
    /// See [`Simd`]; `VECTORS` vectors make a panel of keys.
    #[inline(always)]
    unsafe fn attend<S: Simd, const ROWS: usize, const VECTORS: usize>(&self) {
        let sizes = self.sizes;
        let padded = sizes.padded_width();
        let count = self.queries.len().next_multiple_of(ROWS);
        let mut running = Running {
            maximum: vec![f32::NEG_INFINITY; count],
            sum: vec![0.0; count],
            values: vec![0.0; count * padded],
            scores: vec![0.0; ROWS * KEY_BLOCK],
        };
        for first in (0..sizes.keys).step_by(KEY_BLOCK) {
            let block = first..sizes.keys.min(first + KEY_BLOCK);
            for tile in (0..count).step_by(ROWS) {
                // SAFETY: the caller's promise is passed on.
                unsafe {
                    self.score::<S, ROWS, VECTORS>(&mut running.scores, tile, block.clone());
                    self.soften::<S>(&mut running, tile, ROWS, block.clone());
                    // Two vectors of channels at a time, where a tile has them: twice the sums for each number that is read.
                    let pairs = if VECTORS == 2 { padded / (2 * LANES) * 2 * LANES } else { 0 };
                    self.gather::<S, ROWS, 2>(&mut running, tile, block.clone(), 0..pairs);
                    self.gather::<S, ROWS, 1>(&mut running, tile, block.clone(), pairs..padded);
                }
            }
        }
        for (i, query) in self.queries.clone().enumerate() {
            let at = sizes.start(self.pair, sizes.queries, query);
            for (c, value) in running.values[i * padded..][..sizes.width].iter().enumerate() {
                // SAFETY: the output has the shape of the queries, and this task alone writes these.
                unsafe { self.out.at(at + c).write(value / running.sum[i]) };
            }
        }
    }

    /// The scaled scores of a tile of queries with a block of keys.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn score<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &self,
        scores: &mut [f32],
        tile: usize,
        block: Range<usize>,
    ) {
        let sizes = self.sizes;
        let panel = VECTORS * LANES;
        let last = self.queries.end - 1;
        let rows: [*const f32; ROWS] = std::array::from_fn(|i| {
            self.q[sizes.start(self.pair, sizes.queries, last.min(self.queries.start + tile + i))..].as_ptr()
        });
        let keys = &self.packed.keys[self.pair * sizes.keys_length()..];
        for key in block.clone().step_by(panel) {
            // SAFETY: each query has `width` channels; a panel of packed keys has `width` rows of `panel` floats. The block's
            // size is a multiple of the panel's, so the scores of its last panel have room too.
            unsafe {
                let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
                accumulate::<S, ROWS, VECTORS>(
                    &rows,
                    sizes.width,
                    keys[key * sizes.width..].as_ptr(),
                    panel,
                    &mut sums,
                );
                for (i, sum) in sums.iter().enumerate() {
                    for (j, v) in sum.iter().enumerate() {
                        let at = scores[i * KEY_BLOCK + key - block.start + j * LANES..].as_mut_ptr();
                        S::store(at, S::mul(*v, S::splat(sizes.options.scale)));
                    }
                }
            }
        }
    }

    /// Turns scores into exponentials under the new maximum, and scales down what was gathered under the old one.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn soften<S: Simd>(&self, running: &mut Running, tile: usize, rows: usize, block: Range<usize>) {
        let padded = self.sizes.padded_width();
        for i in 0..rows {
            let query = tile + i;
            let visible = match self.sizes.options.mask {
                Mask::None => block.len(),
                Mask::Causal => (self.queries.start + query + 1).saturating_sub(block.start).min(block.len()),
            };
            let (row, hidden) = running.scores[i * KEY_BLOCK..][..block.len()].split_at_mut(visible);
            hidden.fill(0.0);
            if row.is_empty() {
                continue;
            }
            // SAFETY: chunks are within the row; the row of values has `padded` floats, whole vectors.
            unsafe {
                let mut maximum = S::splat(f32::NEG_INFINITY);
                let chunks = row.chunks_exact(LANES);
                let mut greatest = chunks.remainder().iter().copied().fold(running.maximum[query], f32::max);
                for chunk in chunks {
                    maximum = S::max(maximum, S::load(chunk.as_ptr()));
                }
                greatest = greatest.max(S::maximum(maximum));
                let mut sum = S::splat(0.0);
                for chunk in row.chunks_mut(LANES) {
                    if chunk.len() == LANES {
                        let e = math::exp::<S>(S::sub(S::load(chunk.as_ptr()), S::splat(greatest)));
                        S::store(chunk.as_mut_ptr(), e);
                        sum = S::add(sum, e);
                    } else {
                        let e =
                            math::exp::<S>(S::sub(S::load_partial(chunk.as_ptr(), chunk.len()), S::splat(greatest)));
                        S::store_partial(chunk.as_mut_ptr(), e, chunk.len());
                        sum = S::add(sum, S::load_partial(chunk.as_ptr(), chunk.len()));
                    }
                }
                if running.maximum[query] != greatest {
                    let shrink = (running.maximum[query] - greatest).exp();
                    running.sum[query] *= shrink;
                    for chunk in running.values[query * padded..][..padded].chunks_exact_mut(LANES) {
                        S::store(chunk.as_mut_ptr(), S::mul(S::load(chunk.as_ptr()), S::splat(shrink)));
                    }
                    running.maximum[query] = greatest;
                }
                running.sum[query] += S::sum(sum);
            }
        }
    }

    /// Adds some channels of the values of a block of keys, weighted by the exponentials.
    ///
    /// # Safety
    ///
    /// See [`Simd`]; `channels` are of `padded_width` and a multiple of `VECTORS` vectors.
    #[inline(always)]
    unsafe fn gather<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &self,
        running: &mut Running,
        tile: usize,
        block: Range<usize>,
        channels: Range<usize>,
    ) {
        let padded = self.sizes.padded_width();
        let rows: [*const f32; ROWS] = std::array::from_fn(|i| running.scores[i * KEY_BLOCK..].as_ptr());
        let values = &self.packed.values[(self.pair * self.sizes.keys + block.start) * padded..];
        for first in channels.step_by(VECTORS * LANES) {
            let sums_at = |i: usize, j: usize| (tile + i) * padded + first + j * LANES;
            // SAFETY: the scores of each row and the values of each key of the block are there; the running values have
            // `padded` floats for each query of the tile.
            unsafe {
                let load = |i, j| S::load(running.values[sums_at(i, j)..][..LANES].as_ptr());
                let mut sums: [[S::V; VECTORS]; ROWS] = std::array::from_fn(|i| std::array::from_fn(|j| load(i, j)));
                accumulate::<S, ROWS, VECTORS>(&rows, block.len(), values[first..].as_ptr(), padded, &mut sums);
                for (i, sums) in sums.iter().enumerate() {
                    for (j, sum) in sums.iter().enumerate() {
                        S::store(running.values[sums_at(i, j)..][..LANES].as_mut_ptr(), *sum);
                    }
                }
            }
        }
    }
}
