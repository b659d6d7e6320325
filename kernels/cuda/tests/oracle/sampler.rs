use proptest::prelude::*;
use x0_cuda::Element;
use x0_cuda::plan::{
    Bound, MAX_TERMS, combine, latent_colors, place_input, restore, restore_deviation, to_bytes, widen,
};

use crate::{Input, Output, numbers, round, run};

fn floats(seed: u64, len: usize) -> Vec<f32> {
    numbers(seed, len, Element::F32)
}

/// The bits, for comparisons in which not a number equals itself.
fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn an_input_is_the_scaled_sample_and_the_further_channels_in_each_copy() {
    for element in Element::ALL {
        for (positions, channels, further, copies) in [(70, 4, 0, 2), (70, 4, 5, 3), (7, 3, 1, 1), (1, 4, 0, 0)] {
            let (sample, more) = (floats(1, positions * channels), floats(2, positions * further));
            let position = |p: usize| {
                let own = sample[p * channels..(p + 1) * channels].iter().map(|x| x * 0.3);
                own.chain(more[p * further..(p + 1) * further].iter().copied()).map(|x| round(x, element))
            };
            let one: Vec<f32> = (0..positions).flat_map(position).collect();
            let mut inputs = vec![Input::F32(sample.clone())];
            inputs.extend((further > 0).then(|| Input::F32(more.clone())));
            let plan = place_input(element, positions, channels, further, copies, 0.3);
            let found = run(&plan, element, &inputs, &[Output::Elements(copies * one.len())]).remove(0);
            assert_eq!(found, one.repeat(copies));
        }
    }
}

#[test]
fn widening_is_exact_and_sees_what_is_not_finite() {
    for element in Element::ALL {
        let x = numbers(1, 700, element);
        let widened = |x: &[f32]| {
            let outputs = [Output::F32(x.len()), Output::U32(1)];
            let mut found = run(&widen(element, x.len()), element, &[Input::Elements(x.to_vec())], &outputs);
            (found.remove(0), found.remove(0)[0])
        };
        // Fresh memory is all ones.
        assert_eq!(widened(&x), (x.clone(), u32::MAX as f32));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = x.clone();
            x[699] = bad;
            let (found, flag) = widened(&x);
            assert!(flag == 1.0 && found[..699] == x[..699] && !found[699].is_finite());
        }
    }
}

fn combined(tensors: &[Vec<f32>], coefficients: &[f64], bound: Bound) -> Vec<f32> {
    let inputs: Vec<_> = tensors.iter().cloned().map(Input::F32).collect();
    let len = tensors.first().map_or(5, Vec::len);
    run(&combine(len, coefficients, bound), Element::F32, &inputs, &[Output::F32(len)]).remove(0)
}

/// As the processor does it.
fn combined_in_float64(tensors: &[Vec<f32>], coefficients: &[f64], i: usize) -> f32 {
    tensors.iter().zip(coefficients).fold(0.0, |sum, (tensor, c)| sum + c * f64::from(tensor[i])) as f32
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn combinations_have_the_bits_of_float64(
        coefficients in prop::collection::vec(-1e3f64..1e3, 1..=MAX_TERMS), len in 1usize..600, bound in 0.1f32..100.0, seed: u64
    ) {
        let tensors: Vec<_> = (0..coefficients.len() as u64).map(|i| floats(seed ^ i, len)).collect();
        let expected: Vec<f32> = (0..len).map(|i| combined_in_float64(&tensors, &coefficients, i)).collect();
        assert_eq!(bits(&combined(&tensors, &coefficients, Bound::None)), bits(&expected));
        let within: Vec<f32> = expected.iter().map(|x| x.clamp(-bound, bound)).collect();
        assert_eq!(bits(&combined(&tensors, &coefficients, Bound::Range(bound))), bits(&within));
        let inputs: Vec<_> = tensors.iter().cloned().map(Input::F32).collect();
        let plan = combine(len, &coefficients, Bound::None);
        for place in [0, tensors.len() - 1] {
            let found = run(&plan, Element::F32, &inputs, &[Output::Updated(place, len)]).remove(0);
            assert_eq!(bits(&found), bits(&expected), "in the place of tensor {}", place);
        }
    }

    #[test]
    fn colors_have_the_bits_of_the_processor(positions in 1usize..200, channels in prop::sample::select(vec![1usize, 4, 16]), seed: u64) {
        let (latents, factors) = (floats(seed, positions * channels), floats(seed ^ 1, 3 * (channels + 1)));
        let expected: Vec<f32> = (0..3 * positions).map(|i| {
            let (row, latents) = (&factors[i % 3 * (channels + 1)..], &latents[i / 3 * channels..][..channels]);
            row[channels] + row.iter().zip(latents).map(|(factor, x)| factor * x).sum::<f32>()
        }).collect();
        let inputs = [Input::F32(latents), Input::F32(factors)];
        let found = run(&latent_colors(positions, channels), Element::F32, &inputs, &[Output::F32(3 * positions)]).remove(0);
        assert_eq!(found, expected);
    }
}

#[test]
fn equal_products_cancel_to_nothing() {
    let x = floats(4, 300);
    // A product that is not rounded before it is added would leave its rounding error.
    assert_eq!(combined(&[x.clone(), x], &[0.3, -0.3], Bound::None), [0.0; 300]);
}

#[test]
fn no_tensors_make_zeros() {
    assert_eq!(combined(&[], &[], Bound::None), [0.0; 5]);
}

#[test]
fn a_bound_leaves_a_nan_and_takes_infinities() {
    let x = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.5, -7.0];
    let found = combined(std::slice::from_ref(&x), &[1.0], Bound::Range(2.0));
    assert!(found[0].is_nan() && found[1..] == [2.0, -2.0, 0.5, -2.0]);
    let found = combined(std::slice::from_ref(&x), &[1.0], Bound::None);
    assert!(found[0].is_nan() && found[1..] == x[1..]);
}

/// torch's `std`: unbiased.
fn deviation(x: &[f32]) -> f64 {
    let n = x.len() as f64;
    let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    (x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
}

#[test]
fn the_deviation_is_restored() {
    // One segment, several, and more than a warp has threads.
    for (len, offset) in [(2, 0.0), (1000, 0.0), (4096, 50.0), (9001, 0.0), (140_000, 0.0)] {
        let shifted = |seed| floats(seed, len).iter().map(|x| x + offset).collect::<Vec<f32>>();
        let (conditional, guided): (Vec<f32>, Vec<f32>) = (shifted(1), shifted(2).iter().map(|x| 3.0 * x).collect());
        let inputs = [Input::F32(conditional.clone()), Input::F32(guided.clone())];
        let rescale = 0.7;
        let plan = restore_deviation(len, rescale);
        let found = run(&plan, Element::F32, &inputs, &[Output::Updated(1, len)]).remove(0);
        let factor = rescale * (deviation(&conditional) / deviation(&guided)) + (1.0 - rescale);
        for (y, x) in found.iter().zip(&guided) {
            let expected = factor * f64::from(*x);
            // The factor and the product are rounded to float32.
            assert!((f64::from(*y) - expected).abs() <= 1.3e-7 * expected.abs(), "{y} instead of {expected}");
        }
        if len < 10_000 {
            let apart = run(&plan, Element::F32, &inputs, &[Output::F32(len)]).remove(0);
            assert_eq!(bits(&apart), bits(&found));
        }
    }
}

#[test]
fn the_picture_comes_back_where_it_is_kept() {
    for (positions, channels) in [(100, 4), (7, 3)] {
        let len = positions * channels;
        let [sample, original, noise] = [1, 2, 3].map(|seed| floats(seed, len));
        let mask: Vec<f32> = (0..positions).map(|p| if p % 3 == 0 { 0.0 } else { 1.0 }).collect();
        let expected: Vec<f32> = (0..len)
            .map(|i| if mask[i / channels] == 0.0 { 0.8 * original[i] + 0.6 * noise[i] } else { sample[i] })
            .collect();
        let inputs = [sample, mask, original, noise].map(Input::F32);
        let plan = restore(positions, channels, 0.8, 0.6);
        for output in [Output::F32(len), Output::Updated(0, len)] {
            assert_eq!(bits(&run(&plan, Element::F32, &inputs, &[output]).remove(0)), bits(&expected));
        }
    }
}

#[test]
fn bytes_are_those_of_a_picture() {
    for element in Element::ALL {
        // Every byte, the halves between them, and what lies beyond.
        let steps = (-520..=520).map(|i| i as f32 / 510.0);
        let x: Vec<f32> = steps
            .chain([2.0, -3.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -0.0])
            .map(|x| round(x, element))
            .collect();
        let expected: Vec<f32> =
            x.iter().map(|x| f32::from(((x / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8)).collect();
        let found =
            run(&to_bytes(element, x.len()), element, &[Input::Elements(x.clone())], &[Output::U8(x.len())]).remove(0);
        assert_eq!(found, expected);
    }
}
