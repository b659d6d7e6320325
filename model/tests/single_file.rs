//! Single-file checkpoints against diffusers. The checkpoints are written here: their numbers follow from the tensors' names and places, as
//! in `data/single_file/make.py`, which made the pictures.

mod goldens;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use goldens::text_to_image::run;
use goldens::{Goldens, data, flat, max_difference};
use x0_model::sampler::SamplerKind;
use x0_model::{Conditioning, Library, Prompt, Request};

type Tensors = HashMap<String, Tensor>;

/// CRC-32 (IEEE 802.3), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// The numbers of a tensor, see `make.py`.
fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let numbered = [".in_layers.0.", ".out_layers.0.", ".out.0."].iter().any(|part| name.contains(part));
    let is_norm = name.contains("norm") || name.contains("ln_") || (numbered && name.ends_with(".weight"));
    let first = crc32(name.as_bytes());
    let unit = |i: usize| {
        let mut x = (i as u32).wrapping_add(first);
        x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
        x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
        x ^= x >> 16;
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let scale = (1.5 / ((count / shape[0]) as f64).sqrt()) as f32;
    let (factor, constant) = match shape.len() {
        _ if name.contains("embedding") => (1.0, 0.0),
        1 => (0.125, if is_norm { 1.0 } else { 0.0 }),
        _ => (scale, 0.0),
    };
    (0..count).map(|i| unit(i) * factor + constant).collect()
}

fn tensors(family: &str) -> Tensors {
    let shapes = fs::read_to_string(data(&format!("single_file/{family}.json"))).unwrap();
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_str(&shapes).unwrap();
    let tensor = |shape: Vec<usize>, name: &str| Tensor::from_vec(values(name, &shape), shape, &Device::Cpu).unwrap();
    shapes.into_iter().map(|(name, shape)| (name.clone(), tensor(shape, &name))).collect()
}

/// Writes `model.safetensors` into `folder` and opens it as a library.
fn library(folder: &Path, tensors: &Tensors) -> Library {
    candle_core::safetensors::save(tensors, folder.join("model.safetensors")).unwrap();
    Library::open(Some(folder)).unwrap()
}

fn request(sampler: SamplerKind) -> Request {
    let prompt = "A red fox in the snow!";
    Request {
        conditioning: Conditioning::Text { prompt: prompt.into(), negative_prompt: Prompt::default() },
        seed: 3,
        width: 64,
        height: 64,
        steps: 4,
        guidance_scale: 2.0,
        guidance_rescale: 0.0,
        sampler: sampler.into(),
        noise_source: Default::default(),
        clip_skip: None,
        variation: None,
        init: None,
        highres: None,
    }
}

#[test]
fn checkpoints_of_all_families_make_diffusers_pictures() {
    let goldens = Goldens::read("single_file/cases.safetensors");
    for (family, sampler, size) in
        [("v1", SamplerKind::Pndm, 512), ("v2", SamplerKind::Ddim, 768), ("xl", SamplerKind::Euler, 1024)]
    {
        let folder = tempfile::tempdir().unwrap();
        let library = library(folder.path(), &tensors(family));
        assert_eq!(library.problems(), [], "{family}");
        let info = library.info("model").unwrap();
        assert_eq!(info.defaults.sampler, sampler.into(), "{family}");
        assert_eq!((info.size.default_width, info.size.default_height), (size, size), "{family}");

        let model = library.load("model").unwrap();
        let mut slot = model.begin(&request(sampler), 0).unwrap();
        run(&model, &mut slot);
        let off = max_difference(&slot.sample().unwrap(), &flat(&goldens.get(&format!("{family}.latents"))));
        assert!(off < 1e-3, "{family}: latents off by {off}");
        let bytes: Vec<f32> = model.decode(slot).unwrap().bytes.iter().map(|byte| f32::from(*byte)).collect();
        let off = max_difference(&bytes, &flat(&goldens.map(&format!("{family}.image"))));
        assert!(off <= 2.0, "{family}: picture off by {off}");
    }
}

#[test]
fn a_file_beside_the_checkpoint_says_what_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let described = r#"{"prediction_type": "epsilon", "license": "MIT", "defaults": {"steps": 7}}"#;
    fs::write(folder.path().join("model.x0.json"), described).unwrap();
    let library = library(folder.path(), &tensors("v2"));
    let info = library.info("model").unwrap();
    assert_eq!((info.license.as_deref(), info.defaults.steps), (Some("MIT"), 7));
    // The published models that predict the noise are those for 512 pixels.
    assert_eq!(info.size.default_width, 512);
}

#[test]
fn older_names_and_copies_for_training_do_not_matter() {
    let (folder, tensors) = (tempfile::tempdir().unwrap(), tensors("v1"));
    let expected = first_latents(&library(folder.path(), &tensors));
    let older: Tensors = tensors
        .into_iter()
        .map(|(name, tensor)| {
            (name.replace(".transformer.text_model.", ".transformer.").replace("first_stage_model.", "vae."), tensor)
        })
        .chain([("model_ema.decay".to_owned(), Tensor::new(0.5f32, &Device::Cpu).unwrap())])
        .chain([(
            "cond_stage_model.transformer.embeddings.position_ids".to_owned(),
            Tensor::new(&[0i64, 1], &Device::Cpu).unwrap(),
        )])
        .collect();
    assert_eq!(first_latents(&library(folder.path(), &older)), expected);
}

/// The latents after one step.
fn first_latents(library: &Library) -> Vec<f32> {
    let model = library.load("model").unwrap();
    let mut slot = model.begin(&request(SamplerKind::Euler), 0).unwrap();
    model.step(&mut [&mut slot]).remove(0).unwrap();
    slot.sample().unwrap()
}

#[test]
fn files_that_are_no_whole_checkpoints_are_problems_and_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let problem = |name: &str, tensors: &Tensors, expected: &str| {
        candle_core::safetensors::save(tensors, folder.path().join("model.safetensors")).unwrap();
        let library = Library::open(Some(folder.path())).unwrap();
        let [(file, why)] = library.problems() else { panic!("{name}: {:?}", library.problems()) };
        assert_eq!(file, "model");
        assert!(why.contains(expected), "{name}: {why}");
    };
    let whole = tensors("v1");
    let without = |part: &str| -> Tensors {
        whole.iter().filter(|(name, _)| !name.starts_with(part)).map(|(name, t)| (name.clone(), t.clone())).collect()
    };
    problem(
        "a LoRA",
        &[("lora_unet.alpha".to_owned(), Tensor::new(1f32, &Device::Cpu).unwrap())].into(),
        "model.diffusion_model",
    );
    problem("no text", &without("cond_stage_model."), "no text encoder");
    problem("no autoencoder", &without("first_stage_model."), "no autoencoder");
    problem("no middle", &without("model.diffusion_model.middle_block.1.proj_in"), "middle_block.1.proj_in");
    problem("no embeddings", &without("cond_stage_model.transformer.text_model.embeddings.token"), "token_embedding");

    // Tensors in the middle of a part are missed when the weights are read.
    let error = |tensors: &Tensors| library(folder.path(), tensors).load("model").unwrap_err().to_string();
    let missing = error(&without("model.diffusion_model.output_blocks.2.0.in_layers.2.bias"));
    assert!(missing.contains("up_blocks.0.resnets.2.conv1.bias: is missing"), "{missing}");
    let mut wrong = whole.clone();
    wrong.insert(
        "model.diffusion_model.out.2.weight".into(),
        Tensor::zeros((4, 16, 3, 3), candle_core::DType::F32, &Device::Cpu).unwrap(),
    );
    let misshapen = error(&wrong);
    assert!(misshapen.contains("model.diffusion_model.out.2.weight: has shape [4, 16, 3, 3]"), "{misshapen}");

    // Cut short, and pickled.
    let path = folder.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(folder.path().join("pickled.ckpt"), b"PK\x03\x04 and so on, as torch.save writes it").unwrap();
    let library = Library::open(Some(folder.path())).unwrap();
    let [(_, cut), (name, pickled)] = library.problems() else { panic!("{:?}", library.problems()) };
    assert!(cut.contains("cut short"), "{cut}");
    assert_eq!(name, "pickled");
    assert!(pickled.contains("convert them to safetensors"), "{pickled}");
}
