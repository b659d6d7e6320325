use proptest::prelude::*;
use x0_kernels::{Conv2d, Conv2dOptions, add_per_channel};

use crate::{assert_close, assert_rows_keep_their_bits, isas, numbers, tensor, values};

#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    height: usize,
    width: usize,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    options: Conv2dOptions,
}

impl Case {
    fn out(&self, len: usize) -> usize {
        let len = if self.options.upsample { 2 * len } else { len };
        (len + self.options.padding.0 + self.options.padding.1 - self.kernel) / self.options.stride + 1
    }

    /// The definition of a convolution, one element at a time.
    fn oracle(&self, x: &[f32], w: &[f32], b: &[f32], residual: Option<&[f32]>) -> Vec<(f64, f64)> {
        let (out_height, out_width) = (self.out(self.height), self.out(self.width));
        let scale = if self.options.upsample { 2 } else { 1 };
        let mut answer = Vec::new();
        for i in 0..self.batch * out_height * out_width * self.outputs {
            let (n, at) = (i % self.outputs, i / self.outputs);
            let (image, y, column) = (at / (out_height * out_width), at / out_width % out_height, at % out_width);
            let (bias, more) = (f64::from(b[n]), residual.map_or(0.0, |r| f64::from(r[i])));
            let (mut sum, mut magnitude) = (bias + more, bias.abs() + more.abs());
            for (ky, kx) in (0..self.kernel).flat_map(|ky| (0..self.kernel).map(move |kx| (ky, kx))) {
                let from =
                    |o: usize, k: usize| (o * self.options.stride + k) as isize - self.options.padding.0 as isize;
                let (r, c) = (from(y, ky), from(column, kx));
                if r < 0 || c < 0 || r as usize >= self.height * scale || c as usize >= self.width * scale {
                    continue;
                }
                let pixel = (image * self.height + r as usize / scale) * self.width + c as usize / scale;
                for k in 0..self.inputs {
                    let weight = w[((n * self.inputs + k) * self.kernel + ky) * self.kernel + kx];
                    let product = f64::from(x[pixel * self.inputs + k]) * f64::from(weight);
                    sum += product;
                    magnitude += product.abs();
                }
            }
            answer.push((sum, magnitude));
        }
        answer
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1usize..4, 3usize..12, 3usize..12, 1usize..40, 1usize..50);
    (sizes, prop_oneof![Just(1usize), Just(3)], 1usize..3, 0usize..2, 0usize..3, any::<bool>()).prop_map(
        |((batch, height, width, inputs, outputs), kernel, stride, before, after, upsample)| {
            let options = Conv2dOptions { stride, padding: (before, after), upsample };
            Case { batch, height, width, inputs, outputs, kernel, options }
        },
    )
}

/// Expected numbers with the largest of all their magnitudes: Winograd's method sums over whole tiles, so its error goes with the
/// largest numbers near by. An output in a corner, most of whose own terms are zeros, has no smaller one.
fn of_the_largest_magnitude(expected: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let largest = expected.iter().map(|(_, magnitude)| *magnitude).fold(0.0, f64::max);
    expected.into_iter().map(|(y, _)| (y, largest)).collect()
}

/// Winograd's method, whose error is about ten times greater, takes 3×3 filters of stride 1.
fn check(case: Case, add: bool, seed: u64) {
    let x = numbers(seed, case.batch * case.height * case.width * case.inputs);
    let w = numbers(seed ^ 1, case.outputs * case.inputs * case.kernel * case.kernel);
    let b = numbers(seed ^ 2, case.outputs);
    let shape = [case.batch, case.out(case.height), case.out(case.width), case.outputs];
    let residual = numbers(seed ^ 3, shape.iter().product());
    let expected = case.oracle(&x, &w, &b, add.then_some(&residual[..]));
    let (expected, tolerance) = if case.kernel == 3 && case.options.stride == 1 {
        (of_the_largest_magnitude(expected), 5e-6)
    } else {
        (expected, 1e-6)
    };
    let mut first: Option<Vec<f32>> = None;
    for isa in isas() {
        let weight = tensor(&w, &[case.outputs, case.inputs, case.kernel, case.kernel]);
        let layer = Conv2d::with_isa(&weight, Some(&tensor(&b, &[case.outputs])), case.options, isa).unwrap();
        let x = tensor(&x, &[case.batch, case.height, case.width, case.inputs]);
        let y = if add { layer.forward_add(&x, &tensor(&residual, &shape)) } else { layer.forward(&x) }.unwrap();
        assert_eq!(y.dims(), &shape[..]);
        let y = values(&y);
        assert_close(&y, &expected, tolerance);
        assert!(*first.get_or_insert_with(|| y.clone()) == y, "{isa:?} gives other bits");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn equals_the_oracle_on_every_instruction_set(case in cases(), add: bool, seed: u64) {
        check(case, add, seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Many tiles and several panels, for Winograd's method.
    #[test]
    fn large_maps_equal_the_oracle(height in 24usize..36, width in 24usize..30, inputs in 64usize..90, outputs in 64usize..140, upsample: bool, seed: u64) {
        let (height, width) = if upsample { (height / 2, width / 2) } else { (height, width) };
        check(Case { batch: 1, height, width, inputs, outputs, kernel: 3, options: Conv2dOptions { stride: 1, padding: (1, 1), upsample } }, true, seed);
    }
}

#[test]
fn rows_keep_their_bits_in_any_company() {
    for (inputs, outputs, size) in [(1, 32, 32), (4, 20, 17), (48, 40, 16), (300, 70, 8), (70, 66, 27)] {
        let layer = Conv2d::new(
            &tensor(&numbers(7, outputs * inputs * 9), &[outputs, inputs, 3, 3]),
            None,
            Conv2dOptions::padded(1),
        )
        .unwrap();
        for batch in [1, 2, 3, 5, 9] {
            let x = tensor(&numbers(batch as u64, batch * size * size * inputs), &[batch, size, size, inputs]);
            assert_rows_keep_their_bits(&x, |x| layer.forward(x).unwrap());
        }
    }
}

/// The same bits as adding it afterwards, by each of the methods.
#[test]
fn what_channels_get_is_added_to_each_position() {
    for (inputs, outputs, size, kernel) in [(4, 20, 9, 3), (40, 33, 5, 3), (64, 48, 14, 3), (30, 18, 7, 1)] {
        let weight = tensor(&numbers(3, outputs * inputs * kernel * kernel), &[outputs, inputs, kernel, kernel]);
        let bias = tensor(&numbers(4, outputs), &[outputs]);
        let x = tensor(&numbers(5, 3 * size * size * inputs), &[3, size, size, inputs]);
        let v = tensor(&numbers(6, 3 * outputs), &[3, outputs]);
        for isa in isas() {
            let options = Conv2dOptions::padded(kernel / 2);
            let layer = Conv2d::with_isa(&weight, Some(&bias), options, isa).unwrap();
            let after = add_per_channel(&layer.forward(&x).unwrap(), &v).unwrap();
            assert_eq!(values(&layer.forward_add_per_channel(&x, &v).unwrap()), values(&after), "{isa:?}");
        }
    }
}

#[test]
fn refuses_shapes_that_do_not_fit() {
    let layer = Conv2d::new(&tensor(&numbers(1, 2 * 3 * 9), &[2, 3, 3, 3]), None, Conv2dOptions::padded(0)).unwrap();
    assert!(layer.forward(&tensor(&numbers(2, 64), &[1, 4, 4, 4])).is_err());
    assert!(layer.forward(&tensor(&numbers(2, 12), &[1, 2, 2, 3])).is_err());
    assert!(
        layer.forward_add(&tensor(&numbers(2, 48), &[1, 4, 4, 3]), &tensor(&numbers(2, 4), &[1, 2, 2, 1])).is_err()
    );
}
