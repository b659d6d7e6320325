//! A store that forgets everything when the process ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;
use x0_openapi::{GenerationList, GenerationRecord};

use super::journal::Journal;
use super::{Created, Followed, IdempotencyKey, JobStore, NewGeneration, Page, StoreError, StoredImage};
use crate::auth::Owner;
use crate::clock::now;
use crate::generation::{EventId, Fact, Glimpse};

/// How much a [`MemoryStore`] remembers of generations that have ended. Those that have not are never forgotten; their number is
/// bounded by the queue.
#[derive(Clone, Copy, Debug)]
pub struct MemoryStoreOptions {
    pub generations: usize,
    /// Of files and previews.
    pub bytes: u64,
    /// Since they ended.
    pub age: Duration,
}

/// Generations in memory.
#[derive(Debug)]
pub struct MemoryStore {
    options: MemoryStoreOptions,
    index: Mutex<Index>,
    /// What all journals take together.
    bytes: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Index {
    /// Their ids are UUIDs of version 7, so they are sorted by age.
    journals: BTreeMap<Uuid, Arc<Journal>>,
    /// Forgotten with their generation.
    keys: HashMap<(Owner, String), (u64, Uuid)>,
}

impl MemoryStore {
    pub fn new(options: MemoryStoreOptions) -> Self {
        Self { options, index: Mutex::default(), bytes: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        // Nothing panics while it holds the lock.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self, id: Uuid) -> Option<Arc<Journal>> {
        self.lock().journals.get(&id).cloned()
    }

    fn journal_of(&self, owner: Owner, id: Uuid) -> Option<Arc<Journal>> {
        self.journal(id).filter(|journal| journal.owner() == owner)
    }

    /// Forgets the oldest generations that have ended, until the rest is within the bounds. `kept` stays in any case.
    fn forget(&self, index: &mut Index, kept: Uuid, now: Timestamp) {
        let ended: Vec<(Uuid, Timestamp)> = index
            .journals
            .iter()
            .filter(|(id, _)| **id != kept)
            .filter_map(|(id, journal)| Some((*id, journal.finished_at()?)))
            .collect();
        for (id, finished_at) in ended {
            let old = now.duration_since(finished_at).unsigned_abs() > self.options.age;
            let many = index.journals.len() > self.options.generations;
            let large = self.bytes.load(Ordering::Relaxed) > self.options.bytes;
            if old || many || large {
                index.journals.remove(&id);
                index.keys.retain(|_, (_, earlier)| *earlier != id);
            }
        }
    }
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn create(&self, new: NewGeneration) -> Result<Created, StoreError> {
        let id = new.record.id;
        let now = now();
        let mut index = self.lock();
        if let Some(IdempotencyKey { key, fingerprint }) = new.key {
            let key = (new.owner, key);
            match index.keys.get(&key) {
                Some((known, earlier)) if *known == fingerprint => return Ok(Created::Replayed(*earlier)),
                Some(_) => return Ok(Created::Mismatch),
                None => index.keys.insert(key, (fingerprint, id)),
            };
        }
        index.journals.insert(id, Arc::new(Journal::new(new.record, new.owner, self.bytes.clone())));
        self.forget(&mut index, id, now);
        Ok(Created::New)
    }

    async fn discard(&self, id: Uuid) -> Result<(), StoreError> {
        let mut index = self.lock();
        index.journals.remove(&id);
        index.keys.retain(|_, (_, earlier)| *earlier != id);
        Ok(())
    }

    async fn append(&self, id: Uuid, fact: Fact) -> Result<(), StoreError> {
        if let Some(journal) = self.journal(id) {
            let now = now();
            journal.append(fact, now);
            if self.bytes.load(Ordering::Relaxed) > self.options.bytes {
                self.forget(&mut self.lock(), id, now);
            }
        }
        Ok(())
    }

    fn show(&self, id: Uuid, glimpse: Glimpse) {
        if let Some(journal) = self.journal(id) {
            journal.show(glimpse);
        }
    }

    async fn get(&self, owner: Owner, id: Uuid) -> Result<Option<GenerationRecord>, StoreError> {
        Ok(self.journal_of(owner, id).map(|journal| journal.record()))
    }

    async fn image(&self, owner: Owner, id: Uuid, index: u32) -> Result<Option<StoredImage>, StoreError> {
        Ok(self.journal_of(owner, id).and_then(|journal| journal.image(index)))
    }

    async fn list(&self, owner: Owner, page: Page) -> Result<GenerationList, StoreError> {
        let mut journals: Vec<_> = match page.after {
            Some(after) => self.lock().journals.range(..after).map(|(_, journal)| journal.clone()).collect(),
            None => self.lock().journals.values().cloned().collect(),
        };
        journals.reverse();
        let mut data: Vec<_> = journals
            .iter()
            .filter(|journal| journal.owner() == owner)
            .map(|journal| journal.record())
            .filter(|record| page.state.is_none_or(|state| record.state == state))
            .take(page.limit + 1)
            .collect();
        let has_more = data.len() > page.limit;
        data.truncate(page.limit);
        Ok(GenerationList { object: "list".to_owned(), data, has_more })
    }

    async fn follow(&self, owner: Owner, id: Uuid, after: Option<EventId>) -> Result<Option<Followed>, StoreError> {
        Ok(self.journal_of(owner, id).map(|journal| {
            if after.is_some() && journal.ends_with(after) {
                Followed::Ended
            } else {
                Followed::Stream(journal.follow(after))
            }
        }))
    }
}

#[cfg(test)]
mod tests;
