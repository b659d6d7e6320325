//! Tensors by other names, whole or in part.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{Store, Stored, Weights};
use crate::error::LoadError;

/// A tensor of a file, or some of its rows, that shall have another name.
#[derive(Clone, Debug)]
pub(crate) struct TensorPart {
    /// Full name in the file.
    pub(crate) tensor: String,
    /// Along the first dimension; all of them unless given.
    rows: Option<Range<usize>>,
    /// Of as many numbers; the tensor's own unless given.
    pub(crate) shape: Option<Vec<usize>>,
}

impl TensorPart {
    pub(crate) fn whole(tensor: &str) -> Self {
        Self { tensor: tensor.to_owned(), rows: None, shape: None }
    }

    pub(crate) fn rows(tensor: String, rows: Range<usize>) -> Self {
        Self { tensor, rows: Some(rows), shape: None }
    }
}

impl Weights {
    /// The same files' tensors, or parts of them, by other names; no data are read or copied.
    ///
    /// # Errors
    /// If a tensor is missing or has not the rows that are asked for; the message has its name in the file.
    pub(crate) fn renamed(&self, names: BTreeMap<String, TensorPart>) -> Result<Self, LoadError> {
        let tensors = names.into_iter().map(|(name, part)| Ok((name, self.part(part)?)));
        let tensors = tensors.collect::<Result<_, LoadError>>()?;
        let store = Store { files: Arc::clone(&self.store.files), tensors, absent: self.store.absent };
        Ok(Self { store: Arc::new(store), prefix: String::new(), placement: self.placement.clone() })
    }

    fn part(&self, part: TensorPart) -> Result<Stored, LoadError> {
        let Some(Stored { file, entry, .. }) = self.store.tensors.get(&part.tensor) else {
            let path = self.store.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ");
            return Err(LoadError::Tensor { path, tensor: part.tensor, message: "is missing".to_owned() });
        };
        let mut entry = entry.clone();
        if let Some(rows) = part.rows {
            let (first, length) = (entry.shape.first().copied().unwrap_or(0), entry.bytes.end - entry.bytes.start);
            if first == 0 || rows.end > first {
                let message = format!("has shape {:?}, of which the rows {rows:?} were asked for", entry.shape);
                return Err(self.store.files[*file].tensor_error(&part.tensor, message));
            }
            let row = length / first as u64;
            let start = entry.bytes.start;
            entry.bytes = start + rows.start as u64 * row..start + rows.end as u64 * row;
            entry.shape[0] = rows.len();
        }
        if let Some(shape) = part.shape
            && shape.iter().product::<usize>() == entry.shape.iter().product::<usize>()
        {
            entry.shape = shape;
        }
        Ok(Stored { file: *file, entry, original: Some(part.tensor), asked: AtomicBool::new(false) })
    }
}
