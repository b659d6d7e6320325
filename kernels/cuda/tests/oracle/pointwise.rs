use proptest::prelude::*;
use x0_cuda::plan::{activate, add_per_channel, concatenate, geglu};
use x0_cuda::{Activation, Element};

use crate::{Input, Output, assert_close, epsilon, numbers, round, run};

pub(crate) const ACTIVATIONS: [Activation; 6] = [
    Activation::Identity,
    Activation::Silu,
    Activation::Gelu,
    Activation::QuickGelu,
    Activation::Relu,
    Activation::Tanh,
];

/// The error function by its Taylor series, exact to float64 for |x| <= 4 or so; beyond, one.
fn erf(x: f64) -> f64 {
    if x.abs() > 4.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn gelu(x: f64) -> f64 {
    x / 2.0 * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

pub(crate) fn activated(x: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => gelu(x),
        Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
    }
}

/// What rounding to the element may take, and a dozen of float32's roundings before it.
pub(crate) fn tolerance(element: Element) -> f64 {
    epsilon(element) / 2.0 + 1.5e-6
}

/// One output that is of the operation's elements.
pub(crate) fn elements(plan: &x0_cuda::Plan, element: Element, inputs: &[Input], len: usize) -> Vec<f32> {
    run(plan, element, inputs, &[Output::Elements(len)]).remove(0)
}

#[test]
fn activations_equal_the_oracle_over_their_range() {
    for element in Element::ALL {
        let far = [-1e30, -200.0, -90.0, -88.0, 88.0, 90.0, 200.0, 1e30, -0.0];
        let range = (-160..=160).map(|i| i as f32 * 0.0627);
        let x: Vec<f32> = range.chain(far).map(|x| round(x, element)).filter(|x| x.is_finite()).collect();
        for activation in ACTIVATIONS {
            let expected: Vec<_> = x.iter().map(|x| activated(f64::from(*x), activation)).collect();
            // `1 + erf` cancels for negative numbers, so that errors are those of 1.
            let expected: Vec<_> = expected.into_iter().map(|y| (y, y.abs().max(1.0))).collect();
            let plan = activate(element, activation, x.len());
            let y = elements(&plan, element, &[Input::Elements(x.clone())], x.len());
            assert_close(&y, &expected, tolerance(element));
        }
    }
}

#[test]
fn single_elements_are_computed_like_those_in_vectors() {
    for element in Element::ALL {
        let x = numbers(5, 16, element);
        let all = elements(&activate(element, Activation::Gelu, 16), element, &[Input::Elements(x.clone())], 16);
        for len in 1..16 {
            let plan = activate(element, Activation::Gelu, len);
            assert_eq!(elements(&plan, element, &[Input::Elements(x[..len].to_vec())], len), all[..len]);
        }
    }
}

#[test]
fn a_nan_stays_a_nan() {
    for (element, activation) in Element::ALL.into_iter().flat_map(|e| ACTIVATIONS.map(|a| (e, a))) {
        // In a vector, and behind the last one.
        let mut x = vec![1.0; 10];
        (x[2], x[9]) = (f32::NAN, f32::NAN);
        let y = elements(&activate(element, activation, 10), element, &[Input::Elements(x.clone())], 10);
        assert!(x.iter().zip(&y).all(|(x, y)| x.is_nan() == y.is_nan()), "{activation:?} gives {y:?}");
    }
}

/// Sizes of rows that are moved by 16 bytes, and others.
fn width() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..20, (1usize..6).prop_map(|n| 8 * n)]
}

fn element() -> impl Strategy<Value = Element> {
    prop::sample::select(Element::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn geglu_equals_the_oracle(element in element(), rows in 1usize..12, width in width(), seed: u64) {
        let x: Vec<f32> = numbers(seed, rows * 2 * width, element).iter().map(|x| round(2.0 * x, element)).collect();
        let expected: Vec<_> = (0..rows * width).map(|i| {
            let (row, column) = (i / width, i % width);
            let (value, gate) = (f64::from(x[row * 2 * width + column]), f64::from(x[(row * 2 + 1) * width + column]));
            (value * gelu(gate), value.abs() * gate.abs().max(1.0))
        }).collect();
        let y = elements(&geglu(element, rows, width), element, &[Input::Elements(x)], rows * width);
        assert_close(&y, &expected, tolerance(element));
    }

    #[test]
    fn each_channel_is_added_to_all_positions_of_its_image(
        element in element(), batch in 1usize..4, positions in 1usize..20, channels in width(), seed: u64
    ) {
        let (x, v) = (numbers(seed, batch * positions * channels, element), numbers(seed ^ 1, batch * channels, element));
        let expected: Vec<f32> = (0..x.len())
            .map(|i| round(x[i] + v[i / (positions * channels) * channels + i % channels], element))
            .collect();
        let plan = add_per_channel(element, batch, positions, channels);
        let y = elements(&plan, element, &[Input::Elements(x), Input::Elements(v)], expected.len());
        assert_eq!(y, expected);
    }

    #[test]
    fn concatenation_moves_every_bit(element in element(), rows in 1usize..9, first in width(), second in width(), seed: u64) {
        let (a, b) = (numbers(seed, rows * first, element), numbers(seed ^ 1, rows * second, element));
        let expected: Vec<f32> = (0..rows)
            .flat_map(|row| [&a[row * first..(row + 1) * first], &b[row * second..(row + 1) * second]].concat())
            .collect();
        let plan = concatenate(element, rows, first, second);
        let y = elements(&plan, element, &[Input::Elements(a.clone()), Input::Elements(b.clone())], expected.len());
        assert_eq!(y, expected);
    }
}

#[test]
fn rows_keep_their_bits_in_any_company() {
    for (element, width) in Element::ALL.into_iter().flat_map(|element| [24, 7].map(|width| (element, width))) {
        let x = numbers(1, 3 * 2 * width, element);
        let whole = elements(&geglu(element, 3, width), element, &[Input::Elements(x.clone())], 3 * width);
        for (row, alone) in x.chunks(2 * width).enumerate() {
            let alone = elements(&geglu(element, 1, width), element, &[Input::Elements(alone.to_vec())], width);
            assert_eq!(alone, whole[row * width..(row + 1) * width]);
        }
    }
}
