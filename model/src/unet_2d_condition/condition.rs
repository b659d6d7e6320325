//! What rows are conditioned on, prepared once for all steps.

use candle_core::{Result, Tensor};

/// One row's condition: what the network makes of a text, whatever the step. Made by
/// [`UNet2DConditionModel::condition`](super::UNet2DConditionModel::condition).
#[derive(Clone, Debug)]
pub struct Condition {
    /// Of its tensors: clones share them.
    #[cfg(feature = "cuda")]
    pub(super) identity: Identity,
    /// One for each cross-attention, in the order of their places; each `(1, tokens, inner)`.
    pub(super) keys_values: Vec<KeysValues>,
    /// `(1, time embedding)`: what is added to the time embedding, if anything.
    pub(super) added: Option<Tensor>,
    /// `(1, time embedding)`: what is put beside the time embedding, if anything.
    pub(super) beside: Option<Tensor>,
    /// `(1, inputs of the time embedding)`: the projected embedding of the guidance scale, if the network takes one.
    pub(super) guidance: Option<Tensor>,
}

impl Condition {
    /// Keys and values of the cross-attention at `index`.
    pub(super) fn keys_values(&self, index: usize) -> Result<&KeysValues> {
        match self.keys_values.get(index) {
            Some(keys_values) => Ok(keys_values),
            None => candle_core::bail!("a condition of another network: it has no keys for attention {index}"),
        }
    }

    /// How many tokens of text it is made from; those of one network call have as many.
    pub fn tokens(&self) -> usize {
        self.keys_values.first().map_or(0, |first| first.keys.dims().get(1).copied().unwrap_or(0))
    }
}

/// What a condition is made from.
#[derive(Clone, Copy, Debug)]
pub struct ConditionInputs<'a> {
    /// `(1, tokens, cross_attention_dim)`: the text encoder's answer.
    pub encoder_hidden_states: &'a Tensor,
    /// What Stable Diffusion XL adds.
    pub text_time: Option<TextTime<'a>>,
    pub class: Option<ClassInput<'a>>,
    /// `(1, time_cond_proj_dim)`: an embedding of the guidance scale.
    pub timestep_cond: Option<&'a Tensor>,
}

/// Stable Diffusion XL's micro-conditioning (Podell et al. 2023, section 2.2).
#[derive(Clone, Copy, Debug)]
pub struct TextTime<'a> {
    /// `(1, projection_dim)`: the pooled embedding of the text.
    pub text_embeds: &'a Tensor,
    /// Original size, crop and target size, each as height (top) and width (left).
    pub time_ids: &'a [f32],
}

/// A class, in the form that the network's `class_embed_type` takes.
#[derive(Clone, Copy, Debug)]
pub enum ClassInput<'a> {
    /// For a table of classes, or one that is embedded like a timestep.
    Label(f32),
    /// `(1, n)`: for `identity` and the projections.
    Vector(&'a Tensor),
}

/// Keys and values of a cross-attention.
#[derive(Clone, Debug)]
pub(super) struct KeysValues {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

/// Tells a condition from all others of the process.
#[cfg(feature = "cuda")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64);

#[cfg(feature = "cuda")]
impl Identity {
    pub(super) fn new() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The conditions of a batch's rows.
pub(super) enum Rows<'a> {
    /// One for each row.
    Each(&'a [&'a Condition]),
    /// Keys and values of all rows for each cross-attention, in the order of their places.
    #[cfg(feature = "cuda")]
    Gathered(&'a [KeysValues]),
}

impl Rows<'_> {
    /// Keys and values of all rows for the cross-attention at `index`.
    pub(super) fn keys_values(&self, index: usize) -> Result<KeysValues> {
        let conditions = match self {
            Self::Each(conditions) => conditions,
            #[cfg(feature = "cuda")]
            Self::Gathered(keys_values) => return Ok(keys_values[index].clone()),
        };
        let gather = |part: fn(&KeysValues) -> &Tensor| {
            let rows = conditions.iter().map(|row| Ok(part(row.keys_values(index)?)));
            concat_rows(rows.collect::<Result<Vec<_>>>()?)
        };
        Ok(KeysValues { keys: gather(|kv| &kv.keys)?, values: gather(|kv| &kv.values)? })
    }

    /// One `(1, n)` tensor of each row as `(rows, n)`, or none if no row has one.
    pub(super) fn gather(&self, part: impl Fn(&Condition) -> Option<&Tensor>) -> Result<Option<Tensor>> {
        let conditions = match self {
            Self::Each(conditions) => conditions,
            // What is gathered is for the attentions alone.
            #[cfg(feature = "cuda")]
            Self::Gathered(_) => return Ok(None),
        };
        let parts: Vec<_> = conditions.iter().filter_map(|row| part(row)).collect();
        match parts.len() {
            0 => Ok(None),
            n if n == conditions.len() => concat_rows(parts).map(Some),
            _ => candle_core::bail!("the conditions of a batch are of different networks"),
        }
    }
}

fn concat_rows(rows: Vec<&Tensor>) -> Result<Tensor> {
    match rows.as_slice() {
        [row] => Ok((*row).clone()),
        rows => Tensor::cat(rows, 0),
    }
}
