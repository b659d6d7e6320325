//! The autoencoders against diffusers: those of the test models, and the options in `data/vae`.

mod goldens;

use goldens::{Goldens, assert_close, flat, folder, row};
use x0_model::LoadError;
use x0_model::autoencoder_kl::{AutoencoderKL, AutoencoderKLConfig};
use x0_model::autoencoder_tiny::{AutoencoderTiny, AutoencoderTinyConfig};

fn load(vae: &str) -> AutoencoderKL {
    let folder = folder(vae);
    let weights = folder.weights("diffusion_pytorch_model").unwrap();
    let model = AutoencoderKL::new(&weights, &AutoencoderKLConfig::read(&folder).unwrap()).unwrap();
    assert_eq!(weights.unused(), Vec::<String>::new());
    model
}

fn check(vae: &str, goldens: &Goldens, prefix: &str) {
    let model = load(vae);
    let map = |name: &str| goldens.map(&format!("{prefix}{name}"));
    let distribution = model.encode(&map("image")).unwrap();
    assert_close(vae, &distribution.mean, &map("mean"));
    assert_close(vae, &distribution.logvar, &map("logvar"));
    assert_close(vae, &model.decode(&map("mean")).unwrap(), &map("decoded_mean"));
}

#[test]
fn the_test_models_encode_and_decode_what_diffusers_does() {
    for name in ["sd15", "sdxl"] {
        check(&format!("{name}/model/vae"), &Goldens::read(&format!("{name}/cases.safetensors")), "vae.");
    }
}

#[test]
fn an_autoencoder_may_lack_what_it_may_lack() {
    check("vae/bare", &Goldens::read("vae/bare/case.safetensors"), "");
}

#[test]
fn tiles_are_cut_and_blended_as_in_diffusers() {
    let goldens = Goldens::read("vae/tiled/case.safetensors");
    check("vae/tiled", &goldens, "");
    let model = load("vae/tiled");
    let encoded = model.encode_tiled(&goldens.map("image")).unwrap();
    assert_close("tiled mean", &encoded.mean, &goldens.map("tiled.mean"));
    let decoded = model.decode_tiled(&goldens.map("mean")).unwrap();
    assert_close("tiled decoded", &decoded, &goldens.map("tiled.decoded_mean"));
    // What fits into a tile is not cut.
    let small = goldens.map("mean").narrow(1, 0, 16).unwrap().narrow(2, 3, 16).unwrap().contiguous().unwrap();
    assert_eq!(flat(&model.decode_tiled(&small).unwrap()), flat(&model.decode(&small).unwrap()));
}

#[test]
fn a_sample_is_the_mean_and_noise_in_units_of_the_deviation() {
    let goldens = Goldens::read("sd15/cases.safetensors");
    let distribution = load("sd15/model/vae").encode(&goldens.map("vae.image")).unwrap();
    let sample = flat(&distribution.sample(&distribution.mean.ones_like().unwrap()).unwrap());
    let expected = flat(&distribution.mean).into_iter().zip(flat(&distribution.logvar));
    for (value, (mean, logvar)) in sample.into_iter().zip(expected) {
        assert!((value - (mean + (0.5 * logvar).exp())).abs() < 1e-5);
    }
}

#[test]
fn the_tiny_autoencoder_does_what_it_does_in_diffusers() {
    let (folder, goldens) = (folder("vae/taesd"), Goldens::read("vae/taesd/case.safetensors"));
    let weights = folder.weights("diffusion_pytorch_model").unwrap();
    let model = AutoencoderTiny::new(&weights, &AutoencoderTinyConfig::read(&folder).unwrap()).unwrap();
    assert_eq!(weights.unused(), Vec::<String>::new());
    assert_close("encoded", &model.encode(&goldens.map("image")).unwrap(), &goldens.map("encoded"));
    assert_close("decoded", &model.decode(&goldens.map("latents")).unwrap(), &goldens.map("decoded"));
}

#[test]
fn a_picture_has_the_same_bits_alone_and_in_a_batch() {
    let (model, goldens) = (load("sd15/model/vae"), Goldens::read("sd15/cases.safetensors"));
    let together = model.decode(&goldens.map("vae.mean")).unwrap();
    for i in 0..2 {
        let alone = model.decode(&row(&goldens.map("vae.mean"), i)).unwrap();
        assert_eq!(flat(&alone), flat(&row(&together, i)), "picture {i}");
    }
}

#[test]
fn unsupported_options_are_refused_by_name() {
    let check = |json: &str, expected: &str| match AutoencoderKLConfig::parse("config.json", json) {
        Err(LoadError::Config { message, .. }) => assert!(message.contains(expected), "{message}"),
        other => panic!("{json}: {other:?}"),
    };
    check(r#"{"down_block_types": ["AttnDownEncoderBlock2D"]}"#, "AttnDownEncoderBlock2D");
    check(r#"{"up_block_types": []}"#, "up_block_types");
    check(r#"{"norm_num_groups": 5}"#, "norm_num_groups");
    check(r#"{"latents_mean": [0.0]}"#, "latents_mean");
    check(r#"{"temporal": 3}"#, "temporal");
    check(
        r#"{"block_out_channels": [64, 0], "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"]}"#,
        "down_block_types",
    );
    assert!(AutoencoderKLConfig::parse("config.json", "{}").is_ok());
}
