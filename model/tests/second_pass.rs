//! What a request may say beyond diffusers' pipelines: a second pass at a larger size, variations of a seed, and what a hole starts
//! from.

mod goldens;

use goldens::data;
use goldens::text_to_image::{TestModel, run};
use x0_model::sampler::SamplerKind;
use x0_model::{
    Highres, Library, MaskFill, Model, Picture, PreviewDecoder, Request, SecondPass, Slot, Upscaler, Variation,
};

const HIGHRES: Highres = Highres { width: 96, height: 96, steps: 3, strength: 0.7, upscaler: Upscaler::Latent };

fn request(tests: &TestModel) -> Request {
    let request = tests.request(tests.case("euler"), 0);
    Request { sampler: SamplerKind::EulerAncestral.into(), steps: 4, width: 64, height: 64, ..request }
}

fn made(model: &Model, request: &Request, image: u32) -> Picture {
    let mut slot = model.begin(request, image).unwrap();
    run(model, &mut slot);
    model.decode(slot).unwrap()
}

fn step(model: &Model, slots: &mut [&mut Slot]) {
    for report in model.step(slots) {
        report.unwrap();
    }
}

/// The mean difference of the levels of two pictures.
fn difference(a: &Picture, b: &Picture) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let sum: u64 = a.bytes.iter().zip(&b.bytes).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.bytes.len() as f64
}

#[test]
fn a_second_pass_makes_the_picture_larger() {
    for name in ["sd15", "sdxl"] {
        let tests = TestModel::open(name);
        let library = Library::open(Some(&data(name))).unwrap();
        for upscaler in [Upscaler::Latent, Upscaler::LatentBicubic, Upscaler::LatentNearestExact, Upscaler::Lanczos] {
            let first = request(&tests);
            let request = Request { highres: Some(Highres { upscaler, ..HIGHRES }), ..first.clone() };
            let cost = library.plan("model", &request).unwrap();
            let second = SecondPass { calls: 3, tensor_height: 48, tensor_width: 48 };
            assert_eq!((cost.calls, cost.second_pass, cost.all_calls()), (4, Some(second), 7));

            let mut slot = tests.model.begin(&request, 0).unwrap();
            assert_eq!((slot.calls(), slot.is_done()), (7, false));
            (0..4).for_each(|_| step(&tests.model, &mut [&mut slot]));
            assert_eq!((slot.steps_done(), slot.calls(), slot.sample().unwrap().len()), (4, 7, 4 * 48 * 48));
            let preview = tests.model.preview(&slot, PreviewDecoder::Full).unwrap();
            (0..3).for_each(|_| step(&tests.model, &mut [&mut slot]));
            assert!(slot.is_done());
            let large = tests.model.decode(slot).unwrap();
            assert_eq!((large.width, large.height, preview.width), (96, 96, 96));
            // What is shown between the passes is the first picture in the new size. An autoencoder that was never trained gives
            // other pictures back than it is given, as it has to where the picture is enlarged and not its latents.
            if upscaler != Upscaler::Lanczos {
                let small = made(&tests.model, &first, 0).resized(96, 96);
                assert!(difference(&preview, &small) < 40.0, "{name} {upscaler:?}: {}", difference(&preview, &small));
            }
        }
    }
}

#[test]
fn a_picture_with_two_passes_is_the_same_in_any_company() {
    let tests = TestModel::open("sd15");
    let two = Request { highres: Some(HIGHRES), ..request(&tests) };
    let large = Request { width: 96, height: 96, ..request(&tests) };
    let small = request(&tests);
    let expected = [&two, &large, &small].map(|request| made(&tests.model, request, 0));
    let [mut a, mut b, mut c] = [&two, &large, &small].map(|request| tests.model.begin(request, 0).unwrap());
    (0..4).for_each(|_| step(&tests.model, &mut [&mut a, &mut c]));
    step(&tests.model, &mut [&mut b]);
    (0..3).for_each(|_| step(&tests.model, &mut [&mut b, &mut a]));
    for (slot, expected) in [a, b, c].into_iter().zip(expected) {
        assert!(tests.model.decode(slot).unwrap() == expected);
    }
}

#[test]
fn second_passes_that_cannot_be_are_refused() {
    let tests = TestModel::open("sd15");
    let library = Library::open(Some(&data("sd15"))).unwrap();
    let refused = |request: Request| library.plan("model", &request).unwrap_err().field;
    for highres in [
        Highres { width: 32, ..HIGHRES },
        Highres { height: 100, ..HIGHRES },
        Highres { width: 1 << 20, ..HIGHRES },
        Highres { steps: 0, ..HIGHRES },
        Highres { strength: 0.0, ..HIGHRES },
        Highres { strength: 1e-9, ..HIGHRES },
    ] {
        assert_eq!(refused(Request { highres: Some(highres), ..request(&tests) }), "highres", "{highres:?}");
    }
    let inpaint = tests.request(tests.case("inpaint_4ch"), 0);
    assert_eq!(refused(Request { highres: Some(HIGHRES), ..inpaint }), "highres");
}

#[test]
fn a_variation_goes_from_one_seed_to_the_other() {
    let tests = TestModel::open("sd15");
    let with = |variation| Request { variation, seed: 3, ..request(&tests) };
    let plain = made(&tests.model, &with(None), 0);
    let varied = |seed, strength, image| made(&tests.model, &with(Some(Variation { seed, strength })), image);
    let distances = [0.05, 0.3, 0.9].map(|strength| difference(&plain, &varied(11, strength, 0)));
    assert!(distances[0] > 0.0 && distances[0] < distances[1] && distances[1] < distances[2], "{distances:?}");
    // Image i of a variation varies with seed + i; the first seed stays.
    assert!(varied(11, 0.3, 2) == varied(13, 0.3, 0));
    assert!(varied(11, 0.3, 0) != varied(12, 0.3, 0));
}

#[test]
fn a_hole_is_filled_with_what_was_asked_for() {
    let tests = TestModel::open("sd15");
    let with = |fill| {
        let mut request = tests.request(tests.case("inpaint_4ch"), 0);
        let init = request.init.as_mut().unwrap();
        (init.fill, init.strength) = (fill, 0.4);
        request.steps = 5;
        made(&tests.model, &request, 0)
    };
    let [picture, noise, nothing] = [MaskFill::Picture, MaskFill::Noise, MaskFill::Nothing].map(with);
    assert!(picture != noise && picture != nothing && noise != nothing);
}
