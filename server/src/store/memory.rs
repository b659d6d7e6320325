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
    /// What all journals in the index take together. Those that were forgotten are not counted, however long somebody reads them: nothing
    /// that is forgotten for them would make them less.
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

    /// The generation that was made with an idempotency key, and the fingerprint of its request.
    fn of_key(index: &Index, owner: Owner, key: &IdempotencyKey) -> Option<Created> {
        let (known, earlier) = index.keys.get(&(owner, key.key.clone()))?;
        Some(if *known == key.fingerprint { Created::Replayed(*earlier) } else { Created::Mismatch })
    }

    /// See [`JobStore::create`]. Also gives the generations that were forgotten for it.
    pub(super) fn insert(&self, new: NewGeneration) -> (Created, Vec<Uuid>) {
        let id = new.record.id;
        let mut index = self.lock();
        if let Some(key) = new.key {
            if let Some(made) = Self::of_key(&index, new.owner, &key) {
                return (made, Vec::new());
            }
            index.keys.insert((new.owner, key.key), (key.fingerprint, id));
        }
        (Created::New, self.remember(&mut index, new.record, new.owner))
    }

    /// Remembers what was created before. Of two with the same idempotency key the later one was accepted.
    pub(super) fn restore(&self, new: NewGeneration) -> Vec<Uuid> {
        let mut index = self.lock();
        if let Some(key) = new.key {
            index.keys.insert((new.owner, key.key), (key.fingerprint, new.record.id));
        }
        self.remember(&mut index, new.record, new.owner)
    }

    fn remember(&self, index: &mut Index, record: GenerationRecord, owner: Owner) -> Vec<Uuid> {
        let id = record.id;
        index.journals.insert(id, Arc::new(Journal::new(record, owner, self.bytes.clone())));
        self.forget(index, id, now())
    }

    /// Whether a fact says anything new of a generation that is known.
    pub(super) fn takes(&self, id: Uuid, fact: &Fact) -> bool {
        self.journal(id).is_some_and(|journal| journal.takes(fact))
    }

    /// See [`JobStore::append`]. Gives the generations that were forgotten for it.
    pub(super) fn add(&self, id: Uuid, fact: Fact, at: Timestamp) -> Vec<Uuid> {
        let Some(journal) = self.journal(id) else { return Vec::new() };
        journal.append(fact, at);
        if self.bytes.load(Ordering::Relaxed) > self.options.bytes {
            self.forget(&mut self.lock(), id, at)
        } else {
            Vec::new()
        }
    }

    /// Remembers that a generation is to end. Tells whether that is news: it is known, has not ended, and nobody asked for it before.
    pub(super) fn cancel(&self, id: Uuid) -> bool {
        self.journal(id).is_some_and(|journal| journal.cancel())
    }

    /// Facts of a generation belong to this run of it from now on.
    pub(super) fn begin_attempt(&self, id: Uuid, attempt: u32) {
        if let Some(journal) = self.journal(id) {
            journal.begin_attempt(attempt);
        }
    }

    /// Forgets the oldest generations that have ended, until the rest is within the bounds, and gives their ids. `kept` stays in any case.
    fn forget(&self, index: &mut Index, kept: Uuid, now: Timestamp) -> Vec<Uuid> {
        let ended: Vec<(Uuid, Timestamp)> = index
            .journals
            .iter()
            .filter(|(id, _)| **id != kept)
            .filter_map(|(id, journal)| Some((*id, journal.finished_at()?)))
            .collect();
        let mut forgotten = Vec::new();
        for (id, finished_at) in ended {
            // Where the clock was set back, it has ended in the future, and is not old.
            let old = Duration::try_from(now.duration_since(finished_at)).is_ok_and(|age| age > self.options.age);
            let many = index.journals.len() > self.options.generations;
            let large = self.bytes.load(Ordering::Relaxed) > self.options.bytes;
            if old || many || large {
                index.remove(id);
                forgotten.push(id);
            }
        }
        forgotten
    }
}

impl Index {
    fn remove(&mut self, id: Uuid) {
        if let Some(journal) = self.journals.remove(&id) {
            journal.leave();
        }
        self.keys.retain(|_, (_, earlier)| *earlier != id);
    }
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn create(&self, new: NewGeneration) -> Result<Created, StoreError> {
        Ok(self.insert(new).0)
    }

    async fn discard(&self, id: Uuid) -> Result<(), StoreError> {
        self.lock().remove(id);
        Ok(())
    }

    async fn append(&self, id: Uuid, fact: Fact) -> Result<(), StoreError> {
        self.add(id, fact, now());
        Ok(())
    }

    async fn made_before(&self, owner: Owner, key: &IdempotencyKey) -> Result<Option<Created>, StoreError> {
        Ok(Self::of_key(&self.lock(), owner, key))
    }

    fn cancelling(&self, _: Uuid) {}

    async fn taking_up(&self, _: Uuid) -> Result<(), StoreError> {
        Ok(())
    }

    async fn acquit_all(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn outlives_the_process(&self) -> bool {
        false
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
