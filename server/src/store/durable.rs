//! A store that outlives the process: what it remembers is in memory, and in a database before anyone hears of it.

mod database;
mod row;
#[cfg(test)]
mod tests;

use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Mutex;
use uuid::Uuid;
use x0_openapi::{GenerationList, GenerationRecord, GenerationRequest};

use super::{
    Created, Followed, IdempotencyKey, JobStore, MemoryStore, MemoryStoreOptions, NewGeneration, Page, StoreError,
    StoredImage,
};
use crate::auth::Owner;
use crate::clock::now;
use crate::generation::{EventId, Fact, Glimpse};
use database::{Database, Write};
use row::GenerationRow;

pub use database::OpenStoreError;

/// Generations in memory and in an SQLite database.
///
/// A generation is in the database before it is accepted, and a fact before it is told. What the memory forgets the database forgets,
/// too. The database belongs to one process at a time.
#[derive(Debug)]
pub struct DurableStore {
    memory: MemoryStore,
    database: Database,
    /// Held while a generation with an idempotency key is created: an equal request that comes meanwhile must find it.
    keyed: Mutex<()>,
}

/// A generation that an earlier process accepted and did not finish.
#[derive(Clone, Debug)]
pub struct Unfinished {
    pub id: Uuid,
    pub owner: Owner,
    pub request: GenerationRequest,
    pub created_at: Timestamp,
    /// How often a process broke down while it worked on it.
    pub crashes: u32,
}

impl DurableStore {
    /// Opens the database in a folder, or begins one. Also gives what was not finished, in the order in which it is to be taken up: each
    /// has begun its next run, and waits.
    ///
    /// # Errors
    /// If another process uses it, a later version of this program wrote it, or it cannot be read or written.
    pub fn open(folder: &Path, options: MemoryStoreOptions) -> Result<(Self, Vec<Unfinished>), OpenStoreError> {
        let (database, rows) = Database::open(folder)?;
        let memory = MemoryStore::new(options);
        let (mut unfinished, mut writes) = (Vec::new(), Vec::new());
        for row in rows {
            let GenerationRow { mut new, attempt, crashes, taken_up, acquitted, cancelled, facts } = row;
            let NewGeneration { record: GenerationRecord { id, created_at, .. }, owner, .. } = new;
            let request = std::mem::take(&mut new.request);
            let began = facts.iter().any(|(of, _, fact)| *of == attempt && *fact == Fact::Started);
            writes.extend(memory.restore(new).into_iter().map(Write::Delete));
            for (attempt, at, fact) in facts {
                memory.begin_attempt(id, attempt);
                writes.extend(memory.add(id, fact, at).into_iter().map(Write::Delete));
            }
            if !memory.takes(id, &Fact::Cancelled) {
                // It has ended.
            } else if cancelled {
                let at = now();
                writes.extend(memory.add(id, Fact::Cancelled, at).into_iter().map(Write::Delete));
                writes.push(Write::Append { id, at, fact: Fact::Cancelled });
            } else {
                let crashes = crashes + u32::from((began || taken_up) && !acquitted);
                unfinished.push((Unfinished { id, owner, request, created_at, crashes }, attempt + 1));
            }
        }
        // Suspects come last, the worst at the very end; equals oldest first.
        unfinished.sort_by_key(|(unfinished, _)| unfinished.crashes);
        for (position, (Unfinished { id, crashes, .. }, attempt)) in (0..).zip(&unfinished) {
            let (id, attempt, crashes, at) = (*id, *attempt, *crashes, now());
            let queued = Fact::Queued { position, eta_seconds: None };
            writes.push(Write::Begin { id, attempt, crashes, at, queued: queued.clone() });
            memory.begin_attempt(id, attempt);
            writes.extend(memory.add(id, queued, at).into_iter().map(Write::Delete));
        }
        // Nothing that fails here is lost: it is tried again.
        writes.into_iter().for_each(|write| database.write_later(write));
        let unfinished = unfinished.into_iter().map(|(unfinished, _)| unfinished).collect();
        Ok((Self { memory, database, keyed: Mutex::default() }, unfinished))
    }

    /// Lets the database forget what the memory has forgotten; nobody waits for it.
    fn delete(&self, forgotten: Vec<Uuid>) {
        for id in forgotten {
            self.database.write_later(Write::Delete(id));
        }
    }

    async fn create_new(&self, new: NewGeneration) -> Result<Created, StoreError> {
        // The memory has no use for the request, which may hold pictures.
        let remembered = NewGeneration {
            record: new.record.clone(),
            owner: new.owner,
            key: new.key.clone(),
            request: GenerationRequest::default(),
        };
        self.database.write(Write::Create(Box::new(new))).await?;
        let (created, forgotten) = self.memory.insert(remembered);
        self.delete(forgotten);
        Ok(created)
    }
}

#[async_trait]
impl JobStore for DurableStore {
    async fn create(&self, new: NewGeneration) -> Result<Created, StoreError> {
        let Some(key) = &new.key else { return self.create_new(new).await };
        let _alone = self.keyed.lock().await;
        match self.memory.made_before(new.owner, key).await? {
            Some(made) => Ok(made),
            None => self.create_new(new).await,
        }
    }

    async fn discard(&self, id: Uuid) -> Result<(), StoreError> {
        self.delete(vec![id]);
        self.memory.discard(id).await
    }

    async fn append(&self, id: Uuid, fact: Fact) -> Result<(), StoreError> {
        if !self.memory.takes(id, &fact) {
            return Ok(());
        }
        let at = now();
        self.database.write(Write::Append { id, at, fact: fact.clone() }).await?;
        self.delete(self.memory.add(id, fact, at));
        Ok(())
    }

    async fn made_before(&self, owner: Owner, key: &IdempotencyKey) -> Result<Option<Created>, StoreError> {
        self.memory.made_before(owner, key).await
    }

    fn cancelling(&self, id: Uuid) {
        if self.memory.cancel(id) {
            self.database.write_later(Write::Cancel(id));
        }
    }

    async fn taking_up(&self, id: Uuid) -> Result<(), StoreError> {
        self.database.write(Write::TakeUp(id)).await
    }

    async fn acquit_all(&self) -> Result<(), StoreError> {
        self.database.write(Write::AcquitAll).await
    }

    fn outlives_the_process(&self) -> bool {
        true
    }

    fn show(&self, id: Uuid, glimpse: Glimpse) {
        self.memory.show(id, glimpse);
    }

    async fn get(&self, owner: Owner, id: Uuid) -> Result<Option<GenerationRecord>, StoreError> {
        self.memory.get(owner, id).await
    }

    async fn image(&self, owner: Owner, id: Uuid, index: u32) -> Result<Option<StoredImage>, StoreError> {
        self.memory.image(owner, id, index).await
    }

    async fn list(&self, owner: Owner, page: Page) -> Result<GenerationList, StoreError> {
        self.memory.list(owner, page).await
    }

    async fn follow(&self, owner: Owner, id: Uuid, after: Option<EventId>) -> Result<Option<Followed>, StoreError> {
        self.memory.follow(owner, id, after).await
    }
}
