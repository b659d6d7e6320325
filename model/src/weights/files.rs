//! Which files of a folder hold a network's weights.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::error::LoadError;

/// Endings of pickled weights. Unpickling runs code of the file's author, so they are not read.
const PICKLES: [&str; 4] = ["bin", "ckpt", "pt", "pth"];
pub(super) const ADVICE: &str = "pickled weights are not read, since they can run code: convert them to safetensors, \
                      for example with diffusers' save_pretrained(safe_serialization=True)";
/// Longest index of shards that is read, in bytes.
const MAX_INDEX: u64 = 16 << 20;

#[derive(Deserialize)]
struct Index {
    /// Tensor name to file name.
    weight_map: BTreeMap<String, String>,
}

/// The safetensors files of `folder` that begin with `stem` (`diffusion_pytorch_model`, `model`): a single file, or the shards
/// that an index lists; the full-precision variant before the `fp16` one.
///
/// # Errors
/// If there are none; the message gives advice when there are pickled ones instead.
pub fn find(folder: &Path, stem: &str) -> Result<Vec<PathBuf>, LoadError> {
    for variant in ["", ".fp16"] {
        let single = folder.join(format!("{stem}{variant}.safetensors"));
        if single.is_file() {
            return Ok(vec![single]);
        }
        let index = folder.join(format!("{stem}.safetensors.index{variant}.json"));
        if index.is_file() {
            return shards(folder, &index);
        }
    }
    let pickled = PICKLES.iter().any(|ending| folder.join(format!("{stem}.{ending}")).is_file());
    let message = if pickled { ADVICE.to_owned() } else { format!("has no {stem}.safetensors") };
    Err(LoadError::Format { path: folder.display().to_string(), message })
}

fn shards(folder: &Path, path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let name = || path.display().to_string();
    let config = |message| LoadError::Config { path: name(), message };
    let io = |source| LoadError::Io { path: name(), source };
    if fs::metadata(path).map_err(io)?.len() > MAX_INDEX {
        return Err(config(format!("is longer than {MAX_INDEX} bytes")));
    }
    let text = fs::read_to_string(path).map_err(io)?;
    let index: Index = serde_json::from_str(&text).map_err(|e| config(e.to_string()))?;
    let files: BTreeSet<_> = index.weight_map.into_values().collect();
    for file in &files {
        let mut components = Path::new(file).components();
        if !matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) {
            return Err(config(format!("{file:?} is not the name of a file beside it")));
        }
    }
    Ok(files.iter().map(|file| folder.join(file)).collect())
}

/// Whether a file that begins so, and is no safetensors file, is a pickle: torch's zip archive, or a stream of protocol 2 to 5.
pub(super) fn is_pickle(first: [u8; 8]) -> bool {
    first.starts_with(b"PK\x03\x04") || matches!(first, [0x80, 2..=5, ..])
}
