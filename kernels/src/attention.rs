//! Scaled dot-product attention without a score matrix.
//!
//! Keys are taken in blocks with a running maximum and a running sum of each query's softmax (Milakov and Gimelshein 2018;
//! Dao et al. 2022). The lanes of a vector are queries, and each number of a key or a value is for all of them: a head of any width
//! fills its vectors, and the softmax needs no sum across lanes. The queries of a task are turned once, and so is what was gathered
//! for them. The order of a query's additions depends on the number of keys and the width of a head alone.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::gemm::{accumulate, read, write};
use crate::math;
use crate::pool;
use crate::scratch::Scratch;
use crate::simd::{Isa, Kernel, LANES, Simd, dispatch};
use crate::tensor::{SharedMut, filled, floats, output};
use crate::tile::{Tile, with_tile};

/// Floats of a block's keys: with as many of its values they stay in the second-level cache while queries pass by.
const BLOCK_FLOATS: usize = 48 * 1024;
/// Keys of a block at most: their scores with a group of queries stay in the first-level cache.
const MOST_KEYS: usize = 96;
/// Queries of a group at most, two vectors.
const GROUP: usize = 2 * LANES;
/// Groups that one task takes at most: each block of keys is copied once for all of them.
const TASK_GROUPS: usize = 24;
/// Floats of a task's queries at most; there are as many of what is gathered for them.
const TASK_FLOATS: usize = 96 * 1024;

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
    #[cfg(feature = "cuda")]
    if q.device().is_cuda() {
        return crate::cuda::operations::attention(q, k, v, heads, scale, mask);
    }
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
        let sizes = Sizes { options: self.0, batch, queries, keys, inner, width: inner / heads };
        let (q, k, v) = (floats(q, q_layout)?, floats(k, k_layout)?, floats(v, v_layout)?);
        let task_queries = sizes.task_queries();
        let tasks_each = queries.div_ceil(task_queries);
        let fill = |out| {
            pool::for_each(batch * heads * tasks_each, |task| {
                let (pair, part) = (task / tasks_each, task % tasks_each);
                let queries = part * task_queries..queries.min((part + 1) * task_queries);
                dispatch(self.0.isa, Task { sizes, q, k, v, pair, queries, out });
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
    /// Keys of a block, a multiple of every tile's rows.
    fn block(self) -> usize {
        (BLOCK_FLOATS / self.width).clamp(12, MOST_KEYS) / 12 * 12
    }

    /// Fewer queries a task where there would be too few tasks for all threads. A query's bits do not depend on it.
    fn task_queries(self) -> usize {
        let groups = self.batch * self.options.heads * self.queries.div_ceil(GROUP);
        let most = (TASK_FLOATS / (self.width * GROUP)).clamp(1, TASK_GROUPS);
        (groups / (4 * pool::threads())).clamp(1, most) * GROUP
    }

    /// Floats from one key of a block to the next: whole cache lines, and an odd number of them, so that no two of a tile's keys
    /// fall on the same place of the first-level cache.
    fn stride(self) -> usize {
        (self.width.div_ceil(LANES) | 1) * LANES
    }

    /// Where the channels of a head begin at a position of a sequence.
    fn start(self, pair: usize, length: usize, position: usize) -> usize {
        let (image, head) = (pair / self.options.heads, pair % self.options.heads);
        (image * length + position) * self.inner + head * self.width
    }
}

/// Some queries of one head.
struct Task<'a> {
    sizes: Sizes,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    /// `batch row * heads + head`
    pair: usize,
    queries: Range<usize>,
    out: SharedMut,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Sizes { width, keys, .. } = self.sizes;
        let (block, stride) = (self.sizes.block(), self.sizes.stride());
        let groups = self.queries.len().div_ceil(GROUP);
        let mut room = Scratch::take(block * (GROUP + 2 * stride) + groups * (2 * width + 2) * GROUP);
        let (scores, rest) = room.split_at_mut(block * GROUP);
        let (keys_room, rest) = rest.split_at_mut(block * stride);
        let (values_room, mut rest) = rest.split_at_mut(block * stride);
        let mut all: Vec<Group<'_>> = Vec::with_capacity(groups);
        for first in self.queries.clone().step_by(GROUP) {
            let (queries, others) = std::mem::take(&mut rest).split_at_mut(width * GROUP);
            let (values, others) = others.split_at_mut(width * GROUP);
            let (maximum, others) = others.split_at_mut(GROUP);
            let (sum, others) = others.split_at_mut(GROUP);
            rest = others;
            values.fill(0.0);
            maximum.fill(f32::NEG_INFINITY);
            sum.fill(0.0);
            let range = first..self.queries.end.min(first + GROUP);
            all.push(Group { task: &self, range, queries, values, maximum, sum });
        }
        // SAFETY: the caller's promise is passed on.
        unsafe {
            for group in &mut all {
                group.turn_queries::<S>();
            }
            for first in (0..keys).step_by(block) {
                let range = first..keys.min(first + block);
                self.collect(self.k, range.clone(), keys_room);
                self.collect(self.v, range.clone(), values_room);
                let block = Block { range, keys: keys_room, values: values_room };
                for group in &mut all {
                    // A whole group fills two vectors where tiles have two, and passes twice where they have one.
                    match (S::TILE_ROWS, group.range.len() > LANES) {
                        (12, true) => group.attend::<S, 2>(&block, scores, 0),
                        (_, true) => {
                            group.attend::<S, 1>(&block, scores, 0);
                            group.attend::<S, 1>(&block, scores, LANES);
                        }
                        (_, false) => group.attend::<S, 1>(&block, scores, 0),
                    }
                }
            }
            for group in &mut all {
                group.turn_values::<S>();
            }
        }
    }
}

impl Task<'_> {
    /// Copies a head's channels at some positions of keys or values, so that they lie together.
    fn collect(&self, from: &[f32], positions: Range<usize>, room: &mut [f32]) {
        let Sizes { width, keys, .. } = self.sizes;
        for (position, row) in positions.zip(room.chunks_exact_mut(self.sizes.stride())) {
            row[..width].copy_from_slice(&from[self.sizes.start(self.pair, keys, position)..][..width]);
        }
    }
}

/// Some keys of a head with their values, one each [`Sizes::stride`].
struct Block<'a> {
    range: Range<usize>,
    keys: &'a [f32],
    values: &'a [f32],
}

/// Up to [`GROUP`] queries of a task, and what is known of them after some blocks of keys. A lane beyond `range` holds a query of zeros.
struct Group<'a> {
    task: &'a Task<'a>,
    range: Range<usize>,
    /// For each channel the queries, times scale and log₂ e.
    queries: &'a mut [f32],
    /// For each channel the weighted values of each query, not yet divided by the sum.
    values: &'a mut [f32],
    maximum: &'a mut [f32],
    sum: &'a mut [f32],
}

impl Group<'_> {
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn turn_queries<S: Simd>(&mut self) {
        let Task { sizes, q, pair, .. } = *self.task;
        let scale = sizes.options.scale * std::f32::consts::LOG2_E;
        for (lane, channel) in squares(sizes.width) {
            let lanes = LANES.min(sizes.width - channel);
            // SAFETY: a query has `width` channels, of which `lanes` are left; each channel has `GROUP` numbers.
            unsafe {
                let mut square = [S::splat(0.0); LANES];
                for (i, row) in square.iter_mut().enumerate() {
                    let query = self.range.start + lane + i;
                    if query < self.range.end {
                        let at = sizes.start(pair, sizes.queries, query) + channel;
                        *row = S::mul(read::<S>(q[at..at + lanes].as_ptr(), lanes), S::splat(scale));
                    }
                }
                S::transpose(&mut square);
                for (i, column) in square.iter().enumerate().take(lanes) {
                    S::store(self.queries[(channel + i) * GROUP + lane..][..LANES].as_mut_ptr(), *column);
                }
            }
        }
    }

    /// Writes the answer.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn turn_values<S: Simd>(&mut self) {
        let Task { sizes, pair, out, .. } = *self.task;
        for (lane, channel) in squares(sizes.width) {
            let lanes = LANES.min(sizes.width - channel);
            // SAFETY: as above; the output has the shape of the queries, and this task alone writes these.
            unsafe {
                let share = S::div(S::splat(1.0), S::load(self.sum[lane..][..LANES].as_ptr()));
                let mut square = [S::splat(0.0); LANES];
                for (i, row) in square.iter_mut().enumerate().take(lanes) {
                    let at = (channel + i) * GROUP + lane;
                    *row = S::mul(S::load(self.values[at..][..LANES].as_ptr()), share);
                }
                S::transpose(&mut square);
                for (query, row) in (self.range.start + lane..self.range.end).zip(&square) {
                    write::<S>(out.at(sizes.start(pair, sizes.queries, query) + channel), *row, lanes);
                }
            }
        }
    }

    /// Takes a block of keys into account, for the `VECTORS` vectors of queries from `lane` on.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn attend<S: Simd, const VECTORS: usize>(&mut self, block: &Block<'_>, scores: &mut [f32], lane: usize) {
        let width = self.task.sizes.width;
        let first = self.range.start + lane;
        let last = self.range.end.min(first + VECTORS * LANES) - 1;
        let (visible, hides) = match self.task.sizes.options.mask {
            Mask::None => (block.range.end, false),
            Mask::Causal => (block.range.end.min(last + 1), block.range.end > first + 1),
        };
        let keys = visible.saturating_sub(block.range.start);
        if keys == 0 {
            return;
        }
        let scores = &mut scores[..keys * GROUP];
        // SAFETY: the caller's promise is passed on.
        unsafe {
            let mut maximum = [[f32::NEG_INFINITY; LANES]; VECTORS];
            for row in (0..keys).step_by(S::TILE_ROWS) {
                let rows = S::TILE_ROWS.min(keys - row);
                let maximum = &mut maximum;
                let mut tile = Scores { group: self, block, scores, maximum, row, rows, lane };
                with_tile::<S>(rows, VECTORS, &mut tile);
            }
            let shrink = self.soften::<S, VECTORS>(scores, &maximum, hides.then_some(block.range.start), lane);
            for channel in (0..width).step_by(S::TILE_ROWS) {
                let rows = S::TILE_ROWS.min(width - channel);
                let mut tile = Values { group: self, block, scores, shrink: &shrink, channel, rows, lane };
                with_tile::<S>(rows, VECTORS, &mut tile);
            }
        }
    }

    /// Turns scores into exponentials under the new maximum. Says by how much that shrinks what was gathered under the old one.
    /// `hiding` is the position of the first key, where some queries may not look at some of the keys.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn soften<S: Simd, const VECTORS: usize>(
        &mut self,
        scores: &mut [f32],
        maximum: &[[f32; LANES]; VECTORS],
        hiding: Option<usize>,
        lane: usize,
    ) -> [[f32; LANES]; VECTORS] {
        let mut shrink = [[0.0; LANES]; VECTORS];
        for j in 0..VECTORS {
            let at = lane + j * LANES;
            // SAFETY: `at` is the first of sixteen queries of the group; each row of scores has as many as the group.
            unsafe {
                let place = self.places::<S>(at);
                let old = S::load(self.maximum[at..][..LANES].as_ptr());
                let mut greatest = S::load(maximum[j].as_ptr());
                if let Some(first) = hiding {
                    greatest = S::splat(f32::NEG_INFINITY);
                    for (row, scores) in scores.chunks_exact_mut(GROUP).enumerate() {
                        let score = scores[at..][..LANES].as_mut_ptr();
                        let key = S::splat((first + row) as f32);
                        let seen = S::select_greater(key, place, S::splat(f32::NEG_INFINITY), S::load(score));
                        S::store(score, seen);
                        greatest = S::max(greatest, seen);
                    }
                }
                let maximum = S::max(old, greatest);
                let ratio = math::exp2::<S>(S::sub(old, maximum));
                let mut sum = S::mul(S::load(self.sum[at..][..LANES].as_ptr()), ratio);
                for (row, scores) in scores.chunks_exact_mut(GROUP).enumerate() {
                    let score = scores[at..][..LANES].as_mut_ptr();
                    let mut e = math::exp2::<S>(S::sub(S::load(score), maximum));
                    if let Some(first) = hiding {
                        e = S::select_greater(S::splat((first + row) as f32), place, S::splat(0.0), e);
                    }
                    S::store(score, e);
                    sum = S::add(sum, e);
                }
                S::store(self.maximum[at..][..LANES].as_mut_ptr(), maximum);
                S::store(self.sum[at..][..LANES].as_mut_ptr(), sum);
                S::store(shrink[j].as_mut_ptr(), ratio);
            }
        }
        shrink
    }

    /// The positions of sixteen queries of the group.
    ///
    /// # Safety
    ///
    /// See [`Simd`].
    #[inline(always)]
    unsafe fn places<S: Simd>(&self, at: usize) -> S::V {
        let mut places = [0.0; LANES];
        for (i, place) in places.iter_mut().enumerate() {
            *place = (self.range.start + at + i) as f32;
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { S::load(places.as_ptr()) }
    }
}

/// Where squares of queries and channels begin: the lane, the channel.
fn squares(width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..GROUP).step_by(LANES).flat_map(move |lane| (0..width).step_by(LANES).map(move |channel| (lane, channel)))
}

/// The scores of a tile of a block's keys.
struct Scores<'g, 't> {
    group: &'g Group<'t>,
    block: &'g Block<'g>,
    /// For each key of the block `GROUP` of them.
    scores: &'g mut [f32],
    /// The greatest so far, for each vector of queries.
    maximum: &'g mut [[f32; LANES]],
    /// The tile's first key, counted from the block's.
    row: usize,
    /// Keys of the tile that exist.
    rows: usize,
    lane: usize,
}

impl Tile for Scores<'_, '_> {
    #[inline(always)]
    unsafe fn compute<S: Simd, const ROWS: usize, const VECTORS: usize>(&mut self) {
        let (width, stride) = (self.group.task.sizes.width, self.group.task.sizes.stride());
        let keys = &self.block.keys[self.row * stride..][..self.rows * stride];
        // Those beyond the last are computed as it is, and dropped.
        let keys: [*const f32; ROWS] = std::array::from_fn(|i| keys[i.min(self.rows - 1) * stride..].as_ptr());
        let queries = self.group.queries[self.lane..].as_ptr();
        let scores = &mut self.scores[self.row * GROUP..][..self.rows * GROUP];
        // SAFETY: each key has `width` channels, and so many rows have the queries; there are `GROUP` scores for each key.
        unsafe {
            let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
            accumulate::<S, ROWS, VECTORS, 0>(&keys, 1, width, queries, GROUP, &mut sums);
            let scores = scores.as_mut_ptr().add(self.lane);
            let mut maximum = sums[0];
            for (i, sums) in sums.iter().enumerate() {
                if i >= self.rows {
                    break;
                }
                for (j, sum) in sums.iter().enumerate() {
                    S::store(scores.add(i * GROUP + j * LANES), *sum);
                    maximum[j] = S::max(maximum[j], *sum);
                }
            }
            for (sofar, maximum) in self.maximum.iter_mut().zip(maximum) {
                S::store(sofar.as_mut_ptr(), S::max(S::load(sofar.as_ptr()), maximum));
            }
        }
    }
}

/// Some channels of the values of a block's keys, weighted by the exponentials, added to what was gathered.
struct Values<'g, 't> {
    group: &'g mut Group<'t>,
    block: &'g Block<'g>,
    /// For each key `GROUP` exponentials.
    scores: &'g [f32],
    /// For each vector of queries.
    shrink: &'g [[f32; LANES]],
    channel: usize,
    /// Channels of the tile that exist.
    rows: usize,
    lane: usize,
}

impl Tile for Values<'_, '_> {
    #[inline(always)]
    unsafe fn compute<S: Simd, const ROWS: usize, const VECTORS: usize>(&mut self) {
        let stride = self.group.task.sizes.stride();
        let keys = self.scores.len() / GROUP;
        let values = &self.block.values[self.channel..keys * stride];
        let scores = self.scores[self.lane..].as_ptr();
        // Those beyond the last are computed as it is, and dropped.
        let channels: [*const f32; ROWS] = std::array::from_fn(|i| values[i.min(self.rows - 1)..].as_ptr());
        let gathered = &mut self.group.values[self.channel * GROUP..][..self.rows * GROUP];
        // SAFETY: each key has a value of `width` channels and `GROUP` exponentials; there are `GROUP` numbers for each channel.
        unsafe {
            let gathered = gathered.as_mut_ptr().add(self.lane);
            let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
            for (i, sums) in sums.iter_mut().enumerate() {
                if i >= self.rows {
                    break;
                }
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum = S::mul(S::load(gathered.add(i * GROUP + j * LANES)), S::load(self.shrink[j].as_ptr()));
                }
            }
            accumulate::<S, ROWS, VECTORS, 0>(&channels, stride, keys, scores, GROUP, &mut sums);
            for (i, sums) in sums.iter().enumerate() {
                if i >= self.rows {
                    break;
                }
                for (j, sum) in sums.iter().enumerate() {
                    S::store(gathered.add(i * GROUP + j * LANES), *sum);
                }
            }
        }
    }
}
