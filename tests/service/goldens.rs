//! The pictures that come over HTTP are those that diffusers makes with the same weights, seeds and requests.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use tempfile::TempDir;
use x0_tests::Server;

/// How far a level may be off, of 255.
const TOLERANCE: i32 = 2;

/// The small models of the library's tests, each under its own name.
const MODELS: [&str; 6] = ["sd15", "sd21v", "sdxl", "inpaint", "class", "uncond"];

/// Fields of a case that a request has under the same name.
const SAME_NAME: [&str; 10] = [
    "prompt",
    "negative_prompt",
    "sampler",
    "steps",
    "guidance_scale",
    "guidance_rescale",
    "eta",
    "clip_skip",
    "timestep_spacing",
    "strength",
];

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/data").join(path)
}

/// A folder of models as `--models` takes it.
fn models() -> TempDir {
    let folder = TempDir::new().expect("a folder for temporary files");
    for name in MODELS {
        let target = data(&format!("{name}/model")).canonicalize().expect("the models are part of the repository");
        std::os::unix::fs::symlink(target, folder.path().join(name)).expect("the folder takes links");
    }
    folder
}

fn file(path: &Path) -> Value {
    json!(STANDARD.encode(std::fs::read(path).expect("the file is part of the repository")))
}

/// The request that a case stands for, with one of its seeds.
fn request(model: &str, case: &Value, seed: &Value) -> Value {
    let mut request = json!({"model": model, "seed": seed});
    for field in SAME_NAME {
        if !case[field].is_null() {
            request[field] = case[field].clone();
        }
    }
    for field in ["init_image", "mask_image"] {
        if let Some(name) = case[field].as_str() {
            request[field] = file(&data(model).join(name));
        }
    }
    for field in ["width", "height", "class_label"] {
        if !case[field].is_null() {
            request[field] = case[field].clone();
        }
    }
    if let Some(schedule) = case["schedule"].as_str() {
        request["noise_schedule"] = json!(schedule);
    }
    request
}

/// Image `index` of a golden: its levels, pixel after pixel. Goldens are levels, or numbers from 0 to 1.
fn levels(golden: &TensorView<'_>, index: usize) -> Vec<u8> {
    let level = |x: f32| (x * 255.0).round() as u8;
    let all: Vec<u8> = if golden.dtype() == Dtype::U8 {
        golden.data().to_vec()
    } else {
        assert_eq!(golden.dtype(), Dtype::F32);
        golden.data().chunks_exact(4).map(|b| level(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
    };
    let [_, channels, height, width] = golden.shape() else { panic!("a golden has four dimensions") };
    let image = &all[index * channels * height * width..];
    (0..channels * height * width).map(|i| image[i % channels * height * width + i / channels]).collect()
}

/// Compares every case of a model whose scheduler is the model's own.
async fn every_case_of(model: &str) {
    let models = models();
    let server = Server::start_with(&["--models", models.path().to_str().expect("the path is text")]);
    let cases = std::fs::read(data(&format!("{model}/cases.json"))).expect("the cases are part of the repository");
    let cases: Value = serde_json::from_slice(&cases).expect("the cases are JSON");
    let tensors =
        std::fs::read(data(&format!("{model}/cases.safetensors"))).expect("the goldens are part of the repository");
    let tensors = SafeTensors::deserialize(&tensors).expect("the goldens are tensors");
    let mut compared = 0;
    for case in cases["cases"].as_array().expect("a list") {
        // A request cannot change how a model was trained; the library's tests cover these.
        if case["scheduler_overrides"].as_object().is_some_and(|o| o.keys().any(|key| key != "algorithm_type")) {
            continue;
        }
        let name = case["name"].as_str().expect("cases have names");
        let golden = tensors.tensor(&format!("{name}.image")).expect("cases have images");
        for (index, seed) in case["seeds"].as_array().expect("cases have seeds").iter().enumerate() {
            let request = request(model, case, seed);
            let picture = image::load_from_memory(&server.picture(&request).await).expect("the answer is a picture");
            let found =
                if golden.shape()[1] == 1 { picture.to_luma8().into_raw() } else { picture.to_rgb8().into_raw() };
            let expected = levels(&golden, index);
            assert_eq!(found.len(), expected.len(), "{model}/{name}");
            let worst = found.iter().zip(&expected).map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs()).max();
            assert!(worst <= Some(TOLERANCE), "{model}/{name}: off by {worst:?} of 255");
            compared += 1;
        }
    }
    assert!(compared > 0, "{model} has cases");
}

#[tokio::test]
async fn stable_diffusion_1_equals_diffusers() {
    every_case_of("sd15").await;
}

#[tokio::test]
async fn stable_diffusion_2_with_v_prediction_equals_diffusers() {
    every_case_of("sd21v").await;
}

#[tokio::test]
async fn stable_diffusion_xl_equals_diffusers() {
    every_case_of("sdxl").await;
}

#[tokio::test]
async fn inpainting_with_nine_channels_equals_diffusers() {
    every_case_of("inpaint").await;
}

#[tokio::test]
async fn class_conditional_and_unconditional_models_equal_diffusers() {
    every_case_of("class").await;
    every_case_of("uncond").await;
}
