//! Into which parts the output of a convolution is cut.

use super::Conv2dShape;
use crate::Element;

/// Channels that 16 bytes hold: what is copied at once.
pub(super) const CHUNK: usize = 8;

/// Terms that are multiplied in one step.
pub(super) const STEP: usize = 32;

/// Multiprocessors that there is work for. An A100 has 108, an H100 132.
const MULTIPROCESSORS: usize = 108;

/// Blocks of 64 rows and 64 filters that one map should give. Guidance makes two maps of an image, so an image alone fills a device.
const BLOCKS_OF_MAP: usize = 96;

/// Steps that are worth a block of their own, and adding its sums to those of others.
const STEPS_OF_SPLIT: usize = 16;

/// A part of the output that one block computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    rows: usize,
    filters: usize,
    pub(super) threads: usize,
    /// Of the launch.
    pub(super) shared_bytes: usize,
}

impl Tile {
    /// The tile for an output of so many rows and filters, each of whose sums is cut into `splits` parts, and its kernel.
    pub(super) fn choose(
        element: Element,
        in_channels: usize,
        (rows, filters): (usize, usize),
        splits: usize,
    ) -> (Self, &'static str) {
        // If each multiprocessor gets the same number of blocks.
        let time = |tensor: &TensorTile| {
            (tensor.tile().blocks(rows, filters) * splits).div_ceil(MULTIPROCESSORS) * tensor.cycles()
        };
        let tensor = || {
            let of_chunks = in_channels.is_multiple_of(CHUNK);
            if of_chunks { TILES.into_iter().min_by_key(time).expect("there are tiles") } else { ANY }
        };
        match element {
            Element::F32 => (FLOAT, "conv2d_f32"),
            Element::F16 => (tensor().tile(), tensor().f16),
            Element::Bf16 => (tensor().tile(), tensor().bf16),
        }
    }

    /// Blocks that have an output of so many rows and filters.
    pub(super) fn blocks(&self, rows: usize, filters: usize) -> usize {
        rows.div_ceil(self.rows) * filters.div_ceil(self.filters)
    }
}

/// A tile that tensor cores compute, and its kernels. As `conv2d.cu` declares them.
#[derive(Clone, Copy, Debug)]
struct TensorTile {
    f16: &'static str,
    bf16: &'static str,
    rows: usize,
    filters: usize,
    /// Rows and filters of one warp.
    warp: (usize, usize),
    /// Steps that lie in shared memory at once.
    stages: usize,
}

macro_rules! tile {
    ($rows:literal x $filters:literal, $warp:expr, $stages:literal) => {
        TensorTile {
            f16: concat!("conv2d_", $rows, "x", $filters, "_f16"),
            bf16: concat!("conv2d_", $rows, "x", $filters, "_bf16"),
            rows: $rows,
            filters: $filters,
            warp: $warp,
            stages: $stages,
        }
    };
}

/// For channels that are multiples of [`CHUNK`].
const TILES: [TensorTile; 6] = [
    tile!(32 x 32, (16, 16), 8),
    tile!(64 x 64, (32, 32), 5),
    tile!(128 x 64, (64, 32), 4),
    tile!(256 x 64, (64, 64), 4),
    tile!(128 x 128, (64, 64), 4),
    tile!(256 x 128, (64, 64), 5),
];

/// For all others.
const ANY: TensorTile =
    TensorTile { f16: "conv2d_any_f16", bf16: "conv2d_any_bf16", rows: 64, filters: 64, warp: (32, 32), stages: 2 };

/// Without tensor cores. Its stages lie in shared memory that the kernel declares, its sums in that of the launch.
const FLOAT: Tile = Tile { rows: 64, filters: 64, threads: 256, shared_bytes: 64 * 64 * 4 };

impl TensorTile {
    fn tile(&self) -> Tile {
        // After the last step, the sums in float32 lie in the place of the stages.
        let (stages, sums) = (self.stages * self.step_bytes(), self.rows * self.filters * 4);
        let Self { rows, filters, .. } = *self;
        Tile { rows, filters, threads: 32 * self.warps(), shared_bytes: stages.max(sums) }
    }

    fn warps(&self) -> usize {
        self.rows / self.warp.0 * (self.filters / self.warp.1)
    }

    /// What is copied to shared memory for one step.
    fn step_bytes(&self) -> usize {
        (self.rows + self.filters) * STEP * 2
    }

    /// About how many clock cycles a multiprocessor takes for one step. Reckoned, not measured, from what an A100 does in a cycle (NVIDIA
    /// A100 Tensor Core GPU Architecture, 2020): it adds 1024 products, and moves 128 bytes into or out of shared memory. Of the 47 bytes
    /// that the L2 cache could give to each multiprocessor, 32 are reckoned with. All that goes on at the same time, but not perfectly so.
    fn cycles(&self) -> usize {
        let multiply = self.rows * self.filters * STEP / 1024;
        let read = self.warps() * (self.warp.0 + self.warp.1) * STEP * 2;
        let shared = (self.step_bytes() + read) / 128;
        let cache = self.step_bytes() / 32;
        let longest = multiply.max(shared).max(cache);
        longest + (multiply + shared + cache - longest) / 10
    }
}

/// Into how many parts each sum is cut, so that a map of few positions is work for a whole device. Each part goes on where the one
/// before ends; the parts are added up in their order.
pub(super) fn splits(shape: &Conv2dShape, positions: usize) -> usize {
    let blocks = positions.div_ceil(64) * shape.out_channels.div_ceil(64);
    (BLOCKS_OF_MAP / blocks).min(shape.depth().div_ceil(STEP) / STEPS_OF_SPLIT).max(1)
}
