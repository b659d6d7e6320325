//! The header of a safetensors file: eight bytes of length, then a JSON object of tensors, then their bytes.
//! <https://github.com/huggingface/safetensors#format>

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;

/// Longest header that is read, in bytes. Stable Diffusion XL's is about 0.3 MB.
pub(super) const MAX_HEADER: u64 = 16 << 20;
const MAX_TENSORS: usize = 100_000;
const MAX_RANK: usize = 8;

/// Where a tensor lies in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    /// Bytes of the file, counted from its beginning.
    pub(super) bytes: Range<u64>,
}

/// What is wrong with a header: with the tensor of that name, or as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeaderError {
    pub(super) tensor: Option<String>,
    pub(super) message: String,
}

#[derive(Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The length of the header that the first eight bytes state, checked against the length of the file.
pub(super) fn header_len(first: [u8; 8], file_len: u64) -> Result<u64, HeaderError> {
    let len = u64::from_le_bytes(first);
    if len > MAX_HEADER {
        return Err(whole(format!("is no safetensors file, or its header of {len} bytes is longer than {MAX_HEADER}")));
    }
    if len + 8 > file_len {
        return Err(whole(format!("is cut short: a header of {len} bytes does not fit into {file_len} bytes")));
    }
    Ok(len)
}

/// Parses the header and checks that its tensors fill the file without overlaps, gaps or leftovers.
pub(super) fn parse(json: &[u8], file_len: u64) -> Result<BTreeMap<String, Entry>, HeaderError> {
    let start = 8 + json.len() as u64;
    let data_len = file_len.saturating_sub(start);
    let listed: BTreeMap<String, Value> =
        serde_json::from_slice(json).map_err(|e| whole(format!("its header is not a JSON object: {e}")))?;
    if listed.len() > MAX_TENSORS {
        return Err(whole(format!("its header lists {} tensors, more than {MAX_TENSORS}", listed.len())));
    }
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for (name, value) in listed {
        if name != "__metadata__" {
            let entry = entry(value, start, data_len).map_err(|message| of(&name, message))?;
            entries.insert(name, entry);
        }
    }
    let mut by_offset: Vec<_> = entries.iter().map(|(name, entry)| (&entry.bytes, name)).collect();
    by_offset.sort_by_key(|(bytes, _)| (bytes.start, bytes.end));
    let mut end = start;
    for (bytes, name) in by_offset {
        if bytes.start != end {
            return Err(of(
                name,
                format!("its data begin at byte {}, not where the one before ends, {end}", bytes.start),
            ));
        }
        end = bytes.end;
    }
    if end != file_len {
        return Err(whole(format!("its tensors end at byte {end}, the file at byte {file_len}")));
    }
    Ok(entries)
}

fn entry(value: Value, start: u64, data_len: u64) -> Result<Entry, String> {
    let Described { dtype, shape, data_offsets: (from, to) } =
        serde_json::from_value(value).map_err(|e| format!("is not described as a tensor: {e}"))?;
    if shape.len() > MAX_RANK {
        return Err(format!("has {} dimensions, more than {MAX_RANK}", shape.len()));
    }
    if from > to || to > data_len {
        return Err(format!(
            "its data {from}..{to} are not within the {} bytes of data: is the file cut short?",
            data_len
        ));
    }
    let elements = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).ok_or("has too many elements")?;
    if let Some(size) = element_size(&dtype)
        && elements.checked_mul(size) != Some(to - from)
    {
        return Err(format!("has {} bytes, but {dtype} of shape {shape:?} needs {size} times {elements}", to - from));
    }
    let shape = shape.into_iter().map(|d| d as usize).collect();
    Ok(Entry { dtype, shape, bytes: start + from..start + to })
}

/// Bytes of an element, for the types whose elements are whole bytes.
fn element_size(dtype: &str) -> Option<u64> {
    match dtype {
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" => Some(1),
        "U16" | "I16" | "F16" | "BF16" => Some(2),
        "U32" | "I32" | "F32" => Some(4),
        "U64" | "I64" | "F64" => Some(8),
        _ => None,
    }
}

fn whole(message: String) -> HeaderError {
    HeaderError { tensor: None, message }
}

fn of(tensor: &str, message: String) -> HeaderError {
    HeaderError { tensor: Some(tensor.to_owned()), message }
}
