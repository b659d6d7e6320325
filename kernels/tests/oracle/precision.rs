//! Weights that are stored in sixteen bits give the bits of the same weights in float32.

use candle_core::{DType, Tensor};
use proptest::prelude::*;
use x0_kernels::{Conv2d, Conv2dOptions, Linear};

use crate::{isas, numbers, tensor, values};

/// Weights of this shape as `stored` has them, and widened.
fn weights(seed: u64, shape: &[usize], stored: DType) -> (Tensor, Tensor) {
    let stored = tensor(&numbers(seed, shape.iter().product()), shape).to_dtype(stored).unwrap();
    let widened = stored.to_dtype(DType::F32).unwrap();
    (stored, widened)
}

fn stored() -> impl Strategy<Value = DType> {
    prop_oneof![Just(DType::F16), Just(DType::BF16)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn linear_layers_widen_exactly(rows in 1usize..30, inputs in 1usize..300, outputs in 1usize..80, stored in stored(), seed: u64) {
        let (narrow, wide) = weights(seed, &[outputs, inputs], stored);
        let x = tensor(&numbers(seed ^ 1, rows * inputs), &[rows, inputs]);
        for isa in isas() {
            let answer = |weight| values(&Linear::with_isa(weight, None, isa).unwrap().forward(&x).unwrap());
            prop_assert!(answer(&narrow) == answer(&wide), "{isa:?}");
        }
    }

    /// Few channels, many, large maps and small ones: every method.
    #[test]
    fn convolutions_widen_exactly(size in 3usize..20, inputs in 1usize..70, outputs in 1usize..70, stored in stored(), seed: u64) {
        let (narrow, wide) = weights(seed, &[outputs, inputs, 3, 3], stored);
        let x = tensor(&numbers(seed ^ 1, size * size * inputs), &[1, size, size, inputs]);
        for isa in isas() {
            let answer = |weight| {
                values(&Conv2d::with_isa(weight, None, Conv2dOptions::padded(1), isa).unwrap().forward(&x).unwrap())
            };
            prop_assert!(answer(&narrow) == answer(&wide), "{isa:?}");
        }
    }
}

/// Subnormal numbers, zeros and infinities widen alike on every instruction set.
#[test]
fn every_number_of_sixteen_bits_widens_alike() {
    let all: Vec<half::f16> = (0..=u16::MAX).map(half::f16::from_bits).filter(|x| !x.is_nan()).collect();
    let weight = Tensor::from_slice(&all, (all.len(), 1), &candle_core::Device::Cpu).unwrap();
    let x = tensor(&[1.0], &[1, 1]);
    for isa in isas() {
        let answer = values(&Linear::with_isa(&weight, None, isa).unwrap().forward(&x).unwrap());
        for (found, expected) in answer.iter().zip(&all) {
            // The sum begins at a zero without a sign.
            assert_eq!(*found, expected.to_f32(), "{isa:?}");
        }
    }
}

/// Numbers below the normal range are neither flushed nor rounded in another way by any of the twins.
#[test]
fn subnormal_numbers_are_the_same_on_every_instruction_set() {
    let tiny = |seed, len| numbers(seed, len).into_iter().map(|x| x * 1e-39).collect::<Vec<f32>>();
    let weight = tensor(&numbers(1, 20 * 40 * 9), &[20, 40, 3, 3]);
    let x = tensor(&tiny(2, 2 * 9 * 9 * 40), &[2, 9, 9, 40]);
    let answers: Vec<_> = isas()
        .into_iter()
        .map(|isa| {
            values(&Conv2d::with_isa(&weight, None, Conv2dOptions::padded(1), isa).unwrap().forward(&x).unwrap())
        })
        .collect();
    assert!(answers[0].iter().any(|x| x.is_subnormal()));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}
