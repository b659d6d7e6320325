//! Weights from safetensors files.

mod files;
mod header;
mod part;
mod random;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor};
use half::{bf16, f16};

use crate::error::LoadError;
use crate::placement::Placement;

pub use files::find;
pub(crate) use part::TensorPart;

/// Bytes that are read and converted at a time.
const CHUNK: usize = 1 << 18;

/// A view into one or several safetensors files: the tensors whose names begin with a prefix.
///
/// Only the headers are read at first; a tensor's data are read when it is asked for, and kept by nobody here.
/// A clone is another handle to the same files.
#[derive(Clone, Debug)]
pub struct Weights {
    store: Arc<Store>,
    prefix: String,
    placement: Placement,
}

#[derive(Debug)]
struct Store {
    /// Shared with the stores of other names for the same tensors.
    files: Arc<Vec<Source>>,
    tensors: BTreeMap<String, Stored>,
    absent: Absent,
}

/// What comes of a tensor that is asked for and is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absent {
    Refused,
    /// Random numbers take its place.
    MadeUp,
}

#[derive(Debug)]
struct Stored {
    file: usize,
    entry: header::Entry,
    /// Its name in the file, where that is another.
    original: Option<String>,
    /// Whether somebody asked for it, for [`Weights::unused`].
    asked: AtomicBool,
}

#[derive(Debug)]
struct Source {
    /// Path or name, for messages.
    path: String,
    data: Data,
}

#[derive(Debug)]
enum Data {
    /// The lock covers the file's position: seek, then read.
    File(Mutex<File>),
    Static(&'static [u8]),
}

/// What becomes of float16 and bfloat16.
#[derive(Clone, Copy, Debug)]
enum Kept {
    /// float32.
    Widened,
    Stored,
}

impl Weights {
    /// Opens files that together hold a network's tensors: one file, or all shards of one.
    ///
    /// # Errors
    /// Files that cannot be read or are no safetensors files (pickled ones are told apart and refused), whose header is malformed
    /// or does not fit the file's length, or that both have a tensor of the same name.
    pub fn open(paths: &[PathBuf]) -> Result<Self, LoadError> {
        let open = |path: &PathBuf| {
            let name = path.display().to_string();
            match File::open(path) {
                Ok(file) => Ok(Source { path: name, data: Data::File(Mutex::new(file)) }),
                Err(source) => Err(LoadError::Io { path: name, source }),
            }
        };
        Self::from_sources(paths.iter().map(open).collect::<Result<_, _>>()?)
    }

    /// Tensors of a safetensors file that is part of the program. `name` stands for its path in messages.
    pub fn from_static(name: &str, bytes: &'static [u8]) -> Result<Self, LoadError> {
        Self::from_sources(vec![Source { path: name.to_owned(), data: Data::Static(bytes) }])
    }

    fn from_sources(files: Vec<Source>) -> Result<Self, LoadError> {
        let mut tensors = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            for (name, entry) in file.header()? {
                match tensors.entry(name) {
                    MapEntry::Vacant(place) => {
                        place.insert(Stored { file: index, entry, original: None, asked: AtomicBool::new(false) });
                    }
                    MapEntry::Occupied(other) => {
                        let message = format!("is also in {}", files[other.get().file].path);
                        return Err(file.tensor_error(other.key(), message));
                    }
                }
            }
        }
        let store = Store { files: Arc::new(files), tensors, absent: Absent::Refused };
        Ok(Self { store: Arc::new(store), prefix: String::new(), placement: Placement::cpu() })
    }

    /// Weights of no file: whichever tensor is asked for is random numbers, always the same ones for a name. Small enough that what
    /// networks compute with them stays in range.
    pub(crate) fn random() -> Self {
        let store = Store { files: Arc::default(), tensors: BTreeMap::new(), absent: Absent::MadeUp };
        Self { store: Arc::new(store), prefix: String::new(), placement: Placement::cpu() }
    }

    /// The same tensors, to be read to `placement`.
    #[must_use]
    pub fn placed(self, placement: &Placement) -> Self {
        Self { placement: placement.clone(), ..self }
    }

    /// Where tensors are read to, and so where the network computes.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The tensors below `name`: those that begin with this view's prefix, `name` and a dot.
    pub fn at(&self, name: impl Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// Whether there is a tensor `name` in this view.
    pub fn contains(&self, name: &str) -> bool {
        self.stored(name).is_some()
    }

    /// The shape of the tensor `name` of this view, if there is one.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.stored(name).map(|stored| stored.entry.shape.clone())
    }

    /// Reads the tensor `name` of this view as float32, converted from float16, bfloat16, float32 or float64, to where the
    /// network computes.
    ///
    /// # Errors
    /// If it is missing, has another shape than `shape` or another type, or cannot be read; the message has its full name.
    pub fn get(&self, name: &str, shape: impl Into<Shape>) -> Result<Tensor, LoadError> {
        Ok(self.placement.place_float32(&self.read(name, shape.into(), Kept::Widened)?)?)
    }

    /// Reads the tensor `name` of this view like [`Self::get`], but leaves float16 and bfloat16 as they are, for weights that the
    /// kernels widen as they use them; on a CUDA device it becomes of the type that the network computes with.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_stored(&self, name: &str, shape: impl Into<Shape>) -> Result<Tensor, LoadError> {
        let stored = self.read(name, shape.into(), Kept::Stored)?;
        Ok(if self.placement.is_cuda() { self.placement.place(&stored)? } else { stored })
    }

    fn read(&self, name: &str, shape: Shape, kept: Kept) -> Result<Tensor, LoadError> {
        let full = format!("{}{name}", self.prefix);
        let Some(stored) = self.store.tensors.get(&full) else {
            if self.store.absent == Absent::MadeUp {
                return Ok(Tensor::from_vec(random::values(&full, shape.dims()), shape, &Device::Cpu)?);
            }
            let path = self.store.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ");
            return Err(LoadError::Tensor { path, tensor: full, message: "is missing".to_owned() });
        };
        stored.asked.store(true, Ordering::Relaxed);
        let file = &self.store.files[stored.file];
        let full = stored.original.as_ref().unwrap_or(&full);
        if stored.entry.shape != shape.dims() {
            let message = format!("has shape {:?}, not {:?}", stored.entry.shape, shape.dims());
            return Err(file.tensor_error(full, message));
        }
        file.tensor(full, &stored.entry, shape, kept)
    }

    /// Full names of this view's tensors that nobody asked for.
    pub fn unused(&self) -> Vec<String> {
        let of_view = self.store.tensors.iter().filter(|(name, _)| name.starts_with(&self.prefix));
        of_view.filter(|(_, t)| !t.asked.load(Ordering::Relaxed)).map(|(name, _)| name.clone()).collect()
    }

    /// Full names of this view's tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.store.tensors.keys().map(String::as_str).filter(|name| name.starts_with(&self.prefix))
    }

    /// Bytes that all tensors of this view take once they are read: float16 and bfloat16 matrices and filters stay as they are
    /// stored, all else becomes float32.
    pub fn loaded_bytes(&self) -> u64 {
        let bytes = |entry: &header::Entry| {
            let stays = entry.shape.len() > 1 && matches!(entry.dtype.as_str(), "F16" | "BF16");
            entry.shape.iter().product::<usize>() as u64 * if stays { 2 } else { 4 }
        };
        self.names().filter_map(|name| self.store.tensors.get(name)).map(|tensor| bytes(&tensor.entry)).sum()
    }

    fn stored(&self, name: &str) -> Option<&Stored> {
        self.store.tensors.get(&format!("{}{name}", self.prefix))
    }
}

impl Source {
    fn header(&self) -> Result<BTreeMap<String, header::Entry>, LoadError> {
        let described = |e: header::HeaderError| match e.tensor {
            Some(tensor) => self.tensor_error(&tensor, e.message),
            None => self.format_error(e.message),
        };
        let len = self.len().map_err(|e| self.io_error(e))?;
        if len < 8 {
            return Err(self.format_error(format!("has only {len} bytes: it is no safetensors file")));
        }
        let mut first = [0; 8];
        self.read(0, &mut first).map_err(|e| self.io_error(e))?;
        let header_len = match header::header_len(first, len) {
            Ok(header_len) => header_len,
            Err(_) if files::is_pickle(first) => return Err(self.format_error(files::ADVICE.to_owned())),
            Err(e) => return Err(described(e)),
        };
        let mut json = vec![0; header_len as usize];
        self.read(8, &mut json).map_err(|e| self.io_error(e))?;
        header::parse(&json, len).map_err(described)
    }

    fn len(&self) -> io::Result<u64> {
        match &self.data {
            Data::File(file) => Ok(file.lock().unwrap_or_else(PoisonError::into_inner).metadata()?.len()),
            Data::Static(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Fills `into` with the bytes from `offset`.
    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match &self.data {
            Data::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(offset))?;
                file.read_exact(into)
            }
            Data::Static(bytes) => {
                let rest = bytes.get(offset as usize..).and_then(|rest| rest.get(..into.len()));
                into.copy_from_slice(rest.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    fn tensor(&self, name: &str, entry: &header::Entry, shape: Shape, kept: Kept) -> Result<Tensor, LoadError> {
        let device = &Device::Cpu;
        Ok(match (entry.dtype.as_str(), kept) {
            ("F32", _) => Tensor::from_vec(self.numbers(name, entry, f32::from_le_bytes)?, shape, device)?,
            ("F64", _) => {
                Tensor::from_vec(self.numbers(name, entry, |b| f64::from_le_bytes(b) as f32)?, shape, device)?
            }
            ("F16", Kept::Stored) => Tensor::from_vec(self.numbers(name, entry, f16::from_le_bytes)?, shape, device)?,
            ("BF16", Kept::Stored) => Tensor::from_vec(self.numbers(name, entry, bf16::from_le_bytes)?, shape, device)?,
            ("F16" | "BF16", Kept::Widened) => self.tensor(name, entry, shape, Kept::Stored)?.to_dtype(DType::F32)?,
            (other, _) => {
                return Err(self.tensor_error(name, format!("has type {other}, not F16, BF16, F32 or F64")));
            }
        })
    }

    /// All numbers of a tensor, each read from `N` bytes.
    fn numbers<const N: usize, T>(
        &self,
        name: &str,
        entry: &header::Entry,
        number: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, LoadError> {
        let mut values = Vec::with_capacity(entry.shape.iter().product());
        let mut buffer = vec![0; CHUNK.min((entry.bytes.end - entry.bytes.start) as usize)];
        let mut at = entry.bytes.start;
        while at < entry.bytes.end {
            let n = CHUNK.min((entry.bytes.end - at) as usize);
            self.read(at, &mut buffer[..n]).map_err(|e| self.tensor_error(name, format!("cannot be read: {e}")))?;
            values.extend(buffer[..n].as_chunks().0.iter().map(|&bytes| number(bytes)));
            at += n as u64;
        }
        Ok(values)
    }

    fn io_error(&self, source: io::Error) -> LoadError {
        LoadError::Io { path: self.path.clone(), source }
    }

    fn format_error(&self, message: String) -> LoadError {
        LoadError::Format { path: self.path.clone(), message }
    }

    fn tensor_error(&self, tensor: &str, message: String) -> LoadError {
        LoadError::Tensor { path: self.path.clone(), tensor: tensor.to_owned(), message }
    }
}
