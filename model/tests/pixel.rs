//! Pixel-space models against diffusers: each case of `data/{class,uncond}/cases.json`, alone and in mixed batches.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::{Map, Value};
use tempfile::TempDir;
use x0_model::generator::{Generator, NoiseSource};
use x0_model::sampler::{SamplerKind, SamplerSpec};
use x0_model::{Channels, Conditioning, Library, Model, Picture, PreviewDecoder, Request, Slot, StepError};

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A library of copies of the model in `data/{name}`, each with further keys in its scheduler's configuration and an `x0.json`.
struct Models {
    folder: TempDir,
    original: PathBuf,
}

impl Models {
    fn of(name: &str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), original: data(name).join("model") }
    }

    fn add(&self, name: &str, scheduler: &Value, x0: Option<&str>) {
        let to = |path: &str| self.folder.path().join(name).join(path);
        for folder in ["unet", "scheduler"] {
            fs::create_dir_all(to(folder)).unwrap();
        }
        for file in ["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"] {
            fs::copy(self.original.join(file), to(file)).unwrap();
        }
        let mut config = json(&self.original.join("scheduler/scheduler_config.json"));
        config.as_object_mut().unwrap().extend(scheduler.as_object().cloned().unwrap_or_default());
        fs::write(to("scheduler/scheduler_config.json"), config.to_string()).unwrap();
        if let Some(x0) = x0 {
            fs::write(to("x0.json"), x0).unwrap();
        }
    }

    fn library(&self) -> Library {
        let library = Library::open(Some(self.folder.path())).unwrap();
        assert_eq!(library.problems(), []);
        library
    }
}

/// A request of the golden models' size.
fn request(sampler: &str, steps: u32, seed: u64, class: Option<u32>) -> Request {
    let (kind, noise_schedule) = SamplerKind::parse(sampler).unwrap();
    Request {
        conditioning: class.map_or(Conditioning::None, Conditioning::Class),
        seed,
        width: 32,
        height: 32,
        steps,
        guidance_scale: 1.0,
        guidance_rescale: 0.0,
        sampler: SamplerSpec { noise_schedule, ..kind.into() },
        noise_source: Default::default(),
        clip_skip: None,
        variation: None,
        init: None,
        highres: None,
    }
}

/// Steps the slot to its end, alone, and returns each prediction of x₀.
fn finish(model: &Model, slot: &mut Slot) -> Vec<Vec<f32>> {
    let mut predictions = Vec::new();
    while !slot.is_done() {
        model.step(&mut [&mut *slot]).remove(0).unwrap();
        predictions.push(slot.predicted_x0().unwrap());
    }
    predictions
}

fn picture(model: &Model, request: &Request) -> Picture {
    let mut slot = model.begin(request, 0).unwrap();
    finish(model, &mut slot);
    model.decode(slot).unwrap()
}

fn largest_difference(a: &[f32], b: &Tensor) -> f32 {
    let b = b.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Each case: the predicted x₀ at every step, the last sample and the picture.
fn check_cases(name: &str) {
    let cases = json(&data(name).join("cases.json"));
    let tensors: HashMap<_, _> =
        candle_core::safetensors::load(data(name).join("cases.safetensors"), &Device::Cpu).unwrap();
    let models = Models::of(name);
    let cases = cases["cases"].as_array().unwrap();
    for case in cases {
        models.add(case["name"].as_str().unwrap(), &case["scheduler_overrides"], None);
    }
    let library = models.library();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let number = |key: &str| case[key].as_u64().unwrap();
        let class = case.get("class_label").map(|label| label.as_u64().unwrap() as u32);
        let request = request(
            case["sampler"].as_str().unwrap(),
            number("steps") as u32,
            case["seeds"][0].as_u64().unwrap(),
            class,
        );
        let cost = library.plan(name, &request).unwrap();
        assert_eq!((cost.calls, cost.rows, cost.tensor_height, cost.tensor_width), (request.steps, 1, 32, 32));

        let model = library.load(name).unwrap();
        let mut slot = model.begin(&request, 0).unwrap();
        let predictions = finish(&model, &mut slot);
        if let Some(expected) = tensors.get(&format!("{name}.pred_x0")) {
            assert_eq!(predictions.len(), expected.dim(0).unwrap());
            for (step, prediction) in predictions.iter().enumerate() {
                let error = largest_difference(prediction, &expected.get(step).unwrap());
                assert!(error < 1e-3, "{name}: x0 at step {step} is off by {error}");
            }
        }
        let error = largest_difference(&slot.sample().unwrap(), &tensors[&format!("{name}.sample")]);
        assert!(error < 1e-3, "{name}: the last sample is off by {error}");

        let picture = model.decode(slot).unwrap();
        let expected = &tensors[&format!("{name}.image")].get(0).unwrap().permute((1, 2, 0)).unwrap();
        let image: Vec<f32> = picture.bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
        let error = largest_difference(&image, expected);
        // Half a unit of rounding to bytes, and what diffusers' own picture may be off.
        assert!(error < 0.5 / 255.0 + 1e-3, "{name}: the picture is off by {error}");
    }
}

#[test]
fn class_conditional_pictures_equal_those_of_diffusers() {
    check_cases("class");
}

#[test]
fn unconditional_pictures_equal_those_of_diffusers() {
    check_cases("uncond");
}

/// A class model with a label for no class.
fn guided() -> Models {
    let models = Models::of("class");
    models.add("guided", &Value::Object(Map::new()), Some(r#"{"null_class": 9}"#));
    models
}

#[test]
fn guidance_mixes_the_prediction_with_that_for_no_class() {
    let models = guided();
    let library = models.library();
    let model = library.load("guided").unwrap();
    let with = |scale, rescale, class| {
        let request =
            Request { guidance_scale: scale, guidance_rescale: rescale, ..request("ddim", 4, 3, Some(class)) };
        let mut slot = model.begin(&request, 0).unwrap();
        finish(&model, &mut slot);
        slot.sample().unwrap()
    };
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // At scale 0 the class means nothing.
    assert_eq!(with(0.0, 0.0, 2), with(0.0, 0.0, 5));
    // Near 1, two rows give nearly what one row gives.
    assert!(distance(&with(1.0, 0.0, 2), &with(1.0 + 1e-6, 0.0, 2)) < 1e-4);
    assert!(distance(&with(1.0, 0.0, 2), &with(4.0, 0.0, 2)) > 1e-2);
    assert!(distance(&with(4.0, 0.7, 2), &with(4.0, 0.0, 2)) > 1e-3);
    let request = Request { guidance_scale: 4.0, ..request("ddim", 4, 3, Some(2)) };
    assert_eq!(library.plan("guided", &request).unwrap().rows, 2);
}

/// Pictures of requests that differ in everything, made all together, then with each one joining a call later than the one before
/// it, are the pictures that each request gives alone, to the last bit of their samples.
fn check_company(model: &Model) {
    let size = model.info().size;
    let sized = |request: Request| Request { width: size.default_width, height: size.default_height, ..request };
    let guided = |request: Request| Request { guidance_scale: 2.5, guidance_rescale: 0.3, ..request };
    let requests = [
        request("ddpm", 6, 1, Some(0)),
        guided(request("ddim", 9, 2, Some(1))),
        request("euler", 4, 3, Some(2)),
        guided(request("dpmpp_2m", 7, 4, Some(3))),
        request("euler_ancestral", 5, 5, Some(4)),
        request("heun", 3, 6, Some(5)),
        guided(request("dpmpp_2m_karras", 8, 7, Some(6))),
        request("unipc", 6, 8, Some(7)),
    ]
    .map(sized);
    let bits = |slot: &Slot| slot.sample().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let alone = requests.each_ref().map(|request| {
        let mut slot = model.begin(request, 0).unwrap();
        finish(model, &mut slot);
        (bits(&slot), model.decode(slot).unwrap())
    });

    for stagger in [0, 1] {
        let mut slots = requests.each_ref().map(|request| model.begin(request, 0).unwrap());
        for call in 0.. {
            let joined = |(i, slot): (usize, _)| (i * stagger <= call).then_some(slot);
            let mut batch: Vec<&mut Slot> =
                slots.iter_mut().enumerate().filter_map(joined).filter(|slot| !slot.is_done()).collect();
            if batch.is_empty() {
                break;
            }
            for report in model.step(&mut batch) {
                report.unwrap();
            }
        }
        for (i, (slot, (sample, picture))) in slots.into_iter().zip(&alone).enumerate() {
            assert!(bits(&slot) == *sample, "request {i} came out different, joined {} calls late", i * stagger);
            assert!(model.decode(slot).unwrap() == *picture);
        }
    }
}

#[test]
fn a_picture_does_not_depend_on_what_shares_its_calls() {
    let models = guided();
    let library = models.library();
    check_company(&library.load("guided").unwrap());
}

#[test]
fn a_picture_of_the_embedded_model_does_not_depend_on_what_shares_its_calls() {
    check_company(&Library::open(None).unwrap().load("fashion").unwrap());
}

#[test]
fn image_i_is_the_first_image_of_seed_plus_i() {
    let models = guided();
    let library = models.library();
    let model = library.load("guided").unwrap();
    let (ten, twelve) = (request("ddim", 3, 10, Some(1)), request("ddim", 3, 12, Some(1)));
    assert_eq!(model.begin(&ten, 2).unwrap().sample().unwrap(), model.begin(&twelve, 0).unwrap().sample().unwrap());
    assert_ne!(model.begin(&ten, 1).unwrap().sample().unwrap(), model.begin(&twelve, 0).unwrap().sample().unwrap());
    let last = Request { seed: u64::MAX, ..ten };
    assert_eq!(
        model.begin(&last, 1).unwrap().sample().unwrap(),
        model.begin(&Request { seed: 0, ..last }, 0).unwrap().sample().unwrap()
    );
}

#[test]
fn the_noise_is_drawn_from_the_source_that_was_asked_for() {
    let models = guided();
    let model = models.library().load("guided").unwrap();
    for noise_source in [NoiseSource::Torch, NoiseSource::Philox] {
        let slot = model.begin(&Request { noise_source, ..request("ddim", 2, 5, Some(1)) }, 2).unwrap();
        assert_eq!(slot.sample().unwrap(), Generator::new(noise_source, 7).draw(32 * 32), "{noise_source:?}");
    }
}

#[test]
fn previews_converge_to_the_picture() {
    let models = guided();
    let library = models.library();
    let model = library.load("guided").unwrap();
    let mut slot = model.begin(&request("ddim", 5, 1, Some(1)), 0).unwrap();
    let preview = |slot: &Slot| model.preview(slot, PreviewDecoder::Auto).unwrap();
    let first = preview(&slot);
    assert!(
        (first.width, first.height, first.channels) == (32, 32, Channels::Gray)
            && first.bytes.iter().all(|b| *b == 128)
    );
    assert_eq!((slot.steps_done(), slot.calls()), (0, 5));
    let mut previews = Vec::new();
    let mut sigmas = Vec::new();
    while !slot.is_done() {
        let report = model.step(&mut [&mut slot]).remove(0).unwrap();
        sigmas.push(report.sigma);
        previews.push(preview(&slot));
    }
    assert!(sigmas.is_sorted_by(|a, b| a > b), "{sigmas:?}");
    let last = model.decode(slot).unwrap();
    let distance = |p: &Picture| p.bytes.iter().zip(&last.bytes).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
    assert!(distance(&previews[4]) < distance(&previews[0]));
}

#[test]
fn a_slot_is_stepped_as_often_as_it_has_calls_and_no_more() {
    let models = guided();
    let library = models.library();
    let model = library.load("guided").unwrap();
    let mut slot = model.begin(&request("ddim", 2, 1, Some(1)), 0).unwrap();
    let other = model.begin(&request("ddim", 2, 1, Some(1)), 0).unwrap();
    assert!(matches!(model.decode(other), Err(StepError::Unfinished { done: 0, calls: 2 })));
    finish(&model, &mut slot);
    let mut other = model.begin(&request("ddim", 2, 2, Some(1)), 0).unwrap();
    let reports = model.step(&mut [&mut slot, &mut other]);
    assert!(matches!(reports[..], [Err(StepError::Sampler(_)), Ok(_)]), "{reports:?}");
    assert!(matches!(model.step(&mut [&mut slot])[..], [Err(StepError::Sampler(_))]));
    assert!(model.step(&mut []).is_empty());
}

#[test]
fn a_crop_cuts_the_border_off_pictures_and_previews() {
    let models = Models::of("uncond");
    models.add("whole", &Value::Null, None);
    models.add("cropped", &Value::Null, Some(r#"{"crop": 3}"#));
    let library = models.library();
    let wanted = request("ddim", 3, 1, None);
    let whole = picture(&library.load("whole").unwrap(), &wanted);
    let size = library.info("cropped").unwrap().size;
    assert_eq!((size.default_width, size.default_height), (26, 26));
    assert_eq!(library.plan("cropped", &wanted).unwrap_err().field, "width");
    let wanted = Request { width: 26, height: 26, ..wanted };
    let model = library.load("cropped").unwrap();
    let cropped = picture(&model, &wanted);
    assert_eq!((cropped.width, cropped.height, cropped.channels), (26, 26, Channels::Rgb));
    for y in 0..26 {
        let line = |p: &Picture, y: usize, x: usize| p.bytes[(y * p.width as usize + x) * 3..][..26 * 3].to_vec();
        assert_eq!(line(&cropped, y, 0), line(&whole, y + 3, 3));
    }
    assert_eq!(model.preview(&model.begin(&wanted, 0).unwrap(), PreviewDecoder::Full).unwrap().width, 26);
}

#[test]
fn a_model_that_predicts_its_variance_serves_every_sampler() {
    let models = Models::of("class");
    models.add("learned", &serde_json::json!({"variance_type": "learned_range"}), None);
    let unet = models.folder.path().join("learned/unet");
    let weights = unet.join("diffusion_pytorch_model.safetensors");
    let mut tensors = candle_core::safetensors::load(&weights, &Device::Cpu).unwrap();
    for name in ["conv_out.weight", "conv_out.bias"] {
        let half = tensors[name].clone();
        let variance = (&half * 0.1).unwrap();
        tensors.insert(name.to_owned(), Tensor::cat(&[half, variance], 0).unwrap());
    }
    candle_core::safetensors::save(&tensors, &weights).unwrap();
    let mut config = json(&unet.join("config.json"));
    config["out_channels"] = 2.into();
    fs::write(unet.join("config.json"), config.to_string()).unwrap();
    models.add("fixed", &Value::Null, None);
    let library = models.library();
    let (learned, fixed) = (library.load("learned").unwrap(), library.load("fixed").unwrap());
    // DDIM takes no variance from the model; DDPM does.
    let (ddim, ddpm) = (request("ddim", 4, 1, Some(2)), request("ddpm", 4, 1, Some(2)));
    assert_eq!(picture(&learned, &ddim), picture(&fixed, &ddim));
    assert_ne!(picture(&learned, &ddpm), picture(&fixed, &ddpm));
}

#[test]
fn a_prediction_that_is_not_finite_fails_its_slot_alone() {
    let models = Models::of("class");
    models.add("broken", &Value::Null, None);
    let weights = models.folder.path().join("broken/unet/diffusion_pytorch_model.safetensors");
    let mut tensors = candle_core::safetensors::load(&weights, &Device::Cpu).unwrap();
    let name = "class_embedding.weight";
    let nan = (tensors[name].narrow(0, 0, 1).unwrap() * f64::NAN).unwrap();
    let rest = tensors[name].narrow(0, 1, 9).unwrap();
    tensors.insert(name.to_owned(), Tensor::cat(&[nan, rest], 0).unwrap());
    candle_core::safetensors::save(&tensors, &weights).unwrap();
    let library = models.library();
    let model = library.load("broken").unwrap();
    let mut slots: Vec<_> = (0..3).map(|class| model.begin(&request("ddim", 2, 1, Some(class)), 0).unwrap()).collect();
    let reports = model.step(&mut slots.iter_mut().collect::<Vec<_>>());
    assert!(matches!(reports[..], [Err(StepError::NotFinite { step: 1 }), Ok(_), Ok(_)]), "{reports:?}");
}
