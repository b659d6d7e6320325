//! How the output of a convolution is computed, and into which parts it is cut.

use super::Conv2dShape;
use crate::{Architecture, Element, Module};

/// Channels that 16 bytes hold: what is copied at once.
pub(super) const CHUNK: usize = 8;

/// Blocks of 64 rows and 64 filters that one map should give. Guidance makes two maps of an image, so an image alone fills a device.
const BLOCKS_OF_MAP: usize = 96;

/// Terms that are worth a block of their own, and adding its sums to those of others.
const TERMS_OF_SPLIT: usize = 512;

/// By which instruction the products are added, and how the terms come to it. It follows from the device and the layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Method {
    /// Fused multiply-add of float32.
    Floats,
    /// `mma.sync`, with single elements.
    Elements(Half),
    /// `mma.sync`, with whole chunks.
    Chunks(Half),
    /// `wgmma`, with whole chunks.
    Warpgroups(Half),
}

/// Types that tensor cores multiply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Half {
    F16,
    Bf16,
}

impl Method {
    pub(super) fn of(architecture: Architecture, element: Element, in_channels: usize) -> Self {
        let half = match element {
            Element::F32 => return Self::Floats,
            Element::F16 => Half::F16,
            Element::Bf16 => Half::Bf16,
        };
        if !in_channels.is_multiple_of(CHUNK) {
            return Self::Elements(half);
        }
        match architecture {
            Architecture::Sm80 | Architecture::Sm90 => Self::Chunks(half),
            Architecture::Sm90a => Self::Warpgroups(half),
        }
    }

    pub(super) fn module(self) -> Module {
        match self {
            Self::Floats | Self::Elements(_) | Self::Chunks(_) => Module::Conv2d,
            Self::Warpgroups(_) => Module::Conv2dWarpgroup,
        }
    }

    /// Terms that lie in shared memory for one step.
    pub(super) fn step(self) -> usize {
        match self {
            Self::Floats | Self::Elements(_) | Self::Chunks(_) => STEP,
            Self::Warpgroups(_) => WARPGROUP_STEP,
        }
    }

    /// The tile for an output of so many rows and filters, each of whose sums is cut into `splits` parts.
    pub(super) fn tile(self, (rows, filters): (usize, usize), splits: usize) -> Tile {
        // If each multiprocessor gets the same number of blocks. An A100 has 108, an H100 132.
        let time = |blocks: usize, multiprocessors, cycles| (blocks * splits).div_ceil(multiprocessors) * cycles;
        match self {
            Self::Floats => FLOAT,
            Self::Elements(half) => ANY.tile(half),
            Self::Chunks(half) => {
                let time = |tile: &TensorTile| time(tile.tile(half).blocks(rows, filters), 108, tile.cycles());
                TILES.into_iter().min_by_key(time).expect("there are tiles").tile(half)
            }
            Self::Warpgroups(half) => {
                let time = |tile: &WarpgroupTile| time(tile.tile(half).blocks(rows, filters), 132, tile.cycles());
                WARPGROUP_TILES.into_iter().min_by_key(time).expect("there are tiles").tile(half)
            }
        }
    }
}

/// A part of the output that one block computes, and the kernel that does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    pub(super) kernel: &'static str,
    rows: usize,
    filters: usize,
    pub(super) threads: usize,
    /// Of the launch.
    pub(super) shared_bytes: usize,
}

impl Tile {
    /// Blocks that have an output of so many rows and filters.
    pub(super) fn blocks(&self, rows: usize, filters: usize) -> usize {
        rows.div_ceil(self.rows) * filters.div_ceil(self.filters)
    }
}

/// The kernels of a tile, for both types.
#[derive(Clone, Copy, Debug)]
struct Kernels {
    f16: &'static str,
    bf16: &'static str,
}

impl Kernels {
    fn of(self, half: Half) -> &'static str {
        match half {
            Half::F16 => self.f16,
            Half::Bf16 => self.bf16,
        }
    }
}

macro_rules! kernels {
    ($($part:literal),+) => {
        Kernels { f16: concat!($($part),+, "_f16"), bf16: concat!($($part),+, "_bf16") }
    };
}

/// Terms of a step with `mma.sync`, and without tensor cores.
const STEP: usize = 32;

/// A tile that warps compute by `mma.sync`. As `conv2d.cu` declares it.
#[derive(Clone, Copy, Debug)]
struct TensorTile {
    kernels: Kernels,
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
            kernels: kernels!("conv2d_", $rows, "x", $filters),
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
    TensorTile { kernels: kernels!("conv2d_any"), rows: 64, filters: 64, warp: (32, 32), stages: 2 };

/// Without tensor cores. Its stages lie in shared memory that the kernel declares, its sums in that of the launch.
const FLOAT: Tile = Tile { kernel: "conv2d_f32", rows: 64, filters: 64, threads: 256, shared_bytes: 64 * 64 * 4 };

impl TensorTile {
    fn tile(&self, half: Half) -> Tile {
        let shared_bytes = shared_bytes((self.rows, self.filters), self.stages, STEP);
        let Self { rows, filters, .. } = *self;
        Tile { kernel: self.kernels.of(half), rows, filters, threads: 32 * self.warps(), shared_bytes }
    }

    fn warps(&self) -> usize {
        self.rows / self.warp.0 * (self.filters / self.warp.1)
    }

    /// About how many clock cycles a multiprocessor takes for one step. Reckoned, not measured, from what an A100 does in a cycle (NVIDIA
    /// A100 Tensor Core GPU Architecture, 2020): it adds 1024 products, and moves 128 bytes into or out of shared memory. Of the 47 bytes
    /// that the L2 cache could give to each multiprocessor, 32 are reckoned with.
    fn cycles(&self) -> usize {
        let step = step_bytes((self.rows, self.filters), STEP);
        let read = self.warps() * (self.warp.0 + self.warp.1) * STEP * 2;
        overlapped([self.rows * self.filters * STEP / 1024, (step + read) / 128, step / 32])
    }
}

/// Terms of a step with `wgmma`: 128 bytes of a row are what its widest swizzle is of.
const WARPGROUP_STEP: usize = 64;

/// Rows that a warpgroup multiplies in one instruction.
const WARPGROUP_ROWS: usize = 64;

/// A tile that warpgroups compute by `wgmma`. As `conv2d_warpgroup.cu` declares it.
#[derive(Clone, Copy, Debug)]
struct WarpgroupTile {
    kernels: Kernels,
    rows: usize,
    filters: usize,
    /// Warpgroups of the block, which share the rows.
    groups: usize,
    /// Steps that lie in shared memory at once.
    stages: usize,
}

macro_rules! warpgroup_tile {
    ($rows:literal x $filters:literal, $groups:literal, $stages:literal) => {
        WarpgroupTile {
            kernels: kernels!("conv2d_warpgroup_", $rows, "x", $filters),
            rows: $rows,
            filters: $filters,
            groups: $groups,
            stages: $stages,
        }
    };
}

/// For channels that are multiples of [`CHUNK`]. The numbers of filters in Stable Diffusion's networks are multiples of 160 or of 128.
const WARPGROUP_TILES: [WarpgroupTile; 7] = [
    warpgroup_tile!(64 x 32, 1, 5),
    warpgroup_tile!(64 x 64, 1, 4),
    warpgroup_tile!(128 x 64, 2, 4),
    warpgroup_tile!(128 x 128, 2, 3),
    warpgroup_tile!(128 x 160, 2, 3),
    warpgroup_tile!(256 x 128, 2, 4),
    warpgroup_tile!(256 x 160, 2, 4),
];

impl WarpgroupTile {
    fn tile(&self, half: Half) -> Tile {
        let shared_bytes = shared_bytes((self.rows, self.filters), self.stages, WARPGROUP_STEP);
        let Self { rows, filters, .. } = *self;
        Tile { kernel: self.kernels.of(half), rows, filters, threads: 128 * self.groups, shared_bytes }
    }

    /// As [`TensorTile::cycles`], of what an H100 does in a cycle (NVIDIA H100 Tensor Core GPU Architecture, 2022): it adds 2048 products,
    /// twice as many as an A100, and moves as many bytes. An instruction reads both of its operands from shared memory.
    fn cycles(&self) -> usize {
        let step = step_bytes((self.rows, self.filters), WARPGROUP_STEP);
        let read = self.rows / WARPGROUP_ROWS * step_bytes((WARPGROUP_ROWS, self.filters), WARPGROUP_STEP);
        overlapped([self.rows * self.filters * WARPGROUP_STEP / 2048, (step + read) / 128, step / 32])
    }
}

/// What is copied to shared memory for one step of so many terms.
fn step_bytes((rows, filters): (usize, usize), step: usize) -> usize {
    (rows + filters) * step * 2
}

/// Of a block. After the last step, the sums in float32 lie in the place of the stages.
fn shared_bytes((rows, filters): (usize, usize), stages: usize, step: usize) -> usize {
    (stages * step_bytes((rows, filters), step)).max(rows * filters * 4)
}

/// The cycles of what goes on at the same time, but not perfectly so.
fn overlapped(cycles: [usize; 3]) -> usize {
    let longest = cycles.into_iter().max().unwrap_or(0);
    longest + (cycles.iter().sum::<usize>() - longest) / 10
}

/// Into how many parts each sum is cut, so that a map of few positions is work for a whole device. Each part goes on where the one
/// before ends; the parts are added up in their order.
pub(super) fn splits(method: Method, shape: &Conv2dShape, positions: usize) -> usize {
    let blocks = positions.div_ceil(64) * shape.out_channels.div_ceil(64);
    (BLOCKS_OF_MAP / blocks).min(shape.depth().next_multiple_of(method.step()) / TERMS_OF_SPLIT).max(1)
}
