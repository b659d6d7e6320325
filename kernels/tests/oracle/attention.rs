use candle_core::Tensor;
use proptest::prelude::*;
use x0_kernels::{AttentionOptions, Isa, Mask, attention, attention_with_isa};

use crate::{assert_close, assert_rows_keep_their_bits, isas, numbers, tensor, values};

#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    queries: usize,
    keys: usize,
    heads: usize,
    width: usize,
    mask: Mask,
}

fn oracle(case: Case, q: &[f32], k: &[f32], v: &[f32], scale: f32) -> Vec<(f64, f64)> {
    let inner = case.heads * case.width;
    let mut answer = vec![(0.0, 0.0); case.batch * case.queries * inner];
    for (b, h, i) in
        (0..case.batch).flat_map(|b| (0..case.heads).flat_map(move |h| (0..case.queries).map(move |i| (b, h, i))))
    {
        let visible = if case.mask == Mask::Causal { case.keys.min(i + 1) } else { case.keys };
        let at = |x: &[f32], length: usize, position: usize, c: usize| {
            f64::from(x[(b * length + position) * inner + h * case.width + c])
        };
        let scores: Vec<f64> = (0..visible)
            .map(|j| {
                f64::from(scale)
                    * (0..case.width).map(|c| at(q, case.queries, i, c) * at(k, case.keys, j, c)).sum::<f64>()
            })
            .collect();
        let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|s| (s - greatest).exp()).collect();
        let sum: f64 = weights.iter().sum();
        for c in 0..case.width {
            let value = weights.iter().enumerate().map(|(j, w)| w / sum * at(v, case.keys, j, c)).sum();
            answer[(b * case.queries + i) * inner + h * case.width + c] = (value, 2.0);
        }
    }
    answer
}

fn check(case: Case, seed: u64) {
    let inner = case.heads * case.width;
    let q = numbers(seed, case.batch * case.queries * inner);
    let (k, v) = (numbers(seed ^ 1, case.batch * case.keys * inner), numbers(seed ^ 2, case.batch * case.keys * inner));
    let scale = 1.0 / (case.width as f32).sqrt();
    let expected = oracle(case, &q, &k, &v, scale);
    let shape = |length: usize| [case.batch, length, inner];
    let (q, k, v) = (tensor(&q, &shape(case.queries)), tensor(&k, &shape(case.keys)), tensor(&v, &shape(case.keys)));
    let mut first: Option<Vec<f32>> = None;
    for isa in isas() {
        let y = values(
            &attention_with_isa(&q, &k, &v, AttentionOptions { heads: case.heads, scale, mask: case.mask, isa })
                .unwrap(),
        );
        assert_close(&y, &expected, 2e-6);
        assert!(*first.get_or_insert_with(|| y.clone()) == y, "{isa:?} gives other bits");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn equals_the_oracle_on_every_instruction_set(batch in 1usize..3, queries in 1usize..60, keys in 1usize..90, heads in 1usize..4, width in 1usize..50, seed: u64) {
        check(Case { batch, queries, keys, heads, width, mask: Mask::None }, seed);
    }

    #[test]
    fn equals_the_oracle_under_a_causal_mask(tokens in 1usize..100, heads in 1usize..4, width in 1usize..40, seed: u64) {
        check(Case { batch: 1, queries: tokens, keys: tokens, heads, width, mask: Mask::Causal }, seed);
    }
}

#[test]
fn many_blocks_of_keys_equal_the_oracle() {
    check(Case { batch: 1, queries: 200, keys: 1100, heads: 1, width: 40, mask: Mask::None }, 5);
    check(Case { batch: 1, queries: 1100, keys: 1100, heads: 1, width: 8, mask: Mask::Causal }, 6);
}

#[test]
fn rows_keep_their_bits_in_any_company() {
    let options = AttentionOptions { heads: 3, scale: 0.3, mask: Mask::None, isa: Isa::best() };
    for batch in [1, 2, 5, 9] {
        let qkv = tensor(&numbers(batch as u64, batch * 130 * 3 * 72), &[batch, 130, 3 * 72]);
        let attend = |qkv: &Tensor| {
            let part = |i: usize| qkv.narrow(2, i * 72, 72).unwrap();
            attention_with_isa(&part(0), &part(1), &part(2), options).unwrap()
        };
        assert_rows_keep_their_bits(&qkv, attend);
    }
}

#[test]
fn refuses_shapes_that_do_not_fit() {
    let t = |len: usize| tensor(&numbers(1, len * 6), &[1, len, 6]);
    assert!(attention(&t(2), &t(3), &t(4), 2, 1.0, Mask::None).is_err());
    assert!(attention(&t(2), &t(3), &t(3), 4, 1.0, Mask::None).is_err());
}
