//! Whole models on a CUDA device: against diffusers in float32, against float32 in half precision, and against themselves in other
//! company. Where there is no device, the simulator takes its place: kernels/cuda/simulator/README.md.
#![cfg(feature = "cuda")]

mod goldens;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use goldens::text_to_image::{TestModel, Tolerance, copy_folder, run};
use goldens::{data, max_difference, relative_error};
use x0_model::sampler::SamplerKind;
use x0_model::{
    Conditioning, Library, Model, Picture, Placement, Precision, PreviewDecoder, Prompt, Request, Slot, StepError,
};

fn placed(precision: Precision) -> Placement {
    Placement::cuda(0, precision).unwrap()
}

/// In float32 a device is held to the bounds that hold on the processor.
fn check(model: &str, cases: &[&str]) {
    let model = TestModel::open_on(model, &placed(Precision::Float32));
    for case in cases {
        model.check(model.case(case), Tolerance::STRICT).unwrap();
    }
}

#[test]
fn stable_diffusion_makes_diffusers_pictures() {
    check("sd15", &["pndm", "rescale"]);
}

#[test]
fn random_numbers_of_a_step_reach_the_device() {
    check("sd15", &["dpmpp_2m_sde"]);
}

#[test]
fn pictures_and_masks_are_started_from() {
    check("sd15", &["img2img_0.3", "inpaint_4ch"]);
    check("inpaint", &["inpaint_9ch_0.7"]);
}

#[test]
fn stable_diffusion_xl_makes_diffusers_pictures() {
    check("sdxl", &["lcm"]);
}

/// Of a small picture: a simulator takes its time.
fn request(prompt: &str, sampler: SamplerKind, steps: u32, seed: u64) -> Request {
    Request {
        conditioning: Conditioning::Text { prompt: prompt.into(), negative_prompt: Prompt::default() },
        seed,
        width: 32,
        height: 32,
        steps,
        guidance_scale: 3.0,
        guidance_rescale: 0.0,
        sampler: sampler.into(),
        noise_source: Default::default(),
        clip_skip: None,
        variation: None,
        init: None,
        highres: None,
    }
}

fn class_request(class: u32, sampler: SamplerKind, steps: u32) -> Request {
    Request { conditioning: Conditioning::Class(class), guidance_scale: 1.0, ..request("", sampler, steps, 5) }
}

fn begin(model: &Model, request: &Request) -> Slot {
    model.begin(request, 0).unwrap()
}

/// Of the first step's prediction of the clean sample.
fn first_prediction(model: &Model, request: &Request) -> Vec<f32> {
    let mut slot = begin(model, request);
    model.step(&mut [&mut slot]).remove(0).unwrap();
    slot.predicted_x0().unwrap()
}

#[test]
fn half_precision_is_as_near_as_its_rounding_allows() {
    let request = request("a castle", SamplerKind::Euler, 2, 1);
    let exact = first_prediction(&TestModel::open("sd15").model, &request);
    for (precision, bound) in [(Precision::Float16, 6e-3), (Precision::Bfloat16, 5e-2)] {
        let model = TestModel::open_on("sd15", &placed(precision)).model;
        let error = relative_error(&first_prediction(&model, &request), &exact);
        assert!(error < bound, "{precision:?}: {error}");
    }
}

#[test]
fn a_pixel_space_model_predicts_the_same_everywhere() {
    let library = |placement| Library::open(Some(&data("class"))).unwrap().placed(placement).load("model").unwrap();
    let request = class_request(3, SamplerKind::Dpmpp2m, 4);
    let sample = |model: &Model| {
        let mut slot = begin(model, &request);
        run(model, &mut slot);
        (slot.sample().unwrap(), model.decode(slot).unwrap())
    };
    let (expected, picture) = sample(&library(Placement::cpu()));
    let (found, same_picture) = sample(&library(placed(Precision::Float32)));
    assert!(max_difference(&found, &expected) < 1e-3);
    assert!(same_picture.bytes.iter().zip(&picture.bytes).all(|(a, b)| a.abs_diff(*b) <= 1));
}

/// The picture of a request alone.
fn alone(model: &Model, request: &Request) -> Picture {
    let mut slot = begin(model, request);
    run(model, &mut slot);
    model.decode(slot).unwrap()
}

#[test]
fn a_picture_does_not_depend_on_its_company() {
    let model = TestModel::open_on("sd15", &placed(Precision::Bfloat16)).model;
    let unguided = Request { guidance_scale: 1.0, ..request("a house", SamplerKind::Ddim, 2, 7) };
    let requests = [
        request("a castle", SamplerKind::Euler, 3, 1),
        request("a red house, at dusk", SamplerKind::Dpmpp2m, 4, 2),
        unguided,
    ];
    let expected = requests.each_ref().map(|request| alone(&model, request));
    // One joins late, and they leave one after the other: calls of 2, 5, 4 and 2 rows.
    let [first, second, third] = requests.each_ref().map(|request| begin(&model, request));
    let mut slots = [Some(first), Some(second), Some(third)];
    let mut made: [Option<Picture>; 3] = [const { None }; 3];
    for turn in 0.. {
        let mut present: Vec<&mut Slot> = slots.iter_mut().flatten().collect();
        let present = if turn == 0 { &mut present[..1] } else { &mut present };
        assert!(model.step(present).iter().all(Result::is_ok));
        for (slot, picture) in slots.iter_mut().zip(&mut made) {
            if let Some(done) = slot.take_if(|slot| slot.is_done()) {
                *picture = Some(model.decode(done).unwrap());
            }
        }
        if slots.iter().all(Option::is_none) {
            break;
        }
    }
    for (i, (made, expected)) in made.into_iter().zip(expected).enumerate() {
        assert!(made.unwrap() == expected, "picture {i}");
    }
}

#[test]
fn previews_are_made_beside_the_steps() {
    let on = |placement: &Placement| {
        let model = TestModel::open_on("sd15", placement).model;
        let mut slot = begin(&model, &request("a castle", SamplerKind::Euler, 2, 1));
        model.step(&mut [&mut slot]).remove(0).unwrap();
        [PreviewDecoder::Full, PreviewDecoder::Linear].map(|decoder| model.preview(&slot, decoder).unwrap())
    };
    for (found, expected) in on(&placed(Precision::Float32)).iter().zip(on(&Placement::cpu())) {
        assert_eq!((found.width, found.height), (expected.width, expected.height));
        assert!(found.bytes.iter().zip(&expected.bytes).all(|(a, b)| a.abs_diff(*b) <= 1));
    }
}

/// A copy of a model folder in which a number of the UNet is none.
fn broken(to: &Path) {
    copy_folder(&data("sd15/model"), &to.join("model"));
    let file = to.join("model/unet/diffusion_pytorch_model.safetensors");
    let mut tensors: HashMap<String, Tensor> = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    let bias = &tensors["conv_out.bias"];
    let broken = Tensor::full(f32::NAN, bias.dims(), &Device::Cpu).unwrap().to_dtype(bias.dtype()).unwrap();
    tensors.insert("conv_out.bias".to_owned(), broken);
    candle_core::safetensors::save(&tensors, &file).unwrap();
}

#[test]
fn what_is_not_a_number_is_found_at_the_latest_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    broken(folder.path());
    let model = Library::open(Some(folder.path())).unwrap().placed(placed(Precision::Bfloat16)).load("model").unwrap();
    let mut slot = begin(&model, &request("a castle", SamplerKind::Euler, 3, 1));
    while !slot.is_done() {
        match model.step(&mut [&mut slot]).remove(0) {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error, StepError::NotFinite { .. }), "{error}");
                return;
            }
        }
    }
    assert!(matches!(model.decode(slot), Err(StepError::NotFinite { .. })));
}
