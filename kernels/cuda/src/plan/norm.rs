//! Normalisation.

use crate::launch::size;
use crate::{Activation, Argument, Element, Launch, Module, Plan};

/// Elements that one block normalises by itself at most: for a small map a second launch would take longer than the sums.
const WHOLE: usize = 1 << 16;
/// Threads of a block that has all positions of its groups.
const WHOLE_THREADS: usize = 256;
/// Bytes of a position that such a block takes at least: less would leave much of what is fetched unused.
const WHOLE_BYTES: usize = 64;
/// Threads of a block that has a segment of the positions.
const SEGMENT_THREADS: usize = 512;
/// Columns of threads that such a block has at most, if a group needs no more: with 16 bytes each, a stretch of memory that is long
/// enough.
const SEGMENT_COLUMNS: usize = 64;
/// Loads that make a segment worth a block.
const SEGMENT_LOADS: usize = 2048;
/// Blocks of one image at most: enough for every GPU, and few enough for each to read what all of them found.
const SEGMENT_BLOCKS: usize = 256;
/// Channels of a block's groups at most, whose sums lie in shared memory.
const BLOCK_CHANNELS: usize = 4096;
/// Bytes of a mean and a sum of squared distances from it.
const MOMENTS_BYTES: usize = 8;

/// What is normalised in groups: a map `(batch, positions, channels)`, of which each image's channels are divided into `groups`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupNormShape {
    pub batch: usize,
    pub positions: usize,
    pub channels: usize,
    pub groups: usize,
}

/// Group normalisation of each image by itself, followed by `activation` (Wu and He 2018, arXiv 1803.08494).
///
/// Tensors: `x`, of the shape; weight, float32, `(channels)`; bias, float32, `(channels)`; output, of the shape.
///
/// # Panics
/// If the groups do not divide the channels, or one has more than 4096 of them.
pub fn group_norm(element: Element, shape: GroupNormShape, eps: f64, activation: Activation) -> Plan {
    if shape.batch * shape.positions * shape.channels == 0 {
        return Plan::empty();
    }
    let cut = Cut::new(element, shape);
    let launch = |kernel, runs: usize, scales: usize, arguments: &[&[Argument]]| Launch {
        module: Module::Norm,
        kernel,
        grid: [size(shape.batch * cut.segments()), size(cut.tiles()), 1],
        block: [size(cut.threads), 1, 1],
        shared_bytes: size(MOMENTS_BYTES * (runs + scales)),
        arguments: arguments.concat(),
    };
    let [x, weight, bias, output, found] = [0, 1, 2, 3, 4].map(Argument::Tensor);
    let sizes = cut.arguments();
    let last = [Argument::F32(eps as f32), Argument::U32(activation as u32)];
    let (runs, scales) = (cut.runs(), cut.groups_of_tile);
    if cut.segments() == 1 {
        let whole = launch(cut.kernel(WHOLE_KERNEL), runs, scales, &[&[x, weight, bias, output], &sizes, &last]);
        return Plan { workspaces: Vec::new(), launches: vec![whole] };
    }
    let statistics = launch(cut.kernel(STATISTICS_KERNEL), runs, 0, &[&[x, found], &sizes]);
    let apply = launch(cut.kernel(APPLY_KERNEL), 0, scales, &[&[x, weight, bias, found, output], &sizes, &last]);
    let workspace = MOMENTS_BYTES * shape.batch * shape.groups * cut.segments();
    Plan { workspaces: vec![workspace], launches: vec![statistics, apply] }
}

/// Normalisation of each row by itself (Ba, Kiros and Hinton 2016, arXiv 1607.06450).
///
/// Tensors: `x`, `(rows, width)`; weight, float32, `(width)`; bias, float32, `(width)`; output, of the shape of `x`.
pub fn layer_norm(element: Element, rows: usize, width: usize, eps: f64) -> Plan {
    /// A warp has a row.
    const ROWS_OF_BLOCK: usize = 4;
    if rows * width == 0 {
        return Plan::empty();
    }
    let kernel = if element.lanes(&[width]) == 1 {
        element.choose("layer_norm_f32", "layer_norm_f16", "layer_norm_bf16")
    } else {
        element.choose("layer_norm_wide_f32", "layer_norm_wide_f16", "layer_norm_wide_bf16")
    };
    let arguments = [0, 1, 2, 3].map(Argument::Tensor).into_iter();
    let arguments = arguments.chain([Argument::U32(size(rows)), Argument::U32(size(width)), Argument::F32(eps as f32)]);
    let launch = Launch {
        module: Module::Norm,
        kernel,
        grid: [size(rows.div_ceil(ROWS_OF_BLOCK)), 1, 1],
        block: [32 * ROWS_OF_BLOCK as u32, 1, 1],
        shared_bytes: 0,
        arguments: arguments.collect(),
    };
    Plan { workspaces: Vec::new(), launches: vec![launch] }
}

/// A kernel's names: for one element at a time, and for 16 bytes.
type Names = [[&'static str; 3]; 2];

const WHOLE_KERNEL: Names = [
    ["group_norm_whole_f32", "group_norm_whole_f16", "group_norm_whole_bf16"],
    ["group_norm_whole_wide_f32", "group_norm_whole_wide_f16", "group_norm_whole_wide_bf16"],
];
const STATISTICS_KERNEL: Names = [
    ["group_norm_statistics_f32", "group_norm_statistics_f16", "group_norm_statistics_bf16"],
    ["group_norm_statistics_wide_f32", "group_norm_statistics_wide_f16", "group_norm_statistics_wide_bf16"],
];
const APPLY_KERNEL: Names = [
    ["group_norm_apply_f32", "group_norm_apply_f16", "group_norm_apply_bf16"],
    ["group_norm_apply_wide_f32", "group_norm_apply_wide_f16", "group_norm_apply_wide_bf16"],
];

/// How an image is cut into blocks, from its own size alone: tiles of neighbouring groups, and segments of positions. `norm.cu` says
/// what a block does with its part.
struct Cut {
    element: Element,
    shape: GroupNormShape,
    /// Channels that a thread has at once.
    lanes: usize,
    groups_of_tile: usize,
    positions_of_segment: usize,
    columns: usize,
    rows: usize,
    threads: usize,
}

impl Cut {
    /// `shape` is not empty.
    fn new(element: Element, shape: GroupNormShape) -> Self {
        let GroupNormShape { positions, channels, groups, .. } = shape;
        assert!(groups > 0 && channels.is_multiple_of(groups), "{channels} channels in {groups} groups");
        let channels_of_group = channels / groups;
        assert!(channels_of_group <= BLOCK_CHANNELS, "{channels_of_group} channels in a group");
        // The fewest groups that end where a thread's channels end.
        let unit_of = |lanes: usize| lanes / greatest_common_divisor(channels_of_group, lanes);
        let lanes = match element.lanes(&[channels]) {
            lanes if unit_of(lanes) * channels_of_group <= BLOCK_CHANNELS => lanes,
            _ => 1,
        };
        let unit = unit_of(lanes);
        let columns_of_unit = unit * channels_of_group / lanes;
        let units = groups / unit;

        let units_of_tile = WHOLE_BYTES.div_ceil(columns_of_unit * lanes * element.bytes()).min(units);
        let (units_of_tile, positions_of_segment, threads) =
            if positions * units_of_tile * columns_of_unit * lanes <= WHOLE {
                (units_of_tile, positions, WHOLE_THREADS)
            } else {
                let units_of_tile = units.div_ceil((units * columns_of_unit).div_ceil(SEGMENT_COLUMNS));
                let segments = (SEGMENT_BLOCKS / units.div_ceil(units_of_tile)).max(1);
                let least = SEGMENT_LOADS.div_ceil(units_of_tile * columns_of_unit);
                (units_of_tile, positions.div_ceil(segments).max(least).min(positions), SEGMENT_THREADS)
            };
        let columns = (units_of_tile * columns_of_unit).min(threads);
        let rows = (threads / columns).min(positions_of_segment);
        Self {
            element,
            shape,
            lanes,
            groups_of_tile: units_of_tile * unit,
            positions_of_segment,
            columns,
            rows,
            threads: (rows * columns).next_multiple_of(32),
        }
    }

    fn channels_of_group(&self) -> usize {
        self.shape.channels / self.shape.groups
    }

    fn tiles(&self) -> usize {
        self.shape.groups.div_ceil(self.groups_of_tile)
    }

    fn segments(&self) -> usize {
        self.shape.positions.div_ceil(self.positions_of_segment)
    }

    /// Runs of channels that a block has moments of: those of each thread that belong to the same group.
    fn runs(&self) -> usize {
        let run = greatest_common_divisor(self.channels_of_group(), self.lanes);
        self.rows * self.groups_of_tile * self.channels_of_group() / run
    }

    fn kernel(&self, [narrow, wide]: Names) -> &'static str {
        let [f32, f16, bf16] = if self.lanes == 1 { narrow } else { wide };
        self.element.choose(f32, f16, bf16)
    }

    /// `Cut` in `norm.cu`.
    fn arguments(&self) -> [Argument; 6] {
        let sizes = [
            self.shape.positions,
            self.shape.channels,
            self.channels_of_group(),
            self.groups_of_tile,
            self.positions_of_segment,
            self.columns,
        ];
        sizes.map(|n| Argument::U32(size(n)))
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_CHANNELS, Cut, GroupNormShape, group_norm};
    use crate::{Activation, Element, Launch, Plan};

    /// Positions, channels and groups: of diffusers' networks, and odd ones.
    const MAPS: [(usize, usize, usize); 17] = [
        (64, 1280, 32),
        (64, 2560, 32),
        (256, 1280, 32),
        (256, 1920, 32),
        (1024, 640, 32),
        (1024, 960, 32),
        (4096, 320, 32),
        (16384, 320, 32),
        (4096, 512, 32),
        (65536, 256, 32),
        (262_144, 128, 32),
        (4_194_304, 128, 32),
        (1, 1, 1),
        (7, 33, 3),
        (100_000, 63, 63),
        (50, 5005, 5),
        (3, 4096, 1),
    ];

    fn cases() -> impl Iterator<Item = (Element, (usize, usize, usize))> {
        Element::ALL.into_iter().flat_map(|element| MAPS.map(|map| (element, map)))
    }

    fn shape((positions, channels, groups): (usize, usize, usize), batch: usize) -> GroupNormShape {
        GroupNormShape { batch, positions, channels, groups }
    }

    fn plan(element: Element, shape: GroupNormShape) -> Plan {
        group_norm(element, shape, 1e-5, Activation::Silu)
    }

    #[test]
    fn blocks_fit_the_device() {
        for (element, map) in cases() {
            let plan = plan(element, shape(map, 3));
            for Launch { grid: [x, y, z], block: [threads, rows, layers], shared_bytes, .. } in plan.launches {
                assert!(x < 1 << 31 && y < 1 << 16 && z == 1, "{map:?}: {x} {y} {z}");
                assert!(threads.is_multiple_of(32) && threads <= 512 && rows * layers == 1, "{map:?}: {threads}");
                assert!(shared_bytes <= 48 << 10, "{map:?}: {shared_bytes} bytes");
            }
        }
    }

    #[test]
    fn every_channel_and_position_has_a_block() {
        for (element, map) in cases() {
            let shape = shape(map, 1);
            let cut = Cut::new(element, shape);
            let channels = cut.groups_of_tile * cut.channels_of_group();
            assert!(channels.is_multiple_of(cut.lanes), "a tile of {map:?} ends within a thread's channels");
            assert!(cut.lanes == 1 || shape.channels.is_multiple_of(cut.lanes), "{map:?}");
            assert!(channels <= BLOCK_CHANNELS && cut.tiles() * cut.groups_of_tile >= shape.groups, "{map:?}");
            assert!((cut.tiles() - 1) * cut.groups_of_tile < shape.groups, "{map:?} has a tile without groups");
            assert!((cut.segments() - 1) * cut.positions_of_segment < shape.positions, "{map:?} has an empty segment");
            assert!(cut.columns * cut.rows <= cut.threads, "{map:?}");
            // As the kernel finds it from its number of threads.
            assert_eq!((cut.threads / cut.columns).min(cut.positions_of_segment), cut.rows, "{map:?}");
        }
    }

    #[test]
    fn a_batch_is_cut_like_one_image() {
        for (element, map) in cases() {
            let (one, many) = (plan(element, shape(map, 1)), plan(element, shape(map, 7)));
            assert_eq!(one.launches.len(), many.launches.len());
            for (one, many) in one.launches.iter().zip(&many.launches) {
                assert_eq!(many.grid, [7 * one.grid[0], one.grid[1], one.grid[2]]);
                assert_eq!(Launch { grid: one.grid, ..many.clone() }, *one);
            }
            assert!(one.workspaces.iter().map(|bytes| 7 * bytes).eq(many.workspaces));
        }
    }

    #[test]
    fn large_maps_fill_a_gpu() {
        for map in [(4096, 320, 32), (4096, 512, 32), (65536, 256, 32), (262_144, 128, 32), (4096, 640, 32)] {
            let blocks: u32 = plan(Element::F16, shape(map, 2)).launches[0].grid.iter().product();
            assert!(blocks >= 132, "{map:?}: {blocks} blocks");
        }
    }

    #[test]
    fn nothing_is_started_for_nothing() {
        for empty in [(0, 32, 4), (7, 0, 4)] {
            assert_eq!(plan(Element::F32, shape(empty, 2)), Plan::empty());
        }
        assert_eq!(plan(Element::F32, shape((7, 32, 4), 0)), Plan::empty());
    }
}
