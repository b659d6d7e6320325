//! Attention.

use x0_cuda::Element;
use x0_cuda::plan::{AttentionShape, Mask, attention};

use crate::{Input, Output, assert_close, epsilon, numbers, run};

const MASKS: [Mask; 2] = [Mask::None, Mask::Causal];

/// An attention's tensors. The scale is that of models, `1 / √width`.
#[derive(Clone)]
struct Case {
    element: Element,
    shape: AttentionShape,
    mask: Mask,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Case {
    fn new(element: Element, shape: AttentionShape, mask: Mask) -> Self {
        let AttentionShape { batch, queries, keys, heads, width } = shape;
        let tensor = |seed, tokens| numbers(seed, batch * tokens * heads * width, element);
        Self { element, shape, mask, q: tensor(1, queries), k: tensor(2, keys), v: tensor(3, keys) }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.shape.width as f32).sqrt()
    }

    fn run(&self) -> Vec<f32> {
        let plan = attention(self.element, self.shape, self.scale(), self.mask);
        let inputs = [&self.q, &self.k, &self.v].map(|tensor| Input::Elements(tensor.clone()));
        run(&plan, self.element, &inputs, &[Output::Elements(self.q.len())]).remove(0)
    }

    /// The result in float64, each element with the magnitude of what is summed to it: the weighted mean of the values' magnitudes.
    fn oracle(&self) -> Vec<(f64, f64)> {
        let AttentionShape { batch, queries, keys, heads, width } = self.shape;
        let stride = heads * width;
        let mut out = Vec::new();
        for token in 0..batch * queries {
            let (row, query) = (token / queries, token % queries);
            let seen = match self.mask {
                Mask::None => keys,
                Mask::Causal => keys.min(query + 1),
            };
            for head in 0..heads {
                let at = |token: usize| token * stride + head * width;
                let of_query = &self.q[at(token)..][..width];
                let score = |key: usize| -> f64 {
                    let of_key = &self.k[at(row * keys + key)..][..width];
                    let products = of_query.iter().zip(of_key).map(|(q, k)| f64::from(*q) * f64::from(*k));
                    products.sum::<f64>() * f64::from(self.scale())
                };
                let scores: Vec<f64> = (0..seen).map(score).collect();
                let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
                let sum: f64 = weights.iter().sum();
                for channel in 0..width {
                    let value = |key: usize| f64::from(self.v[at(row * keys + key) + channel]);
                    let mean = |f: fn(f64) -> f64| (0..seen).map(|key| weights[key] * f(value(key))).sum::<f64>() / sum;
                    out.push((mean(|x| x), mean(f64::abs)));
                }
            }
        }
        out
    }

    /// `beside` is what the case is allowed beside the rounding of weights and of the output to the element type, half an epsilon each.
    fn check(&self, beside: f64) {
        let rounding = match self.element {
            Element::F32 => 0.0,
            Element::F16 | Element::Bf16 => epsilon(self.element),
        };
        assert_close(&self.run(), &self.oracle(), rounding + beside);
    }
}

/// For all element types. A score, which is a sum of `width` products and of size 1, is wrong by some 1e-7, so a weight is by as much of
/// itself; the sums add the like.
fn check(shape: [usize; 5], mask: Mask) {
    let [batch, queries, keys, heads, width] = shape;
    for element in Element::ALL {
        Case::new(element, AttentionShape { batch, queries, keys, heads, width }, mask).check(2e-6);
    }
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn self_attention() {
    check([1, 64, 64, 1, 40], Mask::None);
}

#[test]
fn cross_attention() {
    check([1, 70, 77, 2, 40], Mask::None);
    check([1, 20, 154, 1, 64], Mask::None);
}

#[test]
fn causal() {
    check([1, 77, 77, 1, 64], Mask::Causal);
    check([2, 9, 9, 2, 8], Mask::Causal);
}

#[test]
fn causal_with_more_queries_than_keys_or_fewer() {
    check([1, 40, 3, 1, 8], Mask::Causal);
    check([1, 3, 40, 1, 8], Mask::Causal);
}

#[test]
fn heads_and_batch_rows() {
    check([3, 17, 33, 4, 16], Mask::None);
    check([2, 130, 65, 2, 24], Mask::None);
}

#[test]
fn every_width_that_has_a_kernel() {
    for width in [8, 16, 32, 40, 48, 64, 72, 80, 96, 128, 136, 160] {
        check([1, 19, 67, 2, width], Mask::None);
    }
}

#[test]
fn widths_of_no_model_but_tests() {
    for width in [1, 2, 4, 5, 33] {
        check([2, 5, 35, 2, width], Mask::None);
    }
}

#[test]
fn wide_heads() {
    check([1, 5, 35, 1, 512], Mask::None);
    check([1, 66, 33, 1, 200], Mask::None);
    check([2, 3, 5, 2, 168], Mask::None);
}

#[test]
fn heads_of_more_channels_than_one_block_computes() {
    check([1, 3, 34, 1, 515], Mask::None);
    check([1, 2, 3, 2, 1032], Mask::None);
}

#[test]
fn one_key() {
    for width in [8, 5, 200] {
        check([1, 3, 1, 2, width], Mask::None);
    }
}

#[test]
fn nothing_is_left_of_a_row_for_its_neighbours() {
    for (width, mask) in [(8, Mask::None), (40, Mask::None), (5, Mask::Causal), (160, Mask::None), (168, Mask::None)] {
        let shape = AttentionShape { batch: 3, queries: 20, keys: 37, heads: 2, width };
        for element in Element::ALL {
            let all = Case::new(element, shape, mask);
            let together = all.run();
            for row in 0..shape.batch {
                let part = |tensor: &[f32]| tensor.chunks(tensor.len() / shape.batch).nth(row).expect("a row").to_vec();
                let shape = AttentionShape { batch: 1, ..shape };
                let alone = Case { shape, q: part(&all.q), k: part(&all.k), v: part(&all.v), ..all.clone() };
                assert_eq!(bits(&alone.run()), bits(&part(&together)), "row {row}, {element:?}, {width}, {mask:?}");
            }
        }
    }
}

/// Of scores up to ±1e4 and more, one key has all the weight or a few share it, wrong by as much as the scores are:
/// some ten roundings of 1e4 * 2^-24.
#[test]
fn great_scores_do_not_overflow() {
    for (width, mask) in [(40, Mask::None), (64, Mask::Causal), (200, Mask::None)] {
        for element in Element::ALL {
            let shape = AttentionShape { batch: 1, queries: 20, keys: 70, heads: 1, width };
            let mut case = Case::new(element, shape, mask);
            for x in case.q.iter_mut().chain(&mut case.k) {
                *x *= 64.0;
            }
            case.check(1e-2);
        }
    }
}

/// A score that equals the one before must have an equal weight, however great both are, also in a later tile.
#[test]
fn equal_keys_have_equal_weights() {
    for width in [8, 5, 200] {
        for element in Element::ALL {
            let shape = AttentionShape { batch: 1, queries: 2, keys: 256, heads: 1, width };
            let mut case = Case::new(element, shape, Mask::None);
            case.q.fill(100.0);
            case.k.fill(100.0);
            case.check(2e-6);
        }
    }
}

/// Cases with two heads, one for each kernel, and for each its output.
fn cases() -> impl Iterator<Item = (Case, Vec<f32>)> {
    let widths = [(8, Mask::None), (5, Mask::None), (8, Mask::Causal), (200, Mask::None)];
    widths.into_iter().flat_map(|(width, mask)| {
        Element::ALL.into_iter().map(move |element| {
            let case = Case::new(element, AttentionShape { batch: 1, queries: 6, keys: 70, heads: 2, width }, mask);
            let out = case.run();
            (case, out)
        })
    })
}

/// Asserts that `found` is `expected` with NaN for the elements (of a query, a head and a channel) that `broken` names.
fn assert_broken(case: &Case, found: &[f32], expected: &[f32], broken: impl Fn(usize, usize, usize) -> bool) {
    let AttentionShape { heads, width, .. } = case.shape;
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        let (query, head, channel) = (i / width / heads, i / width % heads, i % width);
        let right = if broken(query, head, channel) { x.is_nan() } else { x.to_bits() == y.to_bits() };
        assert!(right, "{:?} {width}, query {query} head {head} channel {channel}: {x}, {y}", case.element);
    }
}

#[test]
fn nan_in_a_query_is_nan_in_its_output() {
    for (mut case, whole) in cases() {
        let stride = case.shape.heads * case.shape.width;
        case.q[3 * stride + 1] = f32::NAN;
        assert_broken(&case, &case.run(), &whole, |query, head, _| query == 3 && head == 0);
    }
}

#[test]
fn nan_in_a_key_or_value_is_nan_for_all_that_see_it() {
    for (case, whole) in cases() {
        let AttentionShape { heads, width, .. } = case.shape;
        let at = 2 * heads * width + width + 3;
        let sees = |query| case.mask == Mask::None || query >= 2;
        let mut key = case.clone();
        key.k[at] = f32::NAN;
        assert_broken(&case, &key.run(), &whole, |query, head, _| sees(query) && head == 1);
        let mut value = case.clone();
        value.v[at] = f32::NAN;
        assert_broken(&case, &value.run(), &whole, |query, head, channel| sees(query) && head == 1 && channel == 3);
    }
}

#[test]
fn infinities_of_masked_keys_leave_no_trace() {
    for element in Element::ALL {
        let shape = AttentionShape { batch: 1, queries: 6, keys: 6, heads: 1, width: 8 };
        let mut case = Case::new(element, shape, Mask::Causal);
        let whole = case.run();
        case.k[4 * 8..].fill(f32::INFINITY);
        case.v[4 * 8..].fill(f32::NEG_INFINITY);
        assert_eq!(bits(&case.run())[..4 * 8], bits(&whole)[..4 * 8], "{element:?}");
    }
}

/// Scores of minus infinity have no weight, even where all of the first tile are.
#[test]
fn keys_of_minus_infinity_have_no_weight() {
    for width in [8, 5, 200] {
        for element in Element::ALL {
            let shape = AttentionShape { batch: 1, queries: 2, keys: 80, heads: 1, width };
            let mut case = Case::new(element, shape, Mask::None);
            case.q.iter_mut().for_each(|x| *x = x.abs() + 0.5);
            case.k[..70 * width].fill(f32::NEG_INFINITY);
            case.check(2e-6);
        }
    }
}

/// What a plan is given is its caller's, and nothing of it is read where there is nothing to compute.
#[test]
fn nothing_to_compute() {
    for mask in MASKS {
        let shape = AttentionShape { batch: 0, queries: 4, keys: 4, heads: 2, width: 8 };
        assert_eq!(Case::new(Element::F16, shape, mask).run(), []);
    }
}
