//! Where the engine's events go: to the recorder of their generation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use x0_engine::{BatchReport, Event, EventSink, Failure, JobId, StageReport};
use x0_model::Picture;

use crate::metrics::Metrics;
use crate::shutdown::Lifecycle;

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
    lifecycle: Lifecycle,
}

impl Outlet {
    pub fn new(inboxes: Arc<Inboxes>, metrics: Metrics, lifecycle: Lifecycle) -> Self {
        Self { inboxes, metrics, lifecycle }
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

    fn out_of_memory(&self, report: BatchReport) {
        let BatchReport { key, slots, rows, duration } = report;
        tracing::warn!(model = %key.model, images = slots, rows, "there is no memory for a model call");
        self.metrics.batch_out_of_memory(&key.model, duration);
    }

    fn stage(&self, report: StageReport) {
        self.metrics.engine_stage(&report.model, report.stage, report.duration);
    }

    fn panicked(&self) {
        self.metrics.engine_panicked();
    }

    fn device_lost(&self, failure: &Failure) {
        tracing::error!(error = failure.message, "the device is lost");
        self.lifecycle.lose_device();
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut state = self.inboxes.lock();
        state.closed = true;
        state.inboxes.clear();
    }
}

#[cfg(test)]
mod tests {
    use x0_engine::StepReport;

    use super::*;

    const JOB: JobId = JobId(7);

    fn outlet() -> (Arc<Inboxes>, Outlet) {
        let inboxes = Arc::new(Inboxes::default());
        (inboxes.clone(), Outlet::new(inboxes, Metrics::new("cpu").unwrap(), Lifecycle::new()))
    }

    fn step(step: u32) -> Event<Picture> {
        Event::Step { image: 0, step, steps: 1000, report: StepReport { timestep: 0.0, sigma: 0.0 } }
    }

    #[test]
    fn a_recorder_that_is_behind_misses_steps_but_no_fact() {
        let (inboxes, outlet) = outlet();
        let mut inbox = inboxes.open(JOB, 2).unwrap();
        for k in 0..1000 {
            outlet.event(JOB, step(k));
        }
        let picture = || Picture { width: 1, height: 1, channels: x0_model::Channels::Gray, bytes: vec![0] };
        outlet.event(JOB, Event::Started);
        outlet.event(JOB, Event::Image { image: 0, picture: picture() });
        outlet.event(JOB, Event::Image { image: 1, picture: picture() });
        outlet.event(JOB, Event::Succeeded);
        let mut events = Vec::new();
        while let Some(event) = inbox.blocking_recv() {
            events.push(event);
        }
        assert_eq!(events.len(), BACKLOG + 4, "and the inbox ends after the terminal event");
        assert_eq!(events[BACKLOG], Event::Started);
        assert_eq!(events.last(), Some(&Event::Succeeded));
    }

    #[test]
    fn the_engines_end_closes_every_inbox() {
        let (inboxes, outlet) = outlet();
        let mut inbox = inboxes.open(JOB, 1).unwrap();
        outlet.event(JOB, Event::Started);
        assert!(inboxes.is_open());
        drop(outlet);
        assert_eq!(inbox.blocking_recv(), Some(Event::Started));
        assert_eq!(inbox.blocking_recv(), None);
        assert!(!inboxes.is_open() && inboxes.open(JobId(8), 1).is_none());
    }
}
