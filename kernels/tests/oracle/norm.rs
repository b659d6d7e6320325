use candle_core::Tensor;
use proptest::prelude::*;
use x0_kernels::{Activation, group_norm, layer_norm};

use crate::{assert_close, assert_rows_keep_their_bits, numbers, tensor, values};

/// Mean and variance of the elements that `pick` names.
fn moments(x: &[f32], pick: impl Iterator<Item = usize> + Clone) -> (f64, f64) {
    let count = pick.clone().count() as f64;
    let mean = pick.clone().map(|i| f64::from(x[i])).sum::<f64>() / count;
    (mean, pick.map(|i| (f64::from(x[i]) - mean).powi(2)).sum::<f64>() / count)
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn group_norm_equals_the_oracle(batch in 1usize..3, positions in 1usize..200, groups in 1usize..6, per_group in 1usize..12, offset in -3f32..3.0, seed: u64) {
        let channels = groups * per_group;
        let x: Vec<f32> = numbers(seed, batch * positions * channels).iter().map(|x| x + offset).collect();
        let (w, b) = (numbers(seed ^ 1, channels), numbers(seed ^ 2, channels));
        let expected: Vec<_> = (0..x.len()).map(|i| {
            let (image, c) = (i / (positions * channels), i % channels);
            let group = c / per_group;
            let members = (0..positions).flat_map(|p| (0..per_group).map(move |k| (image * positions + p) * channels + group * per_group + k));
            let (mean, variance) = moments(&x, members);
            let y = (f64::from(x[i]) - mean) / (variance + 1e-5).sqrt() * f64::from(w[c]) + f64::from(b[c]);
            // A group of equal numbers is divided by nearly nothing: its rounding errors grow alike.
            (silu(y), 4.0 + 10.0 / (variance + 1e-5).sqrt())
        }).collect();
        let y = group_norm(&tensor(&x, &[batch, 1, positions, channels]), groups, &tensor(&w, &[channels]), &tensor(&b, &[channels]), 1e-5, Activation::Silu).unwrap();
        assert_close(&values(&y), &expected, 2e-6);
    }

    #[test]
    fn layer_norm_equals_the_oracle(rows in 1usize..40, width in 2usize..100, seed: u64) {
        let (x, w, b) = (numbers(seed, rows * width), numbers(seed ^ 1, width), numbers(seed ^ 2, width));
        let expected: Vec<_> = (0..x.len()).map(|i| {
            let row = i / width;
            let (mean, variance) = moments(&x, row * width..(row + 1) * width);
            let y = (f64::from(x[i]) - mean) / (variance + 1e-5).sqrt() * f64::from(w[i % width]) + f64::from(b[i % width]);
            (y, 4.0 + 10.0 / (variance + 1e-5).sqrt())
        }).collect();
        let y = layer_norm(&tensor(&x, &[rows, width]), &tensor(&w, &[width]), &tensor(&b, &[width]), 1e-5).unwrap();
        assert_close(&values(&y), &expected, 2e-6);
    }
}

#[test]
fn rows_keep_their_bits_in_any_company() {
    let (w, b) = (tensor(&numbers(1, 48), &[48]), tensor(&numbers(2, 48), &[48]));
    for batch in 1..=9 {
        // More positions than one task sums up.
        let x = tensor(&numbers(batch as u64, batch * 2500 * 48), &[batch, 50, 50, 48]);
        assert_rows_keep_their_bits(&x, |x: &Tensor| group_norm(x, 8, &w, &b, 1e-6, Activation::Silu).unwrap());
        assert_rows_keep_their_bits(&x, |x: &Tensor| layer_norm(x, &w, &b, 1e-5).unwrap());
    }
}

#[test]
fn a_nan_stays_in_its_batch_row() {
    let mut x = numbers(1, 2 * 16 * 8);
    x[3] = f32::NAN;
    let one = tensor(&[1.0; 8], &[8]);
    let y = values(&group_norm(&tensor(&x, &[2, 16, 8]), 2, &one, &one, 1e-5, Activation::Silu).unwrap());
    assert!(y[0].is_nan() && y[128..].iter().all(|y| y.is_finite()));
}
