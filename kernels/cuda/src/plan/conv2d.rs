//! Convolutions and linear layers.
//!
//! Both are products of matrices. A row of the first one is the patch of the input that lies under the filter at one position of the
//! output; it is gathered on the way to the multiprocessors and never written. The second one has a row for each filter. Terms of a sum
//! are in the order of a filter's elements: line by line, pixel by pixel, channel by channel.
//!
//! The bits of a sum depend on the order of its terms and on the instruction that adds them, which are the same in every tile of the
//! output. So the tile may be chosen by the size of the whole batch. Cutting a sum into parts changes it, and is decided by the layer and
//! the size of one map.
//!
//! Tensors begin at multiples of 16 bytes.

mod tile;

use crate::launch::size;
use crate::{Activation, Architecture, Argument, Element, Launch, Module, Plan};
use tile::{CHUNK, Method, splits};

/// What a convolution is given: `(batch, height, width, in)` maps, and filters that are `(out, kernel height, kernel width, in)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dShape {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    /// Height and width of the filters.
    pub kernel: (usize, usize),
    pub stride: usize,
    /// Zeros before the first line and column, and after the last ones.
    pub padding: (usize, usize),
    /// Whether the input is first enlarged to twice its size by repeating each pixel.
    pub upsample: bool,
}

impl Conv2dShape {
    /// Height and width of the output; none if the filters are larger than the padded map.
    pub fn output(&self) -> Option<(usize, usize)> {
        let scale = if self.upsample { 2 } else { 1 };
        let length = |len: usize, kernel: usize| {
            let padded = len * scale + self.padding.0 + self.padding.1;
            Some(padded.checked_sub(kernel)? / self.stride + 1)
        };
        Some((length(self.height, self.kernel.0)?, length(self.width, self.kernel.1)?))
    }

    /// The terms of a sum.
    fn depth(&self) -> usize {
        self.kernel.0 * self.kernel.1 * self.in_channels
    }
}

/// What is added to the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Addend {
    None,
    /// Of the output's shape.
    Residual,
    /// `(batch, out)`, added at each position.
    PerChannel,
}

/// What follows the sums, in this order. It is computed in float32; the result alone is rounded to the element's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epilogue {
    /// `(out)`, of float32.
    pub bias: bool,
    pub addend: Addend,
    pub activation: Activation,
}

/// `activation(conv(input) + bias + addend)`, torch's `conv2d` on channel-last maps: the output at `(y, x)` of filter `n` is the sum of
/// `input[y * stride + ky - before, x * stride + kx - before, c] * weight[n, ky, kx, c]`, where the input is zero outside of the map.
///
/// Tensors: input, `(batch, height, width, in)`; weight, `(out, kernel height, kernel width, in)`; if there is one, bias, `(out)` of
/// float32; if there is one, addend; output, `(batch, height', width', out)` with [`Conv2dShape::output`].
///
/// # Panics
/// Where the filters are larger than the padded map, there are no input channels, the stride is 0, or a tensor has 2³¹ elements.
pub fn conv2d(architecture: Architecture, element: Element, shape: Conv2dShape, epilogue: Epilogue) -> Plan {
    let (height, width) = shape.output().expect("the filters fit into the padded map");
    if shape.batch * height * width * shape.out_channels == 0 {
        return Plan::empty();
    }
    let method = Method::of(architecture, element, shape.in_channels);
    plan(method, element, shape, epilogue, splits(method, &shape, height * width))
}

/// `activation(input · weightᵀ + bias + residual)`, torch's `linear`.
///
/// A row may be a token of an image or an image: how many there are to an image is not known here, so sums are never cut.
///
/// Tensors: input, `(rows, inputs)`; weight, `(outputs, inputs)`; if there is one, bias, `(outputs)` of float32; if there is one,
/// residual, `(rows, outputs)`; output, `(rows, outputs)`.
///
/// # Panics
/// Where the addend is per channel (it is [`conv2d`]'s), there are no inputs, or a tensor has 2³¹ elements.
pub fn linear(
    architecture: Architecture,
    element: Element,
    (rows, inputs, outputs): (usize, usize, usize),
    epilogue: Epilogue,
) -> Plan {
    assert!(epilogue.addend != Addend::PerChannel, "a linear layer's rows do not belong to images");
    if rows * outputs == 0 {
        return Plan::empty();
    }
    let shape = Conv2dShape {
        batch: 1,
        height: 1,
        width: rows,
        in_channels: inputs,
        out_channels: outputs,
        kernel: (1, 1),
        stride: 1,
        padding: (0, 0),
        upsample: false,
    };
    plan(Method::of(architecture, element, inputs), element, shape, epilogue, 1)
}

/// The tensors of an operation beside its input and its weight.
#[derive(Clone, Copy, Debug)]
struct Tensors {
    bias: Argument,
    addend: Argument,
    output: Argument,
    /// Parts of sums, `(splits, rows, filters)` of float32.
    partials: Argument,
}

impl Tensors {
    fn new(epilogue: Epilogue, splits: usize) -> Self {
        let mut tensors = 2..;
        let mut given = |there: bool| {
            let tensor = if there { tensors.next() } else { None };
            tensor.map_or(Argument::Null, Argument::Tensor)
        };
        let bias = given(epilogue.bias);
        let addend = given(epilogue.addend != Addend::None);
        Self { bias, addend, output: given(true), partials: given(splits > 1) }
    }
}

/// A convolution whose output is not empty.
fn plan(method: Method, element: Element, shape: Conv2dShape, epilogue: Epilogue, splits: usize) -> Plan {
    let (height, width) = shape.output().expect("the filters fit into the padded map");
    let (positions, filters) = (height * width, shape.out_channels);
    let rows = shape.batch * positions;
    let pixels = shape.batch * shape.height * shape.width;
    assert!(shape.in_channels > 0, "a convolution has input channels");
    for len in [pixels * shape.in_channels, filters * shape.depth(), rows * filters] {
        assert!(len < 1 << 31, "a tensor of a convolution has fewer than 2³¹ elements");
    }
    // Splits are as long as each other, but for the last one, which may be shorter.
    let steps = shape.depth().div_ceil(method.step());
    let steps_of_split = steps.div_ceil(splits);
    let splits = steps.div_ceil(steps_of_split);

    let Tensors { bias, addend, output, partials } = Tensors::new(epilogue, splits);
    let number = |n: usize| Argument::U32(size(n));
    let per_channel = Argument::U32(u32::from(epilogue.addend == Addend::PerChannel));
    let activation = Argument::U32(epilogue.activation as u32);
    let tile = method.tile((rows, filters), splits);
    let multiply = Launch {
        module: method.module(),
        kernel: tile.kernel,
        grid: [size(tile.blocks(rows, filters)), size(splits), 1],
        block: [size(tile.threads), 1, 1],
        shared_bytes: size(tile.shared_bytes),
        arguments: vec![
            Argument::Tensor(0),
            Argument::Tensor(1),
            bias,
            addend,
            output,
            partials,
            number(rows),
            number(shape.height),
            number(shape.width),
            number(shape.in_channels),
            number(shape.kernel.0),
            number(shape.kernel.1),
            number(positions),
            number(width),
            number(filters),
            number(shape.stride),
            number(shape.padding.0),
            number(usize::from(shape.upsample)),
            per_channel,
            activation,
            number(steps_of_split),
        ],
    };
    if splits == 1 {
        return Plan { workspaces: Vec::new(), launches: vec![multiply] };
    }
    let kernel = element.choose("conv2d_join_f32", "conv2d_join_f16", "conv2d_join_bf16");
    let threads = rows * filters.div_ceil(CHUNK);
    let sizes = [number(rows), number(positions), number(filters), per_channel, activation, number(splits)];
    let arguments = [partials, bias, addend, output].into_iter().chain(sizes).collect::<Vec<_>>();
    let join = Plan::of_threads(Module::Conv2d, kernel, threads, arguments);
    let launches = [multiply].into_iter().chain(join.launches).collect();
    Plan { workspaces: vec![splits * rows * filters * 4], launches }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SM_80: Architecture = Architecture::Sm80;

    const PLAIN: Epilogue = Epilogue { bias: false, addend: Addend::None, activation: Activation::Identity };

    /// A 3×3 convolution that keeps the map's size.
    fn same(batch: usize, size: usize, in_channels: usize, out_channels: usize) -> Conv2dShape {
        let (kernel, padding) = ((3, 3), (1, 1));
        Conv2dShape {
            batch,
            height: size,
            width: size,
            in_channels,
            out_channels,
            kernel,
            stride: 1,
            padding,
            upsample: false,
        }
    }

    #[test]
    fn sizes_of_outputs_are_those_of_torch() {
        let shape = same(1, 8, 1, 1);
        assert_eq!(shape.output(), Some((8, 8)));
        assert_eq!(Conv2dShape { stride: 2, padding: (0, 1), ..shape }.output(), Some((4, 4)));
        assert_eq!(Conv2dShape { upsample: true, ..shape }.output(), Some((16, 16)));
        assert_eq!(Conv2dShape { kernel: (1, 4), padding: (0, 0), ..shape }.output(), Some((8, 5)));
        assert_eq!(Conv2dShape { kernel: (3, 3), padding: (0, 0), height: 2, ..shape }.output(), None);
    }

    #[test]
    fn tensors_that_are_not_there_are_not_counted() {
        let tensors = |bias, addend, splits| {
            let Tensors { bias, addend, output, partials } =
                Tensors::new(Epilogue { bias, addend, activation: Activation::Silu }, splits);
            [bias, addend, output, partials]
        };
        let (null, at) = (Argument::Null, Argument::Tensor);
        assert_eq!(tensors(false, Addend::None, 1), [null, null, at(2), null]);
        assert_eq!(tensors(true, Addend::None, 2), [at(2), null, at(3), at(4)]);
        assert_eq!(tensors(false, Addend::PerChannel, 1), [null, at(2), at(3), null]);
        assert_eq!(tensors(true, Addend::Residual, 3), [at(2), at(3), at(4), at(5)]);
    }

    /// What Stable Diffusion's networks have at the bottom is cut, what they have above is not.
    #[test]
    fn how_sums_are_cut_does_not_depend_on_the_batch() {
        for (size, channels, splits) in [(8, 1280, 4), (16, 1280, 1), (32, 640, 1), (64, 320, 1)] {
            let ways = Architecture::ALL.into_iter().flat_map(|way| Element::ALL.map(|element| (way, element)));
            for (batch, (architecture, element)) in
                [1, 2, 3, 16].into_iter().flat_map(|n| ways.clone().map(move |way| (n, way)))
            {
                let plan = conv2d(architecture, element, same(batch, size, channels, channels), PLAIN);
                assert_eq!(plan.launches[0].grid[1], splits, "{batch} maps of {size} and {channels} channels");
                let partials = if splits == 1 { vec![] } else { vec![4 * batch * size * size * channels * 4] };
                assert_eq!(plan.workspaces, partials);
            }
        }
    }

    #[test]
    fn parts_of_sums_are_all_of_the_sum_and_none_is_empty() {
        for in_channels in 1..400 {
            for architecture in Architecture::ALL {
                let shape = same(1, 4, in_channels, 40);
                let plan = conv2d(architecture, Element::F16, shape, PLAIN);
                let Some(Argument::U32(steps_of_split)) = plan.launches[0].arguments.last() else {
                    panic!("no number")
                };
                let step = Method::of(architecture, Element::F16, in_channels).step();
                let (splits, steps) = (plan.launches[0].grid[1], size(shape.depth().div_ceil(step)));
                assert!((splits - 1) * steps_of_split < steps && splits * steps_of_split >= steps, "{in_channels}");
            }
        }
    }

    /// The kernel of a linear layer, which may ask for so much shared memory.
    fn kernel(architecture: Architecture, element: Element, sizes: (usize, usize, usize), shared: u32) -> &'static str {
        let launch = linear(architecture, element, sizes, PLAIN).launches.remove(0);
        assert!(launch.shared_bytes <= shared << 10);
        launch.kernel
    }

    /// The larger the product, the larger its tiles.
    #[test]
    fn tiles_fit_the_work() {
        let kernel = |rows, filters| kernel(SM_80, Element::F16, (rows, 64, filters), 160);
        assert_eq!(kernel(2, 1280), "conv2d_32x32_f16");
        assert_eq!(kernel(2304, 128), "conv2d_64x64_f16");
        assert_eq!(kernel(7000, 64), "conv2d_128x64_f16");
        assert_eq!(kernel(14000, 64), "conv2d_256x64_f16");
        assert_eq!(kernel(7000, 128), "conv2d_128x128_f16");
        assert_eq!(kernel(1024 * 1024, 128), "conv2d_256x128_f16");
    }

    #[test]
    fn tiles_of_warpgroups_fit_the_work() {
        let kernel = |rows, filters| kernel(Architecture::Sm90a, Element::F16, (rows, 64, filters), 227);
        assert_eq!(kernel(2, 1280), "conv2d_warpgroup_64x32_f16");
        assert_eq!(kernel(128, 1280), "conv2d_warpgroup_64x32_f16");
        assert_eq!(kernel(512, 1280), "conv2d_warpgroup_128x64_f16");
        assert_eq!(kernel(8192, 320), "conv2d_warpgroup_128x160_f16");
        assert_eq!(kernel(65536, 320), "conv2d_warpgroup_256x160_f16");
        assert_eq!(kernel(16384, 128), "conv2d_warpgroup_128x128_f16");
        assert_eq!(kernel(512 * 512, 128), "conv2d_warpgroup_256x128_f16");
    }

    /// The instruction follows from the device, the type and the number of channels, never from the number of rows.
    #[test]
    fn instructions_fit_the_device() {
        let kernel = |architecture, element, inputs| kernel(architecture, element, (5, inputs, 70), 227);
        for architecture in [Architecture::Sm80, Architecture::Sm90] {
            assert_eq!(kernel(architecture, Element::Bf16, 64), "conv2d_32x32_bf16");
        }
        assert_eq!(kernel(Architecture::Sm90a, Element::Bf16, 64), "conv2d_warpgroup_64x32_bf16");
        for architecture in Architecture::ALL {
            assert_eq!(kernel(architecture, Element::F16, 60), "conv2d_any_f16");
            assert_eq!(kernel(architecture, Element::F32, 64), "conv2d_f32");
        }
        for rows in [1, 64, 1000, 100_000, 1 << 20] {
            let launch = linear(Architecture::Sm90a, Element::F16, (rows, 8, 320), PLAIN).launches.remove(0);
            assert_eq!(launch.module, Module::Conv2dWarpgroup);
        }
    }

    #[test]
    fn nothing_is_started_for_nothing() {
        assert_eq!(conv2d(SM_80, Element::F16, same(0, 8, 4, 4), PLAIN), Plan::empty());
        assert_eq!(linear(SM_80, Element::F16, (0, 8, 4), PLAIN), Plan::empty());
    }

    #[test]
    #[should_panic(expected = "fewer than 2³¹ elements")]
    fn huge_tensors_are_refused() {
        conv2d(SM_80, Element::F16, same(8, 1024, 256, 4), PLAIN);
    }
}
