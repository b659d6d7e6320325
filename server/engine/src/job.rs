//! A job: an accepted request, as far as the engine needs to know it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

/// Names a job. The server makes it; the engine only compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u128);

/// Whose job it is; fair shares are counted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(pub u64);

/// Slots with equal keys may share a model call. Steps, sampler, guidance, seed and prompt may differ within one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchKey {
    pub model: Arc<str>,
    /// Height and width of the tensor that is denoised, in its own units (latent cells or pixels).
    pub height: u32,
    pub width: u32,
    /// Tokens of the text that each row is conditioned on.
    pub context: u32,
}

/// How urgent the client says a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
}

/// Model calls of an image that come after its first ones, on a tensor of another size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondPass {
    pub key: BatchKey,
    pub steps: NonZeroU32,
}

/// An accepted request of `images` pictures.
#[derive(Clone, Debug)]
pub struct Job<W> {
    pub id: JobId,
    pub key: BatchKey,
    pub tenant: Tenant,
    pub priority: Priority,
    pub images: NonZeroU32,
    /// Model calls that each image needs with this key.
    pub steps: NonZeroU32,
    /// Further model calls that each image needs after these. Steps are counted through both.
    pub second_pass: Option<SecondPass>,
    /// Rows that each image takes in a model call: 1, 2 under classifier-free guidance, more for composed prompts.
    pub rows: NonZeroU32,
    /// A preview is made after every so many steps; `None` for no previews.
    pub preview_every: Option<NonZeroU32>,
    /// The job fails with `deadline_exceeded` when it is not done by then.
    pub deadline: Option<Instant>,
    /// What the denoiser needs.
    pub work: Arc<W>,
}
