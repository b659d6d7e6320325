use proptest::prelude::*;
use x0_kernels::{Activation, Linear};

use crate::{assert_close, assert_rows_keep_their_bits, isas, numbers, tensor, values};

fn oracle(x: &[f32], w: &[f32], b: &[f32], residual: Option<&[f32]>, inputs: usize) -> Vec<(f64, f64)> {
    let outputs = b.len();
    let product = |row: usize, n: usize, f: fn(f64) -> f64| -> f64 {
        (0..inputs).map(|k| f(f64::from(x[row * inputs + k]) * f64::from(w[n * inputs + k]))).sum()
    };
    let element = |i: usize| {
        let (row, n) = (i / outputs, i % outputs);
        let (bias, more) = (f64::from(b[n]), residual.map_or(0.0, |r| f64::from(r[i])));
        (product(row, n, |p| p) + bias + more, product(row, n, f64::abs) + bias.abs() + more.abs())
    };
    (0..x.len() / inputs * outputs).map(element).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn equals_the_oracle_on_every_instruction_set(rows in 1usize..70, inputs in 1usize..150, outputs in 1usize..100, add: bool, seed: u64) {
        let (x, w, b) = (numbers(seed, rows * inputs), numbers(seed ^ 1, outputs * inputs), numbers(seed ^ 2, outputs));
        let residual = numbers(seed ^ 3, rows * outputs);
        let expected = oracle(&x, &w, &b, add.then_some(&residual[..]), inputs);
        let mut first: Option<Vec<f32>> = None;
        for isa in isas() {
            let layer = Linear::with_isa(&tensor(&w, &[outputs, inputs]), Some(&tensor(&b, &[outputs])), isa).unwrap();
            let x = tensor(&x, &[rows, inputs]);
            let y = if add { layer.forward_add(&x, &tensor(&residual, &[rows, outputs])) } else { layer.forward(&x) };
            let y = values(&y.unwrap());
            assert_close(&y, &expected, 1e-6);
            prop_assert!(*first.get_or_insert_with(|| y.clone()) == y, "{isa:?} gives other bits");
        }
    }
}

#[test]
fn long_sums_pass_through_memory_unchanged() {
    // 12,000 inputs are several stretches on every instruction set.
    let (rows, inputs, outputs) = (5, 12_000, 40);
    let (x, w, b) = (numbers(1, rows * inputs), numbers(2, outputs * inputs), numbers(3, outputs));
    let expected = oracle(&x, &w, &b, None, inputs);
    let mut chain = 0.0f32;
    for k in 0..inputs {
        chain = x[k].mul_add(w[k], chain);
    }
    for isa in isas() {
        let layer = Linear::with_isa(&tensor(&w, &[outputs, inputs]), Some(&tensor(&b, &[outputs])), isa).unwrap();
        let y = values(&layer.forward(&tensor(&x, &[rows, inputs])).unwrap());
        assert_close(&y, &expected, 2e-6);
        assert_eq!(y[0], chain + b[0], "{isa:?} does not add in one chain");
    }
}

#[test]
fn rows_keep_their_bits_in_any_company() {
    let layer = Linear::new(&tensor(&numbers(1, 70 * 300), &[70, 300]), None).unwrap().then(Activation::Silu);
    for batch in 1..=9 {
        assert_rows_keep_their_bits(&tensor(&numbers(batch as u64, batch * 7 * 300), &[batch, 7, 300]), |x| {
            layer.forward(x).unwrap()
        });
    }
}

#[test]
fn refuses_shapes_that_do_not_fit() {
    let layer = Linear::new(&tensor(&numbers(1, 6), &[2, 3]), None).unwrap();
    assert!(layer.forward(&tensor(&numbers(2, 4), &[1, 4])).is_err());
    assert!(layer.forward_add(&tensor(&numbers(2, 3), &[1, 3]), &tensor(&numbers(2, 3), &[1, 3])).is_err());
    assert!(Linear::new(&tensor(&numbers(1, 6), &[2, 3]), Some(&tensor(&numbers(1, 3), &[3]))).is_err());
}
