//! An engine with the fake denoiser, and a sink that remembers everything.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use x0_engine::fake::{FakeDenoiser, Picture, Work};
use x0_engine::{
    BatchKey, BatchReport, Denoiser, Engine, EngineHandle, EngineOptions, Event, EventSink, Failure, FailureCode, Job,
    JobId, Priority, Tenant,
};

/// A test that waits longer waits for something that will not come.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Bench {
    pub(crate) engine: Engine<Work>,
    pub(crate) handle: EngineHandle<Work>,
    log: Log,
}

/// An event, without what the fake decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Queued,
    Started,
    Step(u32),
    Preview(u32),
    Image(u32),
    Succeeded,
    Failed(FailureCode),
    Cancelled,
}

/// The sink. Clones share what they remember.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Inner>);

#[derive(Default)]
struct Inner {
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Default)]
struct Entries {
    events: Vec<(JobId, Event<Picture>)>,
    batches: Vec<BatchReport>,
    /// Calls for which there was no memory.
    shortages: Vec<BatchReport>,
    /// Why the device was said to be lost.
    lost: Vec<Failure>,
    /// The sink panics when this job succeeds.
    refused: Option<JobId>,
}

impl Bench {
    pub(crate) fn new(denoiser: FakeDenoiser) -> Self {
        Self::with(EngineOptions::default(), denoiser)
    }

    pub(crate) fn with<D>(options: EngineOptions, denoiser: D) -> Self
    where
        D: Denoiser<Work = Work, Picture = Picture> + Send + 'static,
    {
        let log = Log::default();
        let engine = Engine::spawn(options, || Ok::<_, Infallible>(denoiser), log.clone()).expect("the engine starts");
        Bench { handle: engine.handle(), engine, log }
    }

    pub(crate) fn submit(&self, job: Job<Work>) {
        self.handle.submit(job).expect("the job is accepted");
    }

    /// All events of a job, once the terminal one is there.
    pub(crate) fn events(&self, id: u128) -> Vec<Event<Picture>> {
        let id = JobId(id);
        let ended = |entries: &Entries| entries.of(id).any(|event| event.is_terminal());
        let (entries, timeout) = self
            .log
            .0
            .changed
            .wait_timeout_while(self.log.lock(), PATIENCE, |entries| !ended(entries))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "job {id:?} does not end");
        entries.of(id).cloned().collect()
    }

    /// The same in short; a place in the queue that changes on the way counts once.
    pub(crate) fn story(&self, id: u128) -> Vec<Came> {
        let mut story: Vec<Came> = self.events(id).iter().map(Came::from).collect();
        story.dedup_by(|a, b| a == b && *a == Came::Queued);
        story
    }

    /// How a job ended, once it has. There is one terminal event, and it is the last.
    pub(crate) fn end(&self, id: u128) -> Came {
        let events = self.events(id);
        assert_eq!(events.iter().filter(|event| event.is_terminal()).count(), 1);
        Came::from(events.last().expect("a terminal event"))
    }

    /// The finished picture of an image.
    pub(crate) fn picture(&self, id: u128, index: u32) -> Picture {
        let picture = |event: &Event<Picture>| match event {
            Event::Image { image, picture } if *image == index => Some(picture.clone()),
            Event::Image { .. }
            | Event::Queued { .. }
            | Event::Started
            | Event::Step { .. }
            | Event::Preview { .. }
            | Event::Succeeded
            | Event::Failed(_)
            | Event::Cancelled => None,
        };
        self.events(id).iter().find_map(picture).expect("the image was finished")
    }

    pub(crate) fn batches(&self) -> Vec<BatchReport> {
        self.log.lock().batches.clone()
    }

    pub(crate) fn shortages(&self) -> Vec<BatchReport> {
        self.log.lock().shortages.clone()
    }

    /// Makes the sink panic when this job succeeds.
    pub(crate) fn refuse(&self, id: u128) {
        self.log.lock().refused = Some(JobId(id));
    }

    /// Drains the engine, waits for its end, and leaves the log.
    pub(crate) fn join(self) -> Log {
        self.engine.join();
        self.log
    }
}

impl Log {
    /// How each of the jobs ended; every one exactly once.
    pub(crate) fn ends(&self, ids: impl IntoIterator<Item = u128>) -> Vec<Came> {
        let entries = self.lock();
        let end = |id| {
            let mut ends = entries.of(JobId(id)).filter(|event| event.is_terminal());
            let end = ends.next().expect("every job ends");
            assert!(ends.next().is_none(), "job {id} ended twice");
            Came::from(end)
        };
        ids.into_iter().map(end).collect()
    }

    /// The jobs in the order in which they ended.
    pub(crate) fn ended(&self) -> Vec<JobId> {
        self.lock().events.iter().filter(|(_, event)| event.is_terminal()).map(|(id, _)| *id).collect()
    }

    pub(crate) fn lost(&self) -> Vec<Failure> {
        self.lock().lost.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn of(&self, id: JobId) -> impl Iterator<Item = &Event<Picture>> {
        self.events.iter().filter(move |(of, _)| *of == id).map(|(_, event)| event)
    }
}

impl EventSink<Picture> for Log {
    fn event(&self, job: JobId, event: Event<Picture>) {
        let mut entries = self.lock();
        let refused = entries.refused == Some(job) && event == Event::Succeeded;
        entries.events.push((job, event));
        self.0.changed.notify_all();
        drop(entries);
        assert!(!refused, "the sink was told to panic");
    }

    fn batch(&self, report: BatchReport) {
        self.lock().batches.push(report);
    }

    fn out_of_memory(&self, report: BatchReport) {
        self.lock().shortages.push(report);
    }

    fn device_lost(&self, failure: &Failure) {
        self.lock().lost.push(failure.clone());
    }
}

impl From<&Event<Picture>> for Came {
    fn from(event: &Event<Picture>) -> Self {
        match event {
            Event::Queued { .. } => Came::Queued,
            Event::Started => Came::Started,
            Event::Step { step, .. } => Came::Step(*step),
            Event::Preview { step, .. } => Came::Preview(*step),
            Event::Image { image, .. } => Came::Image(*image),
            Event::Succeeded => Came::Succeeded,
            Event::Failed(failure) => Came::Failed(failure.code),
            Event::Cancelled => Came::Cancelled,
        }
    }
}

pub(crate) fn count(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("a count is at least one")
}

/// A job of one image of two rows; its seed is its id.
pub(crate) fn job(id: u128, steps: u32) -> Job<Work> {
    let work = Work { seed: id as u64, steps, ..Work::default() };
    Job {
        id: JobId(id),
        key: BatchKey { model: "fake".into(), height: 8, width: 8, context: 0 },
        tenant: Tenant(0),
        priority: Priority::Normal,
        images: NonZeroU32::MIN,
        steps: count(steps),
        second_pass: None,
        rows: count(work.rows),
        preview_every: None,
        deadline: None,
        work: work.into(),
    }
}
