//! What the engine's thread and its handles share.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::handle::{Rejected, Snapshot};
use crate::{Clock, Job, JobId};

/// Stands for "waiting for jobs" in [`Shared::progress`].
const IDLE: u64 = u64::MAX;

/// Bounds of what a refused client is told to wait.
const LEAST_RETRY: Duration = Duration::from_secs(1);
const MOST_RETRY: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
pub(super) struct Shared<W> {
    pub(super) clock: Clock,
    max_jobs: usize,
    /// Held for moments only, never while the denoiser or the sink is called.
    state: Mutex<State<W>>,
    /// Told when something came in.
    wake: Condvar,
    /// When the time was first read.
    epoch: Instant,
    /// Nanoseconds from the epoch to the thread's last sign of life, or [`IDLE`].
    progress: AtomicU64,
}

#[derive(Debug)]
struct State<W> {
    /// Not yet seen by the thread.
    submitted: Vec<Job<W>>,
    cancelled: Vec<JobId>,
    /// The accepted jobs that have not had their terminal event. Whoever removes one sends it.
    live: BTreeMap<JobId, Live>,
    drain: Option<Instant>,
    /// The thread takes nothing any more.
    ended: bool,
    slots: usize,
    expected: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    since: Instant,
    started: bool,
    /// Whether its end was asked for.
    cancelled: bool,
}

/// What came in since the thread last looked.
#[derive(Debug)]
pub(super) struct Received<W> {
    pub(super) submitted: Vec<Job<W>>,
    pub(super) cancelled: Vec<JobId>,
    pub(super) drain: Option<Instant>,
}

impl<W> Shared<W> {
    pub(super) fn new(max_jobs: usize, clock: Clock) -> Self {
        let state = State {
            submitted: Vec::new(),
            cancelled: Vec::new(),
            live: BTreeMap::new(),
            drain: None,
            ended: false,
            slots: 0,
            expected: Duration::ZERO,
        };
        let epoch = clock.now();
        let (state, wake) = (Mutex::new(state), Condvar::new());
        Shared { clock, max_jobs, state, wake, epoch, progress: AtomicU64::new(0) }
    }

    pub(super) fn submit(&self, job: Job<W>) -> Result<(), Rejected> {
        let since = self.clock.now();
        let mut state = self.lock();
        if state.ended || state.drain.is_some() {
            return Err(Rejected::Draining);
        }
        if state.live.contains_key(&job.id) {
            return Ok(());
        }
        if state.live.len() >= self.max_jobs {
            return Err(Rejected::QueueFull { retry_after: state.expected.clamp(LEAST_RETRY, MOST_RETRY) });
        }
        state.live.insert(job.id, Live { since, started: false, cancelled: false });
        state.submitted.push(job);
        self.wake.notify_one();
        Ok(())
    }

    pub(super) fn cancel(&self, id: JobId) {
        let mut state = self.lock();
        if let Some(job) = state.live.get_mut(&id)
            && !mem::replace(&mut job.cancelled, true)
        {
            state.cancelled.push(id);
            self.wake.notify_one();
        }
    }

    pub(super) fn drain(&self, deadline: Instant) {
        let mut state = self.lock();
        state.drain = Some(state.drain.map_or(deadline, |earlier| earlier.min(deadline)));
        self.wake.notify_one();
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let now = self.clock.now();
        let state = self.lock();
        let waiting = || state.live.values().filter(|job| !job.started);
        Snapshot {
            queued: waiting().count(),
            running: state.live.len() - waiting().count(),
            slots: state.slots,
            oldest_queued: waiting().map(|job| now.saturating_duration_since(job.since)).max(),
            expected: state.expected,
            max_jobs: self.max_jobs,
            draining: state.ended || state.drain.is_some(),
        }
    }

    pub(super) fn last_progress(&self) -> Instant {
        match self.progress.load(Ordering::Acquire) {
            IDLE => self.clock.now(),
            nanos => self.epoch + Duration::from_nanos(nanos),
        }
    }

    /// The thread is alive.
    pub(super) fn stamp(&self) {
        let nanos = self.clock.now().saturating_duration_since(self.epoch).as_nanos();
        self.progress.store(u64::try_from(nanos).unwrap_or(IDLE - 1), Ordering::Release);
    }

    /// Takes what came in; waits for something if there is no job to go on with. `None` when nothing will come any more.
    pub(super) fn receive(&self, idle: bool) -> Option<Received<W>> {
        let mut state = self.lock();
        while idle && state.submitted.is_empty() && state.cancelled.is_empty() {
            if state.drain.is_some() {
                state.ended = true;
                return None;
            }
            self.progress.store(IDLE, Ordering::Release);
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.stamp();
        let State { submitted, cancelled, drain, .. } = &mut *state;
        Some(Received { submitted: mem::take(submitted), cancelled: mem::take(cancelled), drain: *drain })
    }

    /// Makes known how much is under way.
    pub(super) fn publish(&self, slots: usize, expected: Duration) {
        let mut state = self.lock();
        (state.slots, state.expected) = (slots, expected);
    }

    /// Takes note that a job is begun; whether that is news.
    pub(super) fn start(&self, id: JobId) -> bool {
        self.lock().live.get_mut(&id).is_some_and(|job| !std::mem::replace(&mut job.started, true))
    }

    /// Gives up a job's place. True once for each accepted job: for who is to send the terminal event.
    pub(super) fn release(&self, id: JobId) -> bool {
        self.lock().live.remove(&id).is_some()
    }

    /// Takes no job any more, and gives up the places of all that are left.
    pub(super) fn end(&self) -> Vec<JobId> {
        let mut state = self.lock();
        state.ended = true;
        state.submitted.clear();
        state.cancelled.clear();
        (state.slots, state.expected) = (0, Duration::ZERO);
        mem::take(&mut state.live).into_keys().collect()
    }

    /// Nothing panics while it holds the lock, so a poisoned state is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
