//! What is remembered of generations.

mod durable;
mod journal;
mod memory;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use uuid::Uuid;
use x0_openapi::{Event, GenerationList, GenerationRecord, GenerationRequest, ImageFormat, State};

use crate::auth::Owner;
use crate::generation::{EventId, Fact, Glimpse};

pub use durable::{DurableStore, OpenStoreError, Unfinished};
pub use memory::{MemoryStore, MemoryStoreOptions};

/// Remembers generations and what happened to them.
///
/// After [`create`](JobStore::create) has returned, a generation is remembered at least until it has ended. Facts are
/// appended by one writer a generation, in order; whoever follows sees them in that order, none twice. For who is not its owner, a
/// generation is not there.
#[async_trait]
pub trait JobStore: fmt::Debug + Send + Sync + 'static {
    /// The generation that was made with an equal idempotency key, if there is one.
    async fn made_before(&self, owner: Owner, key: &IdempotencyKey) -> Result<Option<Created>, StoreError>;

    /// Remembers a new generation, or finds the one that was made with the same idempotency key.
    async fn create(&self, new: NewGeneration) -> Result<Created, StoreError>;

    /// Forgets a generation that was never accepted.
    async fn discard(&self, id: Uuid) -> Result<(), StoreError>;

    /// Adds a fact; returns when it is as safe as this store makes it. Facts after the terminal one are ignored, and so are facts of a generation that is not known.
    async fn append(&self, id: Uuid, fact: Fact) -> Result<(), StoreError>;

    /// Remembers that a generation is to end: should the process end first, the next one does not take it up.
    fn cancelling(&self, id: Uuid);

    /// Remembers that a generation that an earlier process left is about to be worked on: should this process break down from now on, the
    /// generation may be why. Of those that this process accepted, the fact that they have started says the same.
    async fn taking_up(&self, id: Uuid) -> Result<(), StoreError>;

    /// What has not ended by now is not to blame for it, whatever becomes of the process.
    async fn acquit_all(&self) -> Result<(), StoreError>;

    /// Whether the next process finds what has not ended when this one does.
    fn outlives_the_process(&self) -> bool;

    /// Shows a glimpse to those who follow, as far as that is possible at once.
    fn show(&self, id: Uuid, glimpse: Glimpse);

    async fn get(&self, owner: Owner, id: Uuid) -> Result<Option<GenerationRecord>, StoreError>;

    /// A finished image's file.
    async fn image(&self, owner: Owner, id: Uuid, index: u32) -> Result<Option<StoredImage>, StoreError>;

    /// The owner's generations, newest first.
    async fn list(&self, owner: Owner, page: Page) -> Result<GenerationList, StoreError>;

    /// What happened after the fact `after`, and what happens from now on; from the beginning without `after`, or when it
    /// names no fact of this generation.
    async fn follow(&self, owner: Owner, id: Uuid, after: Option<EventId>) -> Result<Option<Followed>, StoreError>;
}

/// A generation before it is remembered.
#[derive(Clone, Debug)]
pub struct NewGeneration {
    /// In the state `queued`.
    pub record: GenerationRecord,
    pub owner: Owner,
    pub key: Option<IdempotencyKey>,
    /// What makes the same pictures again, pictures and seeds included.
    pub request: GenerationRequest,
}

/// Which of its owner's requests this is, in the client's words: a repeated request finds the generation of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub key: String,
    /// Of the request's content: a key must not be used for two different ones.
    pub fingerprint: u64,
}

/// What became of a [`NewGeneration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New,
    /// The idempotency key belongs to this generation, made by an equal request.
    Replayed(Uuid),
    /// The idempotency key belongs to a different request.
    Mismatch,
}

/// An image's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    pub format: ImageFormat,
    pub file: Bytes,
}

/// Which generations to list.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub limit: usize,
    /// Only those older than this one.
    pub after: Option<Uuid>,
    pub state: Option<State>,
}

/// What there is to follow.
pub enum Followed {
    /// First the snapshot, then events; it ends after the terminal one.
    Stream(BoxStream<'static, Delivery>),
    /// `after` was the terminal fact: nothing more will come.
    Ended,
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Followed::Stream(_) => "Stream(..)",
            Followed::Ended => "Ended",
        })
    }
}

/// An event for one of those who follow.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Facts have one.
    pub id: Option<EventId>,
    pub event: Arc<Event>,
}

/// The store cannot be reached or written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the job store is unavailable: {0}")]
pub struct StoreError(pub String);

#[cfg(test)]
mod tests;
