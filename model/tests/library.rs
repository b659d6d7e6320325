//! Finding models, reading what they say about themselves, and checking requests against them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;
use x0_model::sampler::{SamplerKind, SamplerSpec};
use x0_model::{Channels, Conditioning, InitImage, Library, MaskFill, ModelKind, Picture, Prompt, Request};

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

/// Copies the golden model `from` to `folder/name`.
fn copy(from: &str, folder: &Path, name: &str) -> PathBuf {
    let to = folder.join(name);
    for file in [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ] {
        fs::create_dir_all(to.join(file).parent().unwrap()).unwrap();
        fs::copy(data(from).join("model").join(file), to.join(file)).unwrap();
    }
    to
}

fn edit(file: &Path, key: &str, value: Value) {
    let mut json: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    json[key] = value;
    fs::write(file, json.to_string()).unwrap();
}

fn class_model(x0: Option<&str>) -> (TempDir, Library) {
    let folder = tempfile::tempdir().unwrap();
    let model = copy("class", folder.path(), "model");
    if let Some(x0) = x0 {
        fs::write(model.join("x0.json"), x0).unwrap();
    }
    let library = Library::open(Some(folder.path())).unwrap();
    (folder, library)
}

fn request(conditioning: Conditioning) -> Request {
    Request {
        conditioning,
        seed: 1,
        width: 32,
        height: 32,
        steps: 5,
        guidance_scale: 1.0,
        guidance_rescale: 0.0,
        sampler: SamplerKind::Ddim.into(),
        noise_source: Default::default(),
        clip_skip: None,
        variation: None,
        init: None,
        highres: None,
    }
}

#[test]
fn the_embedded_model_is_there_without_a_folder() {
    let library = Library::open(None).unwrap();
    assert_eq!(library.problems(), []);
    let info = library.info("fashion").unwrap();
    assert!(info.embedded && info.guidable && info.license.as_deref() == Some("MIT"));
    assert_eq!((info.kind, info.classes.len(), info.classes[7].as_str()), (ModelKind::ClassConditional, 10, "sneaker"));
    assert_eq!((info.size.default_width, info.size.default_height, info.size.fixed), (28, 28, true));

    let defaults = &info.defaults;
    let request = Request {
        width: 28,
        height: 28,
        steps: 2,
        guidance_scale: defaults.guidance_scale,
        sampler: defaults.sampler,
        ..request(Conditioning::Class(7))
    };
    assert_eq!(library.plan("fashion", &request).unwrap().rows, 2);
    let model = library.load("fashion").unwrap();
    let mut slot = model.begin(&request, 0).unwrap();
    while !slot.is_done() {
        model.step(&mut [&mut slot]).remove(0).unwrap();
    }
    let picture = model.decode(slot).unwrap();
    assert_eq!((picture.width, picture.height, picture.channels, picture.bytes.len()), (28, 28, Channels::Gray, 784));
}

#[test]
fn a_folder_says_what_its_model_can_do() {
    let (_folder, library) = class_model(None);
    let info = library.info("model").unwrap();
    assert_eq!(info.classes, (0..10).map(|i| i.to_string()).collect::<Vec<_>>());
    assert!(!info.guidable && !info.embedded && !info.image_to_image);
    assert_eq!((info.defaults.steps, info.defaults.guidance_scale), (25, 1.0));
    assert_eq!(info.defaults.sampler, SamplerSpec::from(SamplerKind::Ddpm));

    let x0 = r#"{"description": "a test", "classes": ["a", "b", "c"], "null_class": 9, "examples": ["a"],
                 "defaults": {"steps": 7, "guidance_scale": 3.5, "sampler": "dpmpp_2m_karras"}}"#;
    let (_folder, library) = class_model(Some(x0));
    let info = library.info("model").unwrap();
    assert_eq!(
        (info.classes.len(), info.guidable, info.defaults.steps, info.defaults.guidance_scale),
        (3, true, 7, 3.5)
    );
    assert_eq!(info.defaults.sampler.kind, SamplerKind::Dpmpp2m);
    assert_eq!((info.description.as_deref(), &info.examples[..]), (Some("a test"), &["a".to_owned()][..]));
}

#[test]
fn models_are_listed_by_name_and_other_folders_are_none() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b", "a"] {
        copy("uncond", folder.path(), name);
    }
    fs::create_dir(folder.path().join("notes")).unwrap();
    fs::write(folder.path().join("readme.txt"), "").unwrap();
    copy("class", folder.path(), "fashion");
    let library = Library::open(Some(folder.path())).unwrap();
    let listed: Vec<_> = library.infos().filter(|info| !info.embedded).map(|info| info.name.as_str()).collect();
    assert_eq!(listed, ["a", "b"]);
    assert_eq!(library.problems(), [("fashion".to_owned(), "another model has this name".to_owned())]);
    assert_eq!(library.info("a").unwrap().kind, ModelKind::Unconditional);
    assert!(Library::open(Some(&folder.path().join("missing"))).unwrap_err().to_string().contains("missing"));
}

/// The class model, changed by `change`, is left out, for a reason that names `words`.
#[track_caller]
fn check_problem(change: impl FnOnce(&Path), words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    change(&copy("class", folder.path(), "model"));
    let library = Library::open(Some(folder.path())).unwrap();
    assert!(library.info("model").is_none());
    let [(name, why)] = library.problems() else { panic!("{:?}", library.problems()) };
    assert_eq!(name, "model");
    assert!(words.iter().all(|word| why.contains(word)), "{why}");
}

#[test]
fn models_that_cannot_be_served_are_left_out_with_the_reason() {
    let x0 = |text: &'static str| move |model: &Path| fs::write(model.join("x0.json"), text).unwrap();
    let unet = |key: &'static str, value: Value| move |model: &Path| edit(&model.join("unet/config.json"), key, value);
    let scheduler = |key: &'static str, value: Value| {
        move |model: &Path| edit(&model.join("scheduler/scheduler_config.json"), key, value)
    };
    let index = |key: &'static str, value: Value| move |model: &Path| edit(&model.join("model_index.json"), key, value);

    check_problem(|model| fs::write(model.join("model_index.json"), "{").unwrap(), &["model_index.json", "EOF"]);
    check_problem(|model| fs::remove_file(model.join("unet/config.json")).unwrap(), &["unet/config.json"]);
    check_problem(
        index("unet", json!(["diffusers", "UNet3DConditionModel"])),
        &["model_index.json", "UNet3DConditionModel"],
    );
    check_problem(index("vqvae", json!(["diffusers", "VQModel"])), &["model_index.json", "vqvae", "VQModel"]);
    check_problem(index("unet", json!(null)), &["model_index.json", "without a unet"]);
    check_problem(unet("in_channels", json!(2)), &["unet/config.json", "`in_channels` = 2"]);
    check_problem(unet("out_channels", json!(3)), &["unet/config.json", "`out_channels` = 3"]);
    check_problem(unet("sample_size", json!(null)), &["unet/config.json", "`sample_size`"]);
    check_problem(unet("class_embed_type", json!("identity")), &["embeddings"]);
    check_problem(
        scheduler("_class_name", json!("FlowScheduler")),
        &["scheduler_config.json", "_class_name", "FlowScheduler"],
    );
    check_problem(scheduler("beta_schedule", json!("spiral")), &["scheduler_config.json", "beta_schedule", "spiral"]);
    check_problem(x0(r#"{"colour": 1}"#), &["x0.json", "colour"]);
    check_problem(x0(r#"{"classes": ["a", "A"]}"#), &["x0.json", "`classes`"]);
    check_problem(x0(r#"{"classes": []}"#), &["x0.json", "`classes`"]);
    check_problem(
        x0(r#"{"classes": ["a","b","c","d","e","f","g","h","i","j","k"]}"#),
        &["x0.json", "11 names for the 10"],
    );
    check_problem(x0(r#"{"null_class": 10}"#), &["x0.json", "`null_class`"]);
    check_problem(x0(r#"{"classes": ["a", "b"], "null_class": 1}"#), &["x0.json", "`null_class`"]);
    check_problem(x0(r#"{"crop": 16}"#), &["x0.json", "`crop` = 16"]);
    check_problem(x0(r#"{"defaults": {"sampler": "magic"}}"#), &["x0.json", "`defaults.sampler`", "magic"]);
    check_problem(x0(r#"{"defaults": {"steps": 0}}"#), &["x0.json", "`defaults.steps`"]);
}

#[test]
fn requests_are_checked_field_by_field() {
    let (_folder, library) = class_model(None);
    let field = |request: Request| library.plan("model", &request).unwrap_err().field;
    let class = || request(Conditioning::Class(3));
    assert!(library.plan("model", &class()).is_ok());
    assert_eq!(library.plan("none", &class()).unwrap_err().field, "model");
    assert_eq!(field(request(Conditioning::None)), "class_label");
    assert_eq!(field(request(Conditioning::Class(10))), "class_label");
    assert_eq!(field(request(Conditioning::Text { prompt: "x".into(), negative_prompt: Prompt::default() })), "prompt");
    assert_eq!(field(Request { guidance_scale: 2.0, ..class() }), "guidance_scale");
    assert_eq!(field(Request { guidance_scale: f64::NAN, ..class() }), "guidance_scale");
    assert_eq!(field(Request { guidance_rescale: 1.5, ..class() }), "guidance_rescale");
    assert_eq!(field(Request { width: 40, ..class() }), "width");
    assert_eq!(field(Request { height: 40, ..class() }), "height");
    assert_eq!(field(Request { steps: 0, ..class() }), "steps");
    assert_eq!(field(Request { steps: 1001, ..class() }), "steps");
    assert_eq!(field(Request { clip_skip: Some(1), ..class() }), "clip_skip");
    let picture = Arc::new(Picture { width: 32, height: 32, channels: Channels::Gray, bytes: vec![0; 1024] });
    assert_eq!(
        field(Request {
            init: Some(InitImage { picture, mask: None, fill: MaskFill::Picture, strength: 0.5 }),
            ..class()
        }),
        "init_image"
    );
    let with = |kind: SamplerKind, eta| Request { sampler: SamplerSpec { eta, ..kind.into() }, ..class() };
    assert_eq!(field(with(SamplerKind::Ddim, Some(2.0))), "eta");
    assert_eq!(field(with(SamplerKind::Euler, Some(0.5))), "eta");
    assert_eq!(library.plan("model", &Request { steps: 3, ..with(SamplerKind::Heun, None) }).unwrap().calls, 5);
    assert!(library.warnings("model", &class()).is_empty());

    let folder = tempfile::tempdir().unwrap();
    copy("uncond", folder.path(), "model");
    let library = Library::open(Some(folder.path())).unwrap();
    let field = |request: Request| library.plan("model", &request).unwrap_err().field;
    assert!(library.plan("model", &request(Conditioning::None)).is_ok());
    assert_eq!(field(class()), "class_label");
    assert_eq!(field(Request { guidance_scale: 2.0, ..request(Conditioning::None) }), "guidance_scale");
}

#[test]
fn a_sampler_that_needs_a_variance_is_refused_where_the_model_predicts_none() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy("class", folder.path(), "model");
    fs::write(model.join("x0.json"), r#"{"defaults": {"sampler": "ddim"}}"#).unwrap();
    edit(&model.join("scheduler/scheduler_config.json"), "variance_type", json!("learned_range"));
    let library = Library::open(Some(folder.path())).unwrap();
    let with = |kind: SamplerKind| Request { sampler: kind.into(), ..request(Conditioning::Class(1)) };
    assert_eq!(library.plan("model", &with(SamplerKind::Ddpm)).unwrap_err().field, "sampler");
    assert!(library.plan("model", &with(SamplerKind::Ddim)).is_ok());
}

#[test]
fn weights_are_loaded_once_and_failures_can_be_mended() {
    let (folder, library) = class_model(None);
    assert!(!library.is_loaded("model") && !library.is_loaded("none"));
    assert!(library.load("none").unwrap_err().to_string().contains("none"));
    let weights = folder.path().join("model/unet/diffusion_pytorch_model.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    assert!(library.load("model").unwrap_err().to_string().contains("cut short"));
    assert!(!library.is_loaded("model"));
    fs::write(&weights, &whole).unwrap();
    let models: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| library.load("model").unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(library.is_loaded("model") && models.iter().all(|model| Arc::ptr_eq(model, &models[0])));
    assert_eq!(models[0].info().name, "model");

    library.unload("model");
    assert!(!library.is_loaded("model"));
    assert!(Arc::ptr_eq(&library.load("model").unwrap(), &models[0]), "it is the same for all who use it");
    library.unload("model");
    let weak = Arc::downgrade(&models[0]);
    drop(models);
    assert!(weak.upgrade().is_none(), "with the last who uses them the weights are gone");
    library.unload("none");
    assert!(library.load("model").is_ok() && library.is_loaded("model"), "they are read again when they are needed");
}
