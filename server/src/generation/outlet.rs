//! Where the engine's events go: to the recorder of their generation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use x0_engine::{BatchReport, Event, EventSink, JobId};
use x0_model::Picture;

use crate::metrics::Metrics;

/// How many events of one generation may wait for its recorder, besides the facts that always find a place.
const BACKLOG: usize = 64;

/// The recorders' inboxes, by generation.
#[derive(Debug, Default)]
pub struct Inboxes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The engine is gone: nothing will come any more.
    closed: bool,
    inboxes: HashMap<JobId, Inbox>,
}

#[derive(Debug)]
struct Inbox {
    sender: mpsc::Sender<Event<Picture>>,
    /// Places kept free for facts that are still to come.
    reserved: usize,
}

impl Inboxes {
    /// Opens the inbox of a job of `images` images; `None` when the engine is gone.
    pub fn open(&self, job: JobId, images: u32) -> Option<mpsc::Receiver<Event<Picture>>> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        // Started, the images, the end.
        let reserved = images as usize + 2;
        let (sender, receiver) = mpsc::channel(BACKLOG + reserved);
        state.inboxes.insert(job, Inbox { sender, reserved });
        Some(receiver)
    }

    /// Closes the inbox of a job that the engine did not take.
    pub fn close(&self, job: JobId) {
        self.lock().inboxes.remove(&job);
    }

    /// Whether the engine's thread is alive.
    pub fn is_open(&self) -> bool {
        !self.lock().closed
    }

    /// Delivers an event; `false` if it was dropped because the recorder is behind.
    fn deliver(&self, job: JobId, event: Event<Picture>) -> bool {
        let mut state = self.lock();
        let Some(inbox) = state.inboxes.get(&job) else { return true };
        let terminal = event.is_terminal();
        let delivered = match event {
            Event::Started | Event::Image { .. } | Event::Succeeded | Event::Failed(_) | Event::Cancelled => {
                // A recorder that is gone has written the end already.
                let _ = inbox.sender.try_send(event);
                true
            }
            Event::Queued { .. } | Event::Step { .. } | Event::Preview { .. } => {
                inbox.sender.capacity() > inbox.reserved && inbox.sender.try_send(event).is_ok()
            }
        };
        if terminal {
            state.inboxes.remove(&job);
        }
        delivered
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine's end of the inboxes. It lives on the engine's thread, and when it is dropped all inboxes close: recorders that have
/// not seen the end of their generation then know that none will come.
#[derive(Debug)]
pub struct Outlet {
    inboxes: Arc<Inboxes>,
    metrics: Metrics,
}

impl Outlet {
    pub fn new(inboxes: Arc<Inboxes>, metrics: Metrics) -> Self {
        Self { inboxes, metrics }
    }
}

impl EventSink<Picture> for Outlet {
    fn event(&self, job: JobId, event: Event<Picture>) {
        if !self.inboxes.deliver(job, event) {
            self.metrics.glimpse_dropped();
        }
    }

    fn batch(&self, report: BatchReport) {
        self.metrics.batch(&report.key.model, report.slots, report.rows, report.duration);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut state = self.inboxes.lock();
        state.closed = true;
        state.inboxes.clear();
    }
}
