use x0_kernels::{Activation, activate, add_per_channel, geglu};

use crate::{assert_close, numbers, tensor, values};

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

// The float32 kernel computes `1 + erf` as torch does, which cancels for x near -5: hence the absolute tolerances below.
fn gelu(x: f64) -> f64 {
    x / 2.0 * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

fn oracle(x: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => gelu(x),
        Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
    }
}

#[test]
fn activations_equal_the_oracle_over_their_range() {
    let x: Vec<f32> =
        (-200_000..200_000).map(|i| i as f32 * 1e-4).chain([-1e30, -200.0, -90.0, 90.0, 200.0, 1e30]).collect();
    let all = [
        Activation::Identity,
        Activation::Silu,
        Activation::Gelu,
        Activation::QuickGelu,
        Activation::Relu,
        Activation::Tanh,
    ];
    for activation in all {
        let expected: Vec<_> =
            x.iter().map(|x| oracle(f64::from(*x), activation)).map(|y| (y, y.abs().max(1.0))).collect();
        assert_close(&values(&activate(&tensor(&x, &[x.len()]), activation).unwrap()), &expected, 2e-6);
    }
}

#[test]
fn a_nan_stays_a_nan() {
    for activation in [Activation::Silu, Activation::Gelu, Activation::QuickGelu, Activation::Relu, Activation::Tanh] {
        let y = values(&activate(&tensor(&[f32::NAN, 1.0], &[2]), activation).unwrap());
        assert!(y[0].is_nan() && y[1].is_finite(), "{activation:?} gives {y:?}");
    }
}

#[test]
fn geglu_equals_the_oracle() {
    for width in [1, 5, 16, 40, 100] {
        let x = numbers(width as u64, 3 * 2 * width);
        let expected: Vec<_> = (0..3 * width)
            .map(|i| {
                let (row, c) = (i / width, i % width);
                (f64::from(x[row * 2 * width + c]) * gelu(f64::from(x[row * 2 * width + width + c])), 4.0)
            })
            .collect();
        assert_close(&values(&geglu(&tensor(&x, &[3, 2 * width])).unwrap()), &expected, 4e-7);
    }
    assert!(geglu(&tensor(&[1.0; 3], &[1, 3])).is_err());
}

#[test]
fn a_vector_is_added_to_each_position_of_its_row() {
    let (x, v) = (numbers(1, 2 * 6 * 5), numbers(2, 2 * 5));
    let y = values(&add_per_channel(&tensor(&x, &[2, 2, 3, 5]), &tensor(&v, &[2, 5])).unwrap());
    for (i, y) in y.iter().enumerate() {
        assert_eq!(*y, x[i] + v[i / 30 * 5 + i % 5]);
    }
    assert!(add_per_channel(&tensor(&x, &[2, 2, 3, 5]), &tensor(&v, &[1, 10])).is_err());
}
