//! CLIP's text encoder against transformers, with the encoders of the test models.

mod goldens;

use std::collections::HashMap;
use std::fs;

use candle_core::Tensor;
use goldens::{Goldens, assert_close, flat, folder, row};
use x0_model::LoadError;
use x0_model::clip::{ClipTextConfig, ClipTextModel};
use x0_model::folder::Folder;
use x0_model::tokenizer::{Tokenizer, Tokens};

fn load(folder: &Folder) -> ClipTextModel {
    let weights = folder.weights("model").unwrap();
    let model = ClipTextModel::new(&weights, &ClipTextConfig::read(folder).unwrap()).unwrap();
    assert_eq!(weights.unused(), Vec::<String>::new());
    model
}

fn tokens(ids: &Tensor) -> Vec<Tokens> {
    let rows = ids.to_vec2::<f32>().unwrap();
    let ids = |row: Vec<f32>| row.into_iter().map(|id| id as u32).collect();
    rows.into_iter().map(|row| Tokens { ids: ids(row), removed: 0 }).collect()
}

/// The prompts of a test model, as tokens.
fn prompts(name: &str) -> Vec<Tokens> {
    tokens(&Goldens::read(&format!("{name}/cases.safetensors")).get("tokens.ids"))
}

fn hidden(model: &ClipTextModel, texts: &[Tokens], skipped: usize) -> Tensor {
    model.forward(&texts.iter().collect::<Vec<_>>(), skipped, false).unwrap().hidden_state
}

#[test]
fn the_test_models_encode_what_transformers_encodes() {
    for (name, skipped) in [("sd15", 0), ("sd21v", 0), ("sdxl", 1)] {
        let model = load(&folder(&format!("{name}/model/text_encoder")));
        let expected = Goldens::read(&format!("{name}/cases.safetensors")).get("tokens.last_hidden_state");
        let state = hidden(&model, &prompts(name), skipped);
        let state = if skipped == 0 { model.final_layer_norm(&state).unwrap() } else { state };
        assert_close(name, &state, &expected);
    }
}

#[test]
fn layers_are_skipped_as_diffusers_counts_them() {
    let goldens = Goldens::read("clip/outputs.safetensors");
    let first = load(&folder("sd15/model/text_encoder"));
    for k in [1, 3] {
        let state = first.final_layer_norm(&hidden(&first, &prompts("sd15"), k)).unwrap();
        assert_close(&format!("skip {k}"), &state, &goldens.get(&format!("sd15.hidden.{k}")));
    }
    let second = load(&folder("sdxl/model/text_encoder_2"));
    for k in [1, 2] {
        assert_close("", &hidden(&second, &prompts("sdxl"), k), &goldens.get(&format!("sdxl.hidden.{k}")));
    }
    let texts = prompts("sd15");
    assert!(first.forward(&[&texts[0]], 4, false).is_err(), "there are three layers");
}

#[test]
fn the_end_token_is_pooled_and_projected() {
    let goldens = Goldens::read("clip/outputs.safetensors");
    let encoder = folder("sdxl/model/text_encoder_2");
    let pooled = |model: &ClipTextModel, texts: &[Tokens]| {
        model.forward(&texts.iter().collect::<Vec<_>>(), 1, true).unwrap().pooled.unwrap()
    };
    let model = load(&encoder);
    assert!(model.has_projection());
    assert_close("pooled", &pooled(&model, &prompts("sdxl")), &goldens.get("sdxl.pooled"));

    // Older files have 2 for the end token, which means the highest id.
    let json = encoder.text("config.json").unwrap().replace(r#""eos_token_id": 1713"#, r#""eos_token_id": 2"#);
    let config = ClipTextConfig::parse("config.json", &json).unwrap();
    let legacy = ClipTextModel::new(&encoder.weights("model").unwrap(), &config).unwrap();
    let scrambled = tokens(&goldens.get("sdxl.scrambled_ids"));
    assert_close("legacy", &pooled(&legacy, &scrambled), &goldens.get("sdxl.pooled_legacy"));

    let first = load(&folder("sdxl/model/text_encoder"));
    assert!(!first.has_projection());
    assert!(first.forward(&[&scrambled[0]], 0, true).is_err());
}

#[test]
fn names_without_the_text_model_prefix_are_the_same() {
    let prefixed = folder("sd15/model/text_encoder");
    let short = tempfile::tempdir().unwrap();
    fs::write(short.path().join("config.json"), prefixed.text("config.json").unwrap()).unwrap();
    let path = goldens::data("sd15/model/text_encoder/model.safetensors");
    let tensors = candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
    let renamed: HashMap<_, _> =
        tensors.into_iter().map(|(name, t)| (name.trim_start_matches("text_model.").to_owned(), t)).collect();
    candle_core::safetensors::save(&renamed, short.path().join("model.safetensors")).unwrap();
    let texts = prompts("sd15");
    let short = load(&Folder::OnDisk(short.path().to_owned()));
    assert_eq!(flat(&hidden(&load(&prefixed), &texts, 0)), flat(&hidden(&short, &texts, 0)));
}

#[test]
fn a_text_has_the_same_bits_alone_and_in_a_batch() {
    let model = load(&folder("sd15/model/text_encoder"));
    let texts = prompts("sd15");
    let together = hidden(&model, &texts, 0);
    for (i, text) in texts.iter().enumerate() {
        assert_eq!(flat(&hidden(&model, std::slice::from_ref(text), 0)), flat(&row(&together, i)), "text {i}");
    }
}

#[test]
fn prompts_become_embeddings_without_further_help() {
    let tokenizer = Tokenizer::from_folder(&folder("sd15/model/tokenizer"), 77).unwrap();
    let ids = Goldens::read("sd15/cases.safetensors").get("tokens.ids");
    for (prompt, expected) in [(0, "A photograph of a puppy"), (4, "")].map(|(i, text)| (text, row(&ids, i))) {
        let given: Vec<f32> = tokenizer.encode(prompt).unwrap().ids.iter().map(|id| *id as f32).collect();
        assert_eq!(given, flat(&expected), "{prompt:?}");
    }
}

#[test]
fn ids_beyond_the_vocabulary_and_long_texts_are_errors() {
    let model = load(&folder("sd15/model/text_encoder"));
    let of = |ids: Vec<u32>| Tokens { ids, removed: 0 };
    assert!(model.forward(&[&of(vec![1714])], 0, false).is_err());
    assert!(model.forward(&[&of(vec![0; 78])], 0, false).is_err());
    assert!(model.forward(&[&of(vec![0; 3]), &of(vec![0; 4])], 0, false).is_err());
}

#[test]
fn unsupported_options_are_refused_by_name() {
    let check = |json: &str, expected: &str| match ClipTextConfig::parse("config.json", json) {
        Err(LoadError::Config { message, .. }) => assert!(message.contains(expected), "{message}"),
        other => panic!("{json}: {other:?}"),
    };
    check(r#"{"hidden_act": "gelu_new"}"#, "hidden_act");
    check(r#"{"use_attention_mask": true}"#, "use_attention_mask");
    check(r#"{"num_attention_heads": 7}"#, "num_attention_heads");
    check(r#"{"hidden_size": 0}"#, "hidden_size");
    check(r#"{"vocab_size": -1}"#, "invalid value");
    assert!(ClipTextConfig::parse("config.json", r#"{"text_config": {"hidden_size": 64}}"#).is_ok());
}
