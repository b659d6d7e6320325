//! Convolutions and linear layers.

use proptest::prelude::*;
use x0_cuda::plan::{Addend, Conv2dShape, Epilogue, conv2d, linear};
use x0_cuda::{Activation, Architecture, Element, Plan};

use crate::{Input, Output, assert_close, epsilon, numbers, run_on};

const PLAIN: Epilogue = Epilogue { bias: false, addend: Addend::None, activation: Activation::Identity };

/// The error of sums in float32, relative to their terms' magnitude.
const SUMS: f64 = 2e-6;

/// All types of elements, with `wgmma` and without.
const WAYS: [(Architecture, Element); 5] = [
    (Architecture::Sm80, Element::F32),
    (Architecture::Sm80, Element::F16),
    (Architecture::Sm80, Element::Bf16),
    (Architecture::Sm90a, Element::F16),
    (Architecture::Sm90a, Element::Bf16),
];

/// A 3×3 convolution that keeps the map's size.
fn same(batch: usize, (height, width): (usize, usize), in_channels: usize, out_channels: usize) -> Conv2dShape {
    let (kernel, padding) = ((3, 3), (1, 1));
    Conv2dShape { batch, height, width, in_channels, out_channels, kernel, stride: 1, padding, upsample: false }
}

/// A layer and what it is given.
#[derive(Clone, Debug)]
struct Case {
    architecture: Architecture,
    element: Element,
    shape: Conv2dShape,
    epilogue: Epilogue,
    input: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    addend: Vec<f32>,
}

impl Case {
    fn new(
        (architecture, element): (Architecture, Element),
        shape: Conv2dShape,
        epilogue: Epilogue,
        seed: u64,
    ) -> Self {
        let (height, width) = shape.output().unwrap();
        let positions = match epilogue.addend {
            Addend::None => 0,
            Addend::Residual => height * width,
            Addend::PerChannel => 1,
        };
        let (kernel_height, kernel_width) = shape.kernel;
        let (pixels, filters) = (shape.batch * shape.height * shape.width, shape.out_channels);
        Self {
            architecture,
            element,
            shape,
            epilogue,
            input: numbers(seed, pixels * shape.in_channels, element),
            weight: numbers(seed ^ 1, filters * kernel_height * kernel_width * shape.in_channels, element),
            bias: numbers(seed ^ 2, if epilogue.bias { filters } else { 0 }, Element::F32),
            addend: numbers(seed ^ 3, shape.batch * positions * filters, element),
        }
    }

    /// The same layer, given one of the batch's images.
    fn alone(&self, image: usize) -> Self {
        let part = |values: &[f32]| {
            let len = values.len() / self.shape.batch;
            values[image * len..(image + 1) * len].to_vec()
        };
        let shape = Conv2dShape { batch: 1, ..self.shape };
        Self { shape, input: part(&self.input), addend: part(&self.addend), ..self.clone() }
    }

    fn plan(&self) -> Plan {
        conv2d(self.architecture, self.element, self.shape, self.epilogue)
    }

    fn carry_out(&self, plan: &Plan) -> Vec<f32> {
        let (height, width) = self.shape.output().unwrap();
        let elements = |values: &Vec<f32>| Input::Elements(values.clone());
        let mut inputs = vec![elements(&self.input), elements(&self.weight)];
        inputs.extend(self.epilogue.bias.then(|| Input::F32(self.bias.clone())));
        inputs.extend((self.epilogue.addend != Addend::None).then(|| elements(&self.addend)));
        let len = self.shape.batch * height * width * self.shape.out_channels;
        let architectures: &[Architecture] = match self.architecture {
            // Their plans are the same.
            Architecture::Sm80 | Architecture::Sm90 => &[Architecture::Sm80, Architecture::Sm90],
            Architecture::Sm90a => &[Architecture::Sm90a],
        };
        run_on(architectures, plan, self.element, &inputs, &[Output::Elements(len)]).remove(0)
    }

    /// The definition, one element at a time: each with the magnitude of its terms.
    fn expected(&self) -> Vec<(f64, f64)> {
        let Conv2dShape { batch, out_channels, .. } = self.shape;
        let (height, width) = self.shape.output().unwrap();
        let positions = height * width;
        let element = |i: usize| {
            let (row, filter) = (i / out_channels, i % out_channels);
            let (image, position) = (row / positions, row % positions);
            let (sum, magnitude) = self.sum(image, (position / width, position % width), filter);
            let bias = if self.epilogue.bias { f64::from(self.bias[filter]) } else { 0.0 };
            let addend = match self.epilogue.addend {
                Addend::None => 0.0,
                Addend::Residual => f64::from(self.addend[i]),
                Addend::PerChannel => f64::from(self.addend[image * out_channels + filter]),
            };
            (activate(sum + bias + addend, self.epilogue.activation), magnitude + bias.abs() + addend.abs())
        };
        (0..batch * positions * out_channels).map(element).collect()
    }

    /// Of the terms at one position of the output, and of their magnitudes.
    fn sum(&self, image: usize, (y, x): (usize, usize), filter: usize) -> (f64, f64) {
        let Conv2dShape { height, width, in_channels, kernel, stride, padding, upsample, .. } = self.shape;
        let scale = if upsample { 2 } else { 1 };
        let (mut sum, mut magnitude) = (0.0, 0.0);
        for (ky, kx) in (0..kernel.0).flat_map(|ky| (0..kernel.1).map(move |kx| (ky, kx))) {
            let at = |output: usize, tap: usize, len: usize| {
                (output * stride + tap).checked_sub(padding.0).filter(|at| *at < len * scale)
            };
            let (Some(line), Some(column)) = (at(y, ky, height), at(x, kx, width)) else { continue };
            let pixel = (image * height + line / scale) * width + column / scale;
            let tap = (filter * kernel.0 + ky) * kernel.1 + kx;
            for channel in 0..in_channels {
                let weight = f64::from(self.weight[tap * in_channels + channel]);
                let term = f64::from(self.input[pixel * in_channels + channel]) * weight;
                sum += term;
                magnitude += term.abs();
            }
        }
        (sum, magnitude)
    }

    /// Within the error of sums in float32 and of the rounding to the element's type.
    fn assert_computes(&self, found: &[f32]) {
        let rounding = match self.element {
            Element::F32 => 0.0,
            Element::F16 | Element::Bf16 => epsilon(self.element) / 2.0,
        };
        let bound = |(y, magnitude): (f64, f64)| (y, magnitude + rounding * y.abs() / SUMS);
        assert_close(found, &self.expected().into_iter().map(bound).collect::<Vec<_>>(), SUMS);
    }

    fn check(&self) {
        self.assert_computes(&self.carry_out(&self.plan()));
    }
}

/// The functions whose formulas `Activation` has.
fn activate(x: f64, activation: Activation) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::Identity => x,
        Activation::Silu => x * sigmoid(x),
        Activation::Gelu => x / 2.0 * (1.0 + erf(x / f64::sqrt(2.0))),
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
    }
}

/// By its Taylor series (NIST's Digital Library of Mathematical Functions, 7.6.2, whose terms are all positive); where no float32 is
/// nearer to 1, that.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let mut term = 2.0 / f64::sqrt(std::f64::consts::PI) * (-x * x).exp() * x;
    let mut sum = 0.0;
    for n in 0..200 {
        sum += term;
        term *= 2.0 * x * x / f64::from(2 * n + 3);
    }
    sum
}

fn addends() -> impl Strategy<Value = Addend> {
    prop_oneof![Just(Addend::None), Just(Addend::Residual), Just(Addend::PerChannel)]
}

fn shapes() -> impl Strategy<Value = Conv2dShape> {
    let channels = || prop_oneof![1usize..40, (1usize..6).prop_map(|n| n * 8)];
    let sizes = (1usize..4, 3usize..10, 3usize..10, channels(), channels());
    let walk = (1usize..4, 1usize..4, 1usize..3, 0usize..2, 0usize..3, any::<bool>());
    (sizes, walk).prop_map(|(sizes, (kernel_height, kernel_width, stride, before, after, upsample))| {
        let (batch, height, width, in_channels, out_channels) = sizes;
        let (kernel, padding) = ((kernel_height, kernel_width), (before, after));
        Conv2dShape { batch, height, width, in_channels, out_channels, kernel, stride, padding, upsample }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn equals_the_oracle(shape in shapes(), bias: bool, addend in addends(), seed: u64) {
        for way in WAYS {
            Case::new(way, shape, Epilogue { bias, addend, activation: Activation::Identity }, seed).check();
        }
    }
}

fn check_all(shape: Conv2dShape, epilogue: Epilogue) {
    for way in WAYS {
        Case::new(way, shape, epilogue, 7).check();
    }
}

#[test]
fn same_padding() {
    let shape = same(2, (9, 11), 16, 72);
    check_all(shape, PLAIN);
    check_all(shape, Epilogue { bias: true, addend: Addend::Residual, ..PLAIN });
    check_all(shape, Epilogue { bias: true, addend: Addend::PerChannel, activation: Activation::Silu });
}

#[test]
fn stride_two_with_zeros_after_the_map() {
    check_all(Conv2dShape { stride: 2, padding: (0, 1), ..same(2, (12, 10), 32, 40) }, PLAIN);
    check_all(Conv2dShape { stride: 2, ..same(1, (11, 9), 40, 32) }, Epilogue { bias: true, ..PLAIN });
}

#[test]
fn upsampling() {
    check_all(Conv2dShape { upsample: true, ..same(2, (5, 6), 24, 16) }, Epilogue { bias: true, ..PLAIN });
}

#[test]
fn single_pixels() {
    check_all(Conv2dShape { kernel: (1, 1), padding: (0, 0), ..same(2, (7, 9), 72, 64) }, PLAIN);
}

/// As many channels as latents and pictures have.
#[test]
fn few_channels_in_or_out() {
    let epilogue = Epilogue { bias: true, ..PLAIN };
    for (in_channels, out_channels) in [(4, 72), (9, 64), (3, 65), (64, 4), (72, 3), (1, 1)] {
        check_all(same(1, (8, 9), in_channels, out_channels), epilogue);
    }
}

#[test]
fn everything_odd() {
    let odd = Conv2dShape { kernel: (5, 3), padding: (3, 2), ..same(3, (7, 5), 13, 67) };
    check_all(odd, Epilogue { bias: true, addend: Addend::Residual, activation: Activation::Identity });
    check_all(Conv2dShape { stride: 3, ..odd }, Epilogue { bias: true, addend: Addend::PerChannel, ..PLAIN });
}

#[test]
fn each_activation() {
    use Activation::{Gelu, Identity, QuickGelu, Relu, Silu, Tanh};
    for activation in [Identity, Silu, Gelu, QuickGelu, Relu, Tanh] {
        check_all(same(1, (6, 5), 1, 16), Epilogue { bias: true, addend: Addend::None, activation });
    }
}

/// Sums of many terms at few positions; the last part of 50 steps is shorter than the others.
#[test]
fn cut_sums() {
    let residual = Epilogue { bias: true, addend: Addend::Residual, ..PLAIN };
    let per_channel = Epilogue { bias: true, addend: Addend::PerChannel, activation: Activation::Silu };
    for (in_channels, out_channels, splits, epilogue) in
        [(128, 16, 2, PLAIN), (176, 24, 3, per_channel), (113, 9, 2, residual)]
    {
        for way in WAYS {
            let case = Case::new(way, same(2, (4, 5), in_channels, out_channels), epilogue, 11);
            let plan = case.plan();
            assert_eq!((plan.launches.len(), plan.launches[0].grid[1]), (2, splits));
            let together = case.carry_out(&plan);
            case.assert_computes(&together);
            assert_images_keep_their_bits(&case, &together);
        }
    }
}

#[test]
fn linear_layers() {
    for (rows, inputs, outputs) in [(2, 320, 72), (77, 48, 40), (70, 33, 9)] {
        let activations = [Activation::Gelu, Activation::Silu, Activation::Tanh].into_iter().cycle();
        for ((architecture, element), activation) in WAYS.into_iter().zip(activations) {
            let epilogue = Epilogue { bias: true, addend: Addend::Residual, activation };
            let shape = Conv2dShape { kernel: (1, 1), padding: (0, 0), ..same(1, (1, rows), inputs, outputs) };
            let case = Case::new((architecture, element), shape, epilogue, 5);
            let plan = linear(architecture, element, (rows, inputs, outputs), epilogue);
            case.assert_computes(&case.carry_out(&plan));
        }
    }
}

/// What is given for each image alone is a part of what is given for all, bit by bit.
fn assert_images_keep_their_bits(case: &Case, together: &[f32]) {
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for (image, part) in together.chunks_exact(together.len() / case.shape.batch).enumerate() {
        let alone = case.alone(image);
        assert!(bits(&alone.carry_out(&alone.plan())) == bits(part), "image {image} has other bits");
    }
}

/// A batch whose size calls for the tile `together`, and its images in the tile `alone`.
fn check_tiles(batch: usize, out_channels: usize, together: &str, alone: &str) {
    check_tiles_of(Architecture::Sm80, same(batch, (48, 48), 8, out_channels), together, alone);
}

/// The same with `wgmma`; six steps, so that each stage of the ring is used again, and the last one is not whole.
fn check_tiles_of_warpgroups(batch: usize, out_channels: usize, together: &str, alone: &str) {
    let [together, alone] = [together, alone].map(|tile| format!("warpgroup_{tile}"));
    check_tiles_of(Architecture::Sm90a, same(batch, (48, 48), 40, out_channels), &together, &alone);
}

fn check_tiles_of(architecture: Architecture, shape: Conv2dShape, together: &str, alone: &str) {
    let epilogue = Epilogue { bias: true, addend: Addend::PerChannel, activation: Activation::Silu };
    for (element, name) in [(Element::F16, "f16"), (Element::Bf16, "bf16")] {
        let case = Case::new((architecture, element), shape, epilogue, 3);
        let plan = case.plan();
        assert_eq!(plan.launches[0].kernel, format!("conv2d_{together}_{name}"));
        assert_eq!(case.alone(0).plan().launches[0].kernel, format!("conv2d_{alone}_{name}"));
        let found = case.carry_out(&plan);
        case.assert_computes(&found);
        assert_images_keep_their_bits(&case, &found);
    }
}

#[test]
fn images_keep_their_bits_in_tiles_of_128x64() {
    check_tiles(4, 64, "128x64", "32x32");
}

#[test]
fn images_keep_their_bits_in_tiles_of_256x64() {
    check_tiles(7, 64, "256x64", "32x32");
}

#[test]
fn images_keep_their_bits_in_tiles_of_128x128() {
    check_tiles(4, 128, "128x128", "64x64");
}

#[test]
fn images_keep_their_bits_in_tiles_of_256x128() {
    check_tiles(12, 128, "256x128", "64x64");
}

#[test]
fn images_keep_their_bits_in_tiles_of_warpgroups_of_64x64() {
    check_tiles_of_warpgroups(2, 64, "64x64", "64x32");
}

#[test]
fn images_keep_their_bits_in_tiles_of_warpgroups_of_128x64() {
    check_tiles_of_warpgroups(4, 64, "128x64", "64x32");
}

#[test]
fn images_keep_their_bits_in_tiles_of_warpgroups_of_128x128() {
    check_tiles_of_warpgroups(4, 128, "128x128", "64x64");
}

#[test]
fn images_keep_their_bits_in_tiles_of_warpgroups_of_128x160() {
    check_tiles_of_warpgroups(4, 160, "128x160", "64x64");
}

#[test]
fn images_keep_their_bits_in_tiles_of_warpgroups_of_256x128() {
    check_tiles_of_warpgroups(8, 128, "256x128", "64x64");
}

#[test]
fn images_keep_their_bits_in_tiles_of_warpgroups_of_256x160() {
    check_tiles_of_warpgroups(8, 160, "256x160", "64x64");
}

/// By the kernels that have one tile for all.
#[test]
fn images_keep_their_bits_in_any_company() {
    for (element, in_channels) in [(Element::F32, 8), (Element::F32, 5), (Element::F16, 5), (Element::Bf16, 5)] {
        let case = Case::new((Architecture::Sm80, element), same(4, (7, 6), in_channels, 70), PLAIN, 9);
        assert_images_keep_their_bits(&case, &case.carry_out(&case.plan()));
    }
}
