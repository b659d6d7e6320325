use proptest::prelude::*;
use x0_cuda::plan::{GroupNormShape, group_norm, layer_norm};
use x0_cuda::{Activation, Element};

use crate::pointwise::{ACTIVATIONS, activated, elements, tolerance};
use crate::{Input, assert_close, numbers, round};

/// Sizes of a map: positions, channels, groups.
type Map = (usize, usize, usize);

/// One segment, and several: with 16 bytes and with one element at a time, runs of one channel and of more, and groups that need more
/// columns than a block has threads.
const MAPS: [Map; 9] = [
    (1, 8, 1),
    (13, 40, 4),
    (21, 48, 48),
    (30, 63, 9),
    (3, 4096, 1),
    (2, 1001, 1),
    (5000, 16, 2),
    (2600, 40, 4),
    (8000, 9, 3),
];

fn shape(batch: usize, (positions, channels, groups): Map) -> GroupNormShape {
    GroupNormShape { batch, positions, channels, groups }
}

/// Mean and variance of the numbers.
fn moments(x: impl Iterator<Item = f32> + Clone) -> (f64, f64) {
    let count = x.clone().count() as f64;
    let mean = x.clone().map(f64::from).sum::<f64>() / count;
    (mean, x.map(|x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count)
}

/// A normalised number before the activation, and the magnitude of what it was computed from.
fn scaled(x: f32, (mean, variance): (f64, f64), eps: f64, weight: f32, bias: f32) -> (f64, f64) {
    let (weight, bias, inverse) = (f64::from(weight), f64::from(bias), 1.0 / (variance + eps).sqrt());
    let y = (f64::from(x) - mean) * inverse * weight;
    (y + bias, 1.0 + y.abs() + bias.abs() + mean.abs() * inverse * weight.abs())
}

struct Case {
    element: Element,
    shape: GroupNormShape,
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f64,
    activation: Activation,
}

impl Case {
    fn new(element: Element, shape: GroupNormShape, seed: u64, offset: f32) -> Self {
        let len = shape.batch * shape.positions * shape.channels;
        let x = numbers(seed, len, element).iter().map(|x| round(x + offset, element)).collect();
        let of_channels = |seed| numbers(seed, shape.channels, Element::F32);
        let (weight, bias) = (of_channels(seed ^ 1), of_channels(seed ^ 2));
        Self { element, shape, x, weight, bias, eps: 1e-5, activation: Activation::Silu }
    }

    fn run(&self) -> Vec<f32> {
        let plan = group_norm(self.element, self.shape, self.eps, self.activation);
        let [x, weight, bias] = [&self.x, &self.weight, &self.bias].map(Clone::clone);
        elements(&plan, self.element, &[Input::Elements(x), Input::F32(weight), Input::F32(bias)], self.x.len())
    }

    fn oracle(&self) -> Vec<(f64, f64)> {
        let GroupNormShape { batch, positions, channels, groups } = self.shape;
        let of_group = channels / groups;
        let moments_of = |i: usize| {
            let (image, group) = (i / groups, i % groups);
            let places = (0..positions).flat_map(move |p| {
                let first = (image * positions + p) * channels + group * of_group;
                first..first + of_group
            });
            moments(places.map(|place| self.x[place]))
        };
        let all: Vec<_> = (0..batch * groups).map(moments_of).collect();
        let each = self.x.iter().enumerate().map(|(i, x)| {
            let channel = i % channels;
            let moments = all[i / (positions * channels) * groups + channel / of_group];
            let (y, magnitude) = scaled(*x, moments, self.eps, self.weight[channel], self.bias[channel]);
            (activated(y, self.activation), magnitude)
        });
        each.collect()
    }

    fn check(&self) {
        assert_close(&self.run(), &self.oracle(), tolerance(self.element));
    }
}

#[test]
fn group_norm_equals_the_oracle_however_it_is_cut() {
    for (element, map) in Element::ALL.into_iter().flat_map(|element| MAPS.map(|map| (element, map))) {
        Case::new(element, shape(1, map), 3, 0.5).check();
    }
}

#[test]
fn each_activation_follows_the_normalisation() {
    for (element, activation) in Element::ALL.into_iter().flat_map(|e| ACTIVATIONS.map(|a| (e, a))) {
        for map in [(9, 24, 3), (9, 15, 5)] {
            Case { activation, ..Case::new(element, shape(2, map), 7, 0.0) }.check();
        }
    }
}

#[test]
fn a_large_mean_costs_no_digits_of_the_deviation() {
    for map in [(600, 16, 4), (5000, 16, 2), (8000, 9, 3)] {
        let case = Case { activation: Activation::Identity, ..Case::new(Element::F32, shape(1, map), 11, 300.0) };
        let expected: Vec<_> = case.oracle().into_iter().map(|(y, _)| (y, 1.0)).collect();
        // A sum of squares would be off by 300² * 2^-24 in a variance of 1.3, which is half a percent.
        assert_close(&case.run(), &expected, 2e-4);
    }
}

#[test]
fn eps_keeps_equal_numbers_apart_from_infinity() {
    for (element, eps) in Element::ALL.into_iter().flat_map(|element| [1e-5, 1e-6, 0.5].map(|eps| (element, eps))) {
        let mut case = Case { eps, ..Case::new(element, shape(1, (50, 16, 2)), 1, 0.0) };
        case.check();
        case.x.fill(1.5);
        case.check();
    }
}

#[test]
fn a_nan_fills_its_group_and_leaves_the_rest() {
    for (element, map) in
        Element::ALL.into_iter().flat_map(|element| [(20, 24, 3), (5000, 16, 2)].map(|m| (element, m)))
    {
        let (positions, channels, groups) = map;
        let mut case = Case::new(element, shape(2, map), 2, 0.0);
        let place = positions * channels + (positions / 2) * channels + 1;
        case.x[place] = f32::NAN;
        for (i, y) in case.run().into_iter().enumerate() {
            let in_group = i >= positions * channels && i % channels < channels / groups;
            assert_eq!(y.is_nan(), in_group, "element {i} of {map:?}");
        }
    }
}

#[test]
fn images_keep_their_bits_in_any_company() {
    for (element, map) in
        Element::ALL.into_iter().flat_map(|element| [(50, 40, 4), (2600, 40, 4), (8000, 9, 3)].map(|m| (element, m)))
    {
        let batch = Case::new(element, shape(3, map), 5, 0.0);
        let whole = batch.run();
        let each = whole.len() / 3;
        for image in [0, 2] {
            let places = image * each..(image + 1) * each;
            let alone = Case {
                shape: shape(1, map),
                x: batch.x[places.clone()].to_vec(),
                ..Case::new(element, shape(3, map), 5, 0.0)
            };
            assert!(alone.run() == whole[places], "image {image} of {map:?} differs when it is alone");
        }
    }
}

fn element() -> impl Strategy<Value = Element> {
    prop::sample::select(Element::ALL.to_vec())
}

fn layer_norm_of(element: Element, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let width = weight.len();
    let plan = layer_norm(element, x.len() / width, width, 1e-5);
    elements(
        &plan,
        element,
        &[Input::Elements(x.to_vec()), Input::F32(weight.to_vec()), Input::F32(bias.to_vec())],
        x.len(),
    )
}

fn layer_norm_oracle(x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<(f64, f64)> {
    let row = |row: &[f32]| {
        let moments = moments(row.iter().copied());
        let each = row.iter().zip(weight).zip(bias).map(|((x, w), b)| scaled(*x, moments, 1e-5, *w, *b));
        each.collect::<Vec<_>>()
    };
    x.chunks(weight.len()).flat_map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn group_norm_equals_the_oracle(
        element in element(), batch in 1usize..3, positions in 1usize..60, groups in 1usize..6, of_group in 1usize..18,
        offset in -3f32..3.0, seed: u64
    ) {
        Case::new(element, shape(batch, (positions, groups * of_group, groups)), seed, offset).check();
    }

    #[test]
    fn layer_norm_equals_the_oracle(
        element in element(), rows in 1usize..10,
        width in prop_oneof![1usize..100, (1usize..60).prop_map(|n| 8 * n), Just(1280)],
        offset in -3f32..3.0, seed: u64
    ) {
        let x: Vec<f32> = numbers(seed, rows * width, element).iter().map(|x| round(x + offset, element)).collect();
        let (w, b) = (numbers(seed ^ 1, width, Element::F32), numbers(seed ^ 2, width, Element::F32));
        assert_close(&layer_norm_of(element, &x, &w, &b), &layer_norm_oracle(&x, &w, &b), tolerance(element));
    }
}

#[test]
fn rows_keep_their_bits_and_their_nans() {
    for (element, width) in Element::ALL.into_iter().flat_map(|element| [320, 77].map(|width| (element, width))) {
        let mut x = numbers(1, 6 * width, element);
        x[2 * width + 3] = f32::NAN;
        let (w, b) = (numbers(2, width, Element::F32), numbers(3, width, Element::F32));
        let whole = layer_norm_of(element, &x, &w, &b);
        for (row, (alone, whole)) in x.chunks(width).zip(whole.chunks(width)).enumerate() {
            assert_eq!(whole.iter().filter(|y| y.is_nan()).count(), if row == 2 { width } else { 0 });
            let alone = layer_norm_of(element, alone, &w, &b);
            assert!(row == 2 || alone == whole, "row {row} differs when it is alone");
        }
    }
}

#[test]
fn a_large_mean_of_a_row_costs_no_digits() {
    let width = 640;
    let x: Vec<f32> = numbers(9, 2 * width, Element::F32).iter().map(|x| x + 300.0).collect();
    let (w, b) = (numbers(2, width, Element::F32), numbers(3, width, Element::F32));
    let expected: Vec<_> = layer_norm_oracle(&x, &w, &b).into_iter().map(|(y, _)| (y, 1.0)).collect();
    assert_close(&layer_norm_of(Element::F32, &x, &w, &b), &expected, 2e-4);
}
