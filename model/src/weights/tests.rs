use std::fs;
use std::path::Path;

use candle_core::{DType, Tensor};
use proptest::prelude::*;

use super::{Weights, find, header};
use crate::error::LoadError;

/// A safetensors file of this header and these data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn open(bytes: Vec<u8>) -> Result<Weights, LoadError> {
    Weights::from_static("test.safetensors", bytes.leak())
}

/// Opens the file, asks for `x` of shape (2, 2) and expects an error that says `message`.
#[track_caller]
fn check_refused(bytes: Vec<u8>, message: &str) {
    let error = open(bytes).and_then(|w| w.get("x", (2, 2))).unwrap_err().to_string();
    assert!(error.contains("test.safetensors") && error.contains(message), "{error}");
}

#[test]
fn each_float_type_is_read_as_float32() {
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[2],"data_offsets":[8,12]},
                    "c":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]},"d":{"dtype":"F64","shape":[2],"data_offsets":[16,32]},
                    "__metadata__":{"format":"pt"}}"#;
    let mut data = Vec::new();
    data.extend([1.5f32, -2.0].map(f32::to_le_bytes).concat());
    data.extend([1.5f32, -2.0].map(|x| half::f16::from_f32(x).to_le_bytes()).concat());
    data.extend([1.5f32, -2.0].map(|x| half::bf16::from_f32(x).to_le_bytes()).concat());
    data.extend([1.5f64, -2.0].map(f64::to_le_bytes).concat());
    let weights = open(file(header, &data)).unwrap();
    for name in ["a", "b", "c", "d"] {
        assert_eq!(weights.get(name, 2).unwrap().to_vec1::<f32>().unwrap(), [1.5, -2.0], "{name}");
    }
    for (name, kept) in [("a", DType::F32), ("b", DType::F16), ("c", DType::BF16), ("d", DType::F32)] {
        let stored = weights.get_stored(name, 2).unwrap();
        assert_eq!(stored.dtype(), kept, "{name}");
        assert_eq!(stored.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap(), [1.5, -2.0], "{name}");
    }
    // Of one dimension: they are kept widened, whatever they are stored as.
    assert_eq!(weights.loaded_bytes(), 4 * 2 * 4);
}

#[test]
fn a_tensor_longer_than_one_chunk_is_whole() {
    let values: Vec<f32> = (0..300_000).map(|i| i as f32).collect();
    let header = r#"{"x":{"dtype":"F32","shape":[300000],"data_offsets":[0,1200000]}}"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    fs::write(&path, file(header, &values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())).unwrap();
    let weights = Weights::open(&[path]).unwrap();
    assert_eq!(weights.get("x", 300_000).unwrap().to_vec1::<f32>().unwrap(), values);
}

#[test]
fn views_prefix_names_and_the_unused_are_known() {
    let header = r#"{"a.b.x":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a.y":{"dtype":"I64","shape":[1],"data_offsets":[4,12]}}"#;
    let weights = open(file(header, &[0; 12])).unwrap();
    let view = weights.at("a").at("b");
    assert!(view.contains("x") && !view.contains("y") && !weights.contains("x"));
    assert_eq!(weights.at("a").shape("y"), Some(vec![1]));
    assert_eq!(view.names().collect::<Vec<_>>(), ["a.b.x"]);
    assert_eq!(weights.unused(), ["a.b.x", "a.y"]);
    view.get("x", ()).unwrap();
    assert_eq!(weights.unused(), ["a.y"]);
    assert!(view.unused().is_empty());
}

#[test]
fn errors_name_the_file_and_the_tensor() {
    let x = |described: &str| file(&format!(r#"{{"x":{described}}}"#), &[0; 16]);
    check_refused(x(r#"{"dtype":"F32","shape":[4],"data_offsets":[0,16]}"#), "tensor x: has shape [4], not [2, 2]");
    check_refused(x(r#"{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}"#), "tensor x: has type I32");
    check_refused(x(r#"{"dtype":"F32","shape":[2,2],"data_offsets":[0,12]}"#), "tensor x: has 12 bytes");
    check_refused(
        x(r#"{"dtype":"F32","shape":[2,2],"data_offsets":[4,20]}"#),
        "tensor x: its data 4..20 are not within",
    );
    check_refused(
        x(r#"{"dtype":"F32","shape":[2,2],"data_offsets":[16,0]}"#),
        "tensor x: its data 16..0 are not within",
    );
    check_refused(
        x(r#"{"dtype":"F32","shape":[-2,2],"data_offsets":[0,16]}"#),
        "tensor x: is not described as a tensor",
    );
    check_refused(x(r#"{"dtype":"F16","shape":[2,2],"data_offsets":[8,16]}"#), "tensor x: its data begin at byte");
    check_refused(
        x(r#"{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,16]}"#),
        "tensor x: has too many elements",
    );
    check_refused(
        x(r#"{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,16]}"#),
        "tensor x: has 9 dimensions",
    );
    check_refused(
        file(r#"{"y":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#, &[0; 16]),
        "tensor x: is missing",
    );
    check_refused(
        file(r#"{"y":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#, &[0; 17]),
        "its tensors end at byte",
    );
    check_refused(file(r#"{"x":[1,2"#, &[]), "its header is not a JSON object");
    check_refused(file("[]", &[]), "its header is not a JSON object");
    check_refused(vec![1, 2, 3], "has only 3 bytes");
    check_refused([&1000u64.to_le_bytes()[..], b"{}"].concat(), "is cut short");
    check_refused([&u64::MAX.to_le_bytes()[..], b"{}"].concat(), "is no safetensors file");
}

#[test]
fn overlapping_tensors_are_refused() {
    let header = r#"{"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"y":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#;
    check_refused(file(header, &[0; 16]), "tensor y: its data begin at byte");
}

#[test]
fn pickled_weights_are_refused_with_advice() {
    check_refused(b"PK\x03\x04 a zip archive, as torch.save writes it".to_vec(), "convert them to safetensors");
    check_refused(b"\x80\x02}q\x00(X\x05\x00\x00\x00".to_vec(), "convert them to safetensors");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("diffusion_pytorch_model.bin"), "").unwrap();
    let error = find(folder.path(), "diffusion_pytorch_model").unwrap_err().to_string();
    assert!(error.contains("convert them to safetensors"), "{error}");
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["1", "2"].map(|name| folder.path().join(name));
    for path in &paths {
        let bytes = file(r#"{"x":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#, &[0; 4]);
        fs::write(path, bytes).unwrap();
    }
    let error = Weights::open(&paths).unwrap_err().to_string();
    assert!(error.contains("tensor x: is also in"), "{error}");
}

#[test]
fn weights_are_found_whole_in_half_precision_and_in_shards() {
    let found = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let base = |p: &Path| p.file_name().unwrap().to_str().unwrap().to_owned();
        find(folder.path(), "model").map(|paths| paths.iter().map(|p| base(p)).collect::<Vec<_>>().join(" "))
    };
    let index = r#"{"metadata":{},"weight_map":{"a":"model-2.safetensors","b":"model-1.safetensors","c":"model-2.safetensors"}}"#;
    let both = [("model.safetensors", ""), ("model.fp16.safetensors", "")];
    assert_eq!(found(&both).unwrap(), "model.safetensors");
    assert_eq!(found(&both[1..]).unwrap(), "model.fp16.safetensors");
    assert_eq!(found(&[("model.safetensors.index.json", index)]).unwrap(), "model-1.safetensors model-2.safetensors");
    assert_eq!(
        found(&[("model.safetensors.index.fp16.json", index)]).unwrap(),
        "model-1.safetensors model-2.safetensors"
    );
    assert!(found(&[]).unwrap_err().to_string().contains("has no model.safetensors"));
    for outside in ["../x.safetensors", "/x.safetensors", "a/b", ""] {
        let index = format!(r#"{{"weight_map":{{"a":"{outside}"}}}}"#);
        let error = found(&[("model.safetensors.index.json", &index)]).unwrap_err().to_string();
        assert!(error.contains("is not the name of a file beside it"), "{error}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(json in ".{0,200}", file_len in 0u64..1000) {
        let _ = header::parse(json.as_bytes(), file_len);
    }

    #[test]
    fn what_the_reference_writes_is_read_and_every_cut_is_refused(
        sizes in prop::collection::vec(0usize..5, 1..5), cut in 1usize..1000
    ) {
        let device = &candle_core::Device::Cpu;
        let tensors = sizes.iter().enumerate().map(|(i, &n)| (format!("t{i}"), Tensor::full(i as f32, (n, 3), device).unwrap()));
        let tensors: std::collections::HashMap<_, _> = tensors.collect();
        let bytes = safetensors::serialize(&tensors, None).unwrap();
        let weights = open(bytes.clone()).unwrap();
        for (name, tensor) in &tensors {
            let read = weights.get(name, tensor.shape()).unwrap();
            prop_assert_eq!(read.to_vec2::<f32>().unwrap(), tensor.to_vec2::<f32>().unwrap());
        }
        let kept = bytes.len().saturating_sub(cut);
        prop_assert!(open(bytes[..kept].to_vec()).is_err());
    }

    #[test]
    fn a_changed_byte_never_panics(at in 0usize..200, to: u8) {
        let mut bytes = file(r#"{"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#, &[0; 16]);
        let at = at % bytes.len();
        bytes[at] = to;
        let _ = open(bytes).and_then(|w| w.get("x", (2, 2)));
    }
}
