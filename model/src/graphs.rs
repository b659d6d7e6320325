//! Network calls that were recorded on a CUDA device, one for each number of rows.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use candle_core::{Result, Tensor};
use x0_kernels::{DeviceFault, Graph, device_fault};

use crate::placement::Placement;

/// Recorded calls of one network that are kept; each holds memory of its own. A server meets few sizes of pictures at a time.
const KEPT: usize = 24;

/// The calls of a network by the shapes of their inputs. What was used last goes last.
#[derive(Debug)]
pub(crate) struct Graphs<T>(Mutex<VecDeque<Entry<T>>>);

#[derive(Debug)]
struct Entry<T> {
    shapes: Vec<Vec<usize>>,
    graph: Graph,
    /// What its owner remembers of it.
    memory: T,
}

impl<T> Default for Graphs<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// For how many rows a call is recorded that has `rows`: a few more cost less than another recording. What a row becomes does not depend on
/// how many others there are.
pub(crate) fn bucket(rows: usize) -> usize {
    match rows {
        0..=4 => rows,
        5..=8 => rows.next_multiple_of(2),
        _ => rows.next_multiple_of(4),
    }
}

impl<T: Default> Graphs<T> {
    /// Calls `with` with the recorded call whose inputs are like `tensors`, but of [`bucket`] of `rows`, and records it first if there is
    /// none: `compute` is what is recorded.
    pub(crate) fn with<R>(
        &self,
        placement: &Placement,
        rows: usize,
        tensors: &[&Tensor],
        compute: impl Fn(&[Tensor]) -> Result<Tensor>,
        with: impl FnOnce(&mut Graph, &mut T) -> Result<R>,
    ) -> Result<R> {
        let enlarged = |tensor: &&Tensor| {
            let mut dims = tensor.dims().to_vec();
            dims[0] = bucket(rows);
            dims
        };
        let shapes: Vec<_> = tensors.iter().map(enlarged).collect();
        let inputs = || {
            let zeros = |(tensor, dims): (&&Tensor, &Vec<usize>)| {
                Tensor::zeros(dims.as_slice(), tensor.dtype(), tensor.device())
            };
            tensors.iter().zip(&shapes).map(zeros).collect::<Result<Vec<_>>>()
        };
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.iter().position(|entry| entry.shapes == shapes).and_then(|at| entries.remove(at));
        let mut entry = match found {
            Some(entry) => entry,
            None => {
                if entries.len() == KEPT {
                    entries.pop_front();
                }
                let _alone = placement.record();
                let graph = match Graph::record(inputs()?, &compute) {
                    // Others may hold what is lacking, and are recorded again when they are needed.
                    Err(error) if device_fault(&error) == Some(DeviceFault::OutOfMemory) && !entries.is_empty() => {
                        entries.clear();
                        Graph::record(inputs()?, &compute)?
                    }
                    recorded => recorded?,
                };
                Entry { graph, shapes, memory: T::default() }
            }
        };
        let result = with(&mut entry.graph, &mut entry.memory);
        entries.push_back(entry);
        result
    }
}
