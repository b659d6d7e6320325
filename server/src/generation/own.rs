//! The generations of one caller, and the way to make more.

use uuid::Uuid;
use x0_openapi::{GenerationList, GenerationRecord};

use super::EventId;
use super::service::{Accepted, Generations, Refused};
use crate::auth::Caller;
use crate::store::{Followed, IdempotencyKey, Page, StoreError, StoredImage};
use crate::validate::Order;

/// What a caller can reach: its own generations. Those of others are, from here, not there.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    generations: &'a Generations,
    caller: &'a Caller,
}

impl<'a> Own<'a> {
    pub(super) fn new(generations: &'a Generations, caller: &'a Caller) -> Self {
        Self { generations, caller }
    }

    /// Accepts an order: it is remembered, the engine has it, and it will reach exactly one terminal state.
    pub async fn accept(&self, order: Order, key: Option<IdempotencyKey>) -> Result<Accepted, Refused> {
        let accepted = self.generations.accept(self.caller.clone(), order, key).await;
        if let Ok(Accepted { record, .. }) = &accepted {
            tracing::Span::current().record("generation", tracing::field::display(record.id));
        }
        accepted
    }

    pub async fn get(&self, id: Uuid) -> Result<Option<GenerationRecord>, StoreError> {
        self.generations.store().get(self.caller.owner(), id).await
    }

    /// A finished image's file.
    pub async fn image(&self, id: Uuid, index: u32) -> Result<Option<StoredImage>, StoreError> {
        self.generations.store().image(self.caller.owner(), id, index).await
    }

    pub async fn list(&self, page: Page) -> Result<GenerationList, StoreError> {
        self.generations.store().list(self.caller.owner(), page).await
    }

    /// See [`JobStore::follow`](crate::store::JobStore::follow).
    pub async fn follow(&self, id: Uuid, after: Option<EventId>) -> Result<Option<Followed>, StoreError> {
        self.generations.store().follow(self.caller.owner(), id, after).await
    }

    /// Waits for the end of a generation and gives its record; `None` if it is not known.
    pub async fn ended(&self, id: Uuid) -> Result<Option<GenerationRecord>, StoreError> {
        self.generations.ended(self.caller.owner(), id).await
    }

    /// Asks for the end of a generation; it comes with the next step. Tells whether the generation is known.
    pub async fn cancel(&self, id: Uuid) -> Result<bool, StoreError> {
        let known = self.get(id).await?.is_some();
        if known {
            self.generations.cancel(id);
        }
        Ok(known)
    }
}
