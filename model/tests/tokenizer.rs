//! The tokenizer against transformers' CLIP tokenizer. `data/clip/cases.json` holds prompts with the ids that transformers 5.23.0
//! gives for OpenAI's vocabulary.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use x0_model::folder::Folder;
use x0_model::tokenizer::{Pad, Tokenizer, Tokens};

#[derive(Deserialize)]
struct Case {
    prompt: String,
    ids: Vec<u32>,
    /// Before padding and cutting.
    length: usize,
}

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text).unwrap().ids
}

#[test]
fn the_built_in_vocabulary_gives_transformers_ids() {
    let tokenizer = Tokenizer::built_in(Pad::End).unwrap();
    assert_eq!((tokenizer.length(), tokenizer.vocabulary_size()), (77, 49408));
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(data("clip/cases.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 28);
    for case in cases {
        let Tokens { ids, removed } = tokenizer.encode(&case.prompt).unwrap();
        assert_eq!(ids, case.ids, "{:?}", case.prompt);
        assert_eq!(removed, case.length.saturating_sub(77), "{:?}", case.prompt);
    }
}

#[test]
fn a_pad_token_of_the_vocabulary_is_matched_in_prompts_too() {
    // As with the second tokenizer of Stable Diffusion XL, by transformers 5.23.0.
    let tokenizer = Tokenizer::built_in(Pad::ExclamationMark).unwrap();
    let check = |text: &str, expected: &[u32]| {
        let mut padded = expected.to_vec();
        padded.resize(77, 0);
        assert_eq!(ids(&tokenizer, text), padded, "{text:?}");
    };
    check("hello! world", &[49406, 3306, 0, 1002, 49407]);
    check("hello!! world", &[49406, 3306, 0, 0, 1002, 49407]);
    check("! a", &[49406, 0, 320, 49407]);
    check("X!!!", &[49406, 343, 0, 0, 0, 49407]);
    check("<|endoftext|> x <|startoftext|>y", &[49406, 49407, 343, 49406, 344, 49407]);
    check("A  B\tc\n", &[49406, 320, 321, 322, 49407]);
}

fn read(folder: &Path, positions: usize) -> Result<Tokenizer, x0_model::LoadError> {
    Tokenizer::from_folder(&Folder::OnDisk(folder.to_owned()), positions)
}

fn write(folder: &Path, file: &str, value: &Value) {
    fs::write(folder.join(file), value.to_string()).unwrap();
}

fn tokenizer_json() -> Value {
    serde_json::from_str(&fs::read_to_string(data("sd15/model/tokenizer/tokenizer.json")).unwrap()).unwrap()
}

/// `vocab.json` and `merges.txt` with what the `tokenizer.json` of a test model says.
fn older_layout(folder: &Path) {
    let model = &tokenizer_json()["model"];
    write(folder, "vocab.json", &model["vocab"]);
    let pair = |merge: &Value| format!("{} {}\n", merge[0].as_str().unwrap(), merge[1].as_str().unwrap());
    let merges: String = model["merges"].as_array().unwrap().iter().map(pair).collect();
    fs::write(folder.join("merges.txt"), format!("#version: 0.2\n{merges}")).unwrap();
}

#[test]
fn both_layouts_give_the_same_ids() {
    let older = tempfile::tempdir().unwrap();
    older_layout(older.path());
    let newer = read(&data("sd15/model/tokenizer"), 77).unwrap();
    let older = read(older.path(), 77).unwrap();
    for text in ["", "An oil painting of a collie in a top hat!", "naïve ☕ <|endoftext|> it's", "日本"] {
        assert_eq!(newer.encode(text).unwrap(), older.encode(text).unwrap(), "{text:?}");
    }
}

#[test]
fn special_tokens_map_decides_the_padding_and_the_config_the_length() {
    let folder = tempfile::tempdir().unwrap();
    older_layout(folder.path());
    let object = |content: &str| json!({"content": content, "lstrip": false, "normalized": true, "rstrip": false, "single_word": false});
    write(folder.path(), "special_tokens_map.json", &json!({"bos_token": object("<|startoftext|>"), "pad_token": "!"}));
    write(folder.path(), "tokenizer_config.json", &json!({"pad_token": "<|endoftext|>", "model_max_length": 16}));
    let tokenizer = read(folder.path(), 77).unwrap();
    assert_eq!(ids(&tokenizer, "a!")[2..5], [0, 1713, 0]);
    assert_eq!(tokenizer.length(), 16);
    // A length without bounds, as some files have it, means the text encoder's.
    write(folder.path(), "tokenizer_config.json", &json!({"model_max_length": 1e30}));
    assert_eq!(read(folder.path(), 77).unwrap().length(), 77);
}

#[test]
fn added_tokens_are_one_token() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = tokenizer_json();
    file["added_tokens"].as_array_mut().unwrap().push(json!({"id": 1714, "content": "<cat-toy>", "normalized": true}));
    write(folder.path(), "tokenizer.json", &file);
    let tokenizer = read(folder.path(), 77).unwrap();
    assert_eq!(tokenizer.vocabulary_size(), 1715);
    assert_eq!(ids(&tokenizer, "<Cat-Toy>")[1], 1714);
}

#[test]
fn other_tokenizers_and_broken_files_are_refused() {
    let check = |file: &str, value: &Value, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        older_layout(folder.path());
        write(folder.path(), file, value);
        let error = read(folder.path(), 77).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let with = |key: &str, value: Value| {
        let mut file = tokenizer_json();
        file["model"][key] = value;
        file
    };
    check("tokenizer.json", &with("end_of_word_suffix", json!(null)), "not CLIP's");
    check("tokenizer.json", &with("type", json!("Unigram")), "not CLIP's");
    check("tokenizer.json", &with("merges", json!(["in"])), "no pair of tokens");
    check("tokenizer.json", &json!({}), "missing field");
    check("vocab.json", &json!({"a": 1}), "out of vocabulary");
    check("tokenizer_config.json", &json!({"model_max_length": 1}), "no room");
}
