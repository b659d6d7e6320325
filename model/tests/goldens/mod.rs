//! Reading what diffusers computed.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses some of these")]

pub mod text_to_image;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use x0_model::folder::Folder;

/// A path below `tests/data`.
pub fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

/// A folder below `tests/data`.
pub fn folder(path: &str) -> Folder {
    Folder::OnDisk(data(path))
}

/// The tensors of a file below `tests/data`.
pub struct Goldens(HashMap<String, Tensor>);

impl Goldens {
    pub fn read(file: &str) -> Self {
        Self::open(&data(file))
    }

    pub fn open(path: &Path) -> Self {
        Self(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    pub fn find(&self, name: &str) -> Option<Tensor> {
        self.0.get(name).map(|t| t.to_dtype(DType::F32).unwrap())
    }

    /// The tensor `name` as float32.
    pub fn get(&self, name: &str) -> Tensor {
        self.find(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// The map `name`, channels last.
    pub fn map(&self, name: &str) -> Tensor {
        self.get(name).permute((0, 2, 3, 1)).unwrap().contiguous().unwrap()
    }

    pub fn vec(&self, name: &str) -> Vec<f32> {
        flat(&self.get(name))
    }
}

pub fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Row `i` of a tensor, as a tensor of one row.
pub fn row(t: &Tensor, i: usize) -> Tensor {
    t.narrow(0, i, 1).unwrap().contiguous().unwrap()
}

/// The largest difference, as a share of the largest expected value.
pub fn relative_error(actual: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(actual.len(), expected.len());
    let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
    max_difference(actual, expected) / largest
}

pub fn max_difference(actual: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(actual.len(), expected.len());
    // A difference that is not a number counts as infinite.
    actual.iter().zip(expected).map(|(a, e)| (a - e).abs()).fold(0f32, |m, d| if d <= m { m } else { d.max(f32::MIN) })
}

/// Components must agree with diffusers within this share of their largest value.
pub const RELATIVE: f32 = 1e-4;

pub fn assert_close(what: &str, actual: &Tensor, expected: &Tensor) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    let error = relative_error(&flat(actual), &flat(expected));
    assert!(error < RELATIVE, "{what}: relative error {error}");
}
