//! One generation in memory: its record, its facts, its files, and the latest glimpses.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use tokio::sync::watch;
use x0_openapi::{Event, GenerationRecord};

use super::{Delivery, StoredImage};
use crate::auth::Owner;
use crate::generation::{EventId, Fact, Fold, Glimpse};

/// How many glimpses are kept for those who are slow to read.
const GLIMPSES: usize = 64;
/// How many bytes of previews are kept for those who are slow to read; the latest preview always is.
const PREVIEW_BYTES: usize = 4 << 20;

/// A generation's memory, shared by its writer and those who follow it.
///
/// A reader holds only its place. It gets every fact, however slow it is; glimpses that were pushed out before it came to them
/// are missed. So a slow reader costs neither memory nor the writer's time.
#[derive(Debug)]
pub(super) struct Journal {
    owner: Owner,
    state: Mutex<State>,
    /// Ticks whenever there is more to read.
    changed: watch::Sender<()>,
    /// The bytes of all journals that the store remembers.
    total: Arc<AtomicU64>,
}

#[derive(Debug)]
struct State {
    fold: Fold,
    /// By index.
    files: Vec<Option<StoredImage>>,
    /// Each by its name, in order.
    facts: Vec<(EventId, Entry)>,
    /// The run of the generation that facts belong to from now on.
    attempt: u32,
    glimpses: VecDeque<Entry>,
    /// The number of the next entry, fact or glimpse.
    next: u64,
    /// This journal's share of [`Journal::total`]; `None` when it counts no more.
    bytes: Option<u64>,
    /// Whether somebody asked for its end.
    cancelling: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Facts and glimpses in the order in which they happened.
    number: u64,
    event: Arc<Event>,
}

impl Entry {
    /// What it takes of memory, as far as it is much.
    fn bytes(&self) -> usize {
        match &*self.event {
            Event::Preview(preview) => preview.b64.len(),
            Event::Image(image) => image.b64.as_ref().map_or(0, String::len),
            Event::Snapshot(_)
            | Event::Queued(_)
            | Event::Started(_)
            | Event::Step(_)
            | Event::Succeeded(_)
            | Event::Failed(_)
            | Event::Cancelled(_)
            | Event::Shutdown(_) => 0,
        }
    }
}

impl Journal {
    pub(super) fn new(record: GenerationRecord, owner: Owner, total: Arc<AtomicU64>) -> Self {
        let files = vec![None; record.request.n as usize];
        let fold = Fold::new(record);
        let state = State {
            fold,
            files,
            facts: Vec::new(),
            attempt: 1,
            glimpses: VecDeque::new(),
            next: 0,
            bytes: Some(0),
            cancelling: false,
        };
        Self { owner, state: Mutex::new(state), changed: watch::Sender::new(()), total }
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    pub(super) fn record(&self) -> GenerationRecord {
        self.lock().fold.record().clone()
    }

    /// When it ended, if it has.
    pub(super) fn finished_at(&self) -> Option<Timestamp> {
        self.lock().fold.record().finished_at
    }

    pub(super) fn image(&self, index: u32) -> Option<StoredImage> {
        self.lock().files.get(index as usize)?.clone()
    }

    /// Whether a fact says anything new.
    pub(super) fn takes(&self, fact: &Fact) -> bool {
        self.lock().fold.takes(fact)
    }

    /// Facts belong to this run of the generation from now on.
    pub(super) fn begin_attempt(&self, attempt: u32) {
        self.lock().attempt = attempt;
    }

    /// Remembers that it is to end. Tells whether that is news: it has not ended, and nobody asked for it before.
    pub(super) fn cancel(&self) -> bool {
        let mut state = self.lock();
        !state.has_ended() && !std::mem::replace(&mut state.cancelling, true)
    }

    /// The store has forgotten it: what it takes is no more of the store's, though somebody may still read it.
    pub(super) fn leave(&self) {
        let bytes = self.lock().bytes.take();
        self.total.fetch_sub(bytes.unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn append(&self, fact: Fact, at: Timestamp) {
        let mut state = self.lock();
        let file = match &fact {
            Fact::Image(image) => {
                Some((image.record.index, StoredImage { format: image.record.format, file: image.file.clone() }))
            }
            Fact::Queued { .. } | Fact::Started | Fact::Succeeded | Fact::Failed(_) | Fact::Cancelled => None,
        };
        let Some(event) = state.fold.fact(fact, at) else { return };
        if let Some((index, image)) = file
            && let Some(place) = state.files.get_mut(index as usize)
        {
            *place = Some(image);
        }
        let entry = state.number(event);
        let id = state.next_id();
        state.facts.push((id, entry));
        if state.has_ended() && self.changed.receiver_count() == 0 {
            state.glimpses.clear();
        }
        self.account(&mut state);
        drop(state);
        self.changed.send_replace(());
    }

    pub(super) fn show(&self, glimpse: Glimpse) {
        let mut state = self.lock();
        let Some(event) = state.fold.glimpse(glimpse) else { return };
        let entry = state.number(event);
        state.glimpses.push_back(entry);
        state.push_out_glimpses();
        self.account(&mut state);
        drop(state);
        self.changed.send_replace(());
    }

    /// Whether `after` is the last fact there will be.
    pub(super) fn ends_with(&self, after: Option<EventId>) -> bool {
        let state = self.lock();
        state.has_ended() && state.facts_up_to(after) == state.facts.len()
    }

    pub(super) fn follow(self: Arc<Self>, after: Option<EventId>) -> BoxStream<'static, Delivery> {
        let changed = self.changed.subscribe();
        let state = self.lock();
        let facts_read = state.facts_up_to(after);
        // Of what was shown before, only the latest preview is worth showing again.
        let glimpses_read = state.latest_preview().unwrap_or(state.next);
        drop(state);
        let follower =
            Follower { journal: self, changed, snapshot_read: false, facts_read, glimpses_read, ended: false };
        stream::unfold(follower, |mut follower| async { Some((follower.next().await?, follower)) }).boxed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and every change below leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self, state: &mut State) {
        let Some(before) = state.bytes else { return };
        let files: usize = state.files.iter().flatten().map(|image| image.file.len()).sum();
        let facts = state.facts.iter().map(|(_, entry)| entry);
        let events: usize = facts.chain(&state.glimpses).map(Entry::bytes).sum();
        let bytes = (files + events) as u64;
        state.bytes = Some(bytes);
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.total.fetch_sub(before, Ordering::Relaxed);
    }
}

impl State {
    fn has_ended(&self) -> bool {
        self.fold.record().state.is_terminal()
    }

    fn number(&mut self, event: Event) -> Entry {
        let number = self.next;
        self.next += 1;
        Entry { number, event: Arc::new(event) }
    }

    /// What the next fact is called.
    fn next_id(&self) -> EventId {
        let n = match self.facts.last() {
            Some((last, _)) if last.attempt == self.attempt => last.n + 1,
            Some(_) | None => 1,
        };
        EventId { attempt: self.attempt, n }
    }

    /// How many facts a reader has who has read `after`.
    fn facts_up_to(&self, after: Option<EventId>) -> usize {
        let place = |after| self.facts.iter().position(|(id, _)| *id == after);
        after.and_then(place).map_or(0, |place| place + 1)
    }

    fn latest_preview(&self) -> Option<u64> {
        self.glimpses.iter().rev().find(|entry| matches!(*entry.event, Event::Preview(_))).map(|entry| entry.number)
    }

    /// Keeps the glimpses within their bounds.
    fn push_out_glimpses(&mut self) {
        let mut bytes: usize = self.glimpses.iter().map(Entry::bytes).sum();
        while let Some(entry) = self.superfluous(bytes).and_then(|place| self.glimpses.remove(place)) {
            bytes -= entry.bytes();
        }
    }

    /// Where the glimpse is that can be spared best: an old preview, then the oldest step; never the latest preview.
    fn superfluous(&self, bytes: usize) -> Option<usize> {
        let latest = self.latest_preview();
        let old = |entry: &Entry| Some(entry.number) != latest;
        let old_preview =
            || self.glimpses.iter().position(|entry| old(entry) && matches!(*entry.event, Event::Preview(_)));
        let oldest = || self.glimpses.iter().position(old);
        if self.glimpses.len() > GLIMPSES {
            old_preview().or_else(oldest)
        } else if bytes > PREVIEW_BYTES {
            old_preview()
        } else {
            None
        }
    }
}

/// A reader's place in a journal.
struct Follower {
    journal: Arc<Journal>,
    changed: watch::Receiver<()>,
    snapshot_read: bool,
    facts_read: usize,
    /// The number of the first glimpse that was not read.
    glimpses_read: u64,
    ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            if self.ended {
                return None;
            }
            self.changed.borrow_and_update();
            if let Some(delivery) = self.read() {
                return Some(delivery);
            }
            // The journal is held by this follower, so its sender is alive.
            self.changed.changed().await.ok()?;
        }
    }

    fn read(&mut self) -> Option<Delivery> {
        let state = self.journal.lock();
        if !self.snapshot_read {
            self.snapshot_read = true;
            let snapshot = Event::Snapshot(Box::new(state.fold.record().clone()));
            return Some(Delivery { id: None, event: Arc::new(snapshot) });
        }
        let fact = state.facts.get(self.facts_read);
        let glimpse = state.glimpses.iter().find(|entry| entry.number >= self.glimpses_read);
        if let Some(glimpse) = glimpse.filter(|glimpse| fact.is_none_or(|(_, fact)| glimpse.number < fact.number)) {
            self.glimpses_read = glimpse.number + 1;
            return Some(Delivery { id: None, event: glimpse.event.clone() });
        }
        let (id, fact) = fact?;
        let (id, event) = (Some(*id), fact.event.clone());
        self.facts_read += 1;
        self.ended = state.has_ended() && self.facts_read == state.facts.len();
        Some(Delivery { id, event })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = self.journal.lock();
        if state.has_ended() && self.journal.changed.receiver_count() == 1 {
            state.glimpses.clear();
            self.journal.account(&mut state);
        }
    }
}
