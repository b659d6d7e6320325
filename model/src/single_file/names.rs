//! Tensors of a checkpoint by the names that diffusers' networks have.

use std::collections::BTreeMap;

use crate::error::LoadError;
use crate::weights::{TensorPart, Weights};

/// New name to the tensor, or part of one, that it stands for.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, TensorPart>);

impl Names {
    /// All tensors of `from` whose names begin with `prefix` and a dot, which `rename` is given without them; those that it knows no
    /// name for are left out.
    pub(super) fn renamed(from: &Weights, prefix: &str, rename: impl Fn(&str) -> Option<String>) -> Self {
        let below = format!("{prefix}.");
        let name = |full: &str| Some((rename(full.strip_prefix(&below)?)?, TensorPart::whole(full)));
        Self(from.names().filter_map(name).collect())
    }

    pub(super) fn insert(&mut self, name: String, part: TensorPart) {
        self.0.insert(name, part);
    }

    /// Lets the 1×1 convolutions among `names` be seen as matrices.
    pub(super) fn with_matrices(mut self, from: &Weights, is_matrix: impl Fn(&str) -> bool) -> Self {
        for (name, part) in &mut self.0 {
            if let Some([rows, columns, 1, 1]) = from.shape(&part.tensor).as_deref()
                && is_matrix(name)
            {
                part.shape = Some(vec![*rows, *columns]);
            }
        }
        self
    }

    pub(super) fn view(self, from: &Weights) -> Result<Weights, LoadError> {
        from.renamed(self.0)
    }
}

/// The shape of a tensor that the recognition of a checkpoint rests on.
pub(super) fn shape_of(weights: &Weights, name: &str) -> Result<Vec<usize>, String> {
    weights.shape(name).ok_or_else(|| format!("the tensor {name} is missing"))
}

/// How many of the names that `name` makes of 0, 1, .. are there, up to the first that is not.
pub(super) fn count(name: impl Fn(usize) -> String, exists: impl Fn(&str) -> bool) -> usize {
    (0..).take_while(|i| exists(&name(*i))).count()
}

/// `name` split after its first part, up to a dot.
pub(super) fn split(name: &str) -> Option<(&str, &str)> {
    name.split_once('.')
}

/// `name` split after its first part, which is a number.
pub(super) fn split_number(name: &str) -> Option<(usize, &str)> {
    let (number, rest) = split(name)?;
    Some((number.parse().ok()?, rest))
}
