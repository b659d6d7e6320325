//! Accepting generations, waiting for them, and cancelling them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span, error_span};
use uuid::Uuid;
use x0_engine::{EngineHandle, JobId, Rejected, Snapshot};
use x0_openapi::{Event, GenerationRecord, OnDisconnect};

use super::Fact;
use super::outlet::Inboxes;
use super::own::Own;
use super::recorder::{Recorder, tell_end};
use crate::auth::{Budget, Caller, Exceeded, Hold, Owner};
use crate::clock::now;
use crate::metrics::{Metrics, Outcome};
use crate::store::{Created, Followed, IdempotencyKey, JobStore, NewGeneration, StoreError};
use crate::telemetry::{Trail, adopt};
use crate::validate::{Order, Work};

/// Bounds of what a refused client is told to wait.
const LEAST_RETRY: Duration = Duration::from_secs(1);
const MOST_RETRY: Duration = Duration::from_secs(3600);

/// Takes orders to the store and to the engine. Clones are the same.
#[derive(Clone, Debug)]
pub struct Generations {
    store: Arc<dyn JobStore>,
    engine: EngineHandle<Work>,
    inboxes: Arc<Inboxes>,
    metrics: Metrics,
    encoders: Arc<Semaphore>,
    /// The recorders that are at work.
    recorders: TaskTracker,
    /// What an earlier process left and the engine has not got yet.
    waiting: Arc<Mutex<HashMap<Uuid, Waiting>>>,
}

/// A generation that an earlier process left, and that the engine has not got yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) model: String,
    pub(super) images: u32,
    pub(super) accepted: Instant,
    /// Shared with whoever works on it afterwards.
    pub(super) place: Option<Arc<Hold>>,
}

/// A remembered generation on its way to the engine.
#[derive(Debug)]
pub(super) struct Submission<'a> {
    pub(super) id: Uuid,
    pub(super) owner: Owner,
    pub(super) order: &'a Order,
    pub(super) accepted: Instant,
    /// Whether its place in the queue was written down.
    pub(super) queued: bool,
    /// What it takes of what its caller may use, until it has ended.
    pub(super) place: Option<Arc<Hold>>,
    pub(super) trail: Option<Trail>,
}

/// An order that was accepted.
#[derive(Debug)]
pub struct Accepted {
    pub record: GenerationRecord,
    /// Whether an equal request with the same idempotency key made the generation before.
    pub replayed: bool,
    /// For as long as the client waits. It does nothing if the request says that the generation is kept, or if it was made before.
    pub cancel: CancelOnDrop,
}

/// Why an order was not accepted. Nothing is kept of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    #[error("the queue is full")]
    QueueFull { retry_after: Duration },
    #[error("as many of this key's generations wait and run as it may have ({limit})")]
    QueueQuota { limit: u32, retry_after: Duration },
    #[error("this key may ask for {} pixels times steps a minute, and has not so many left", .0.limit)]
    CostQuota(Budget),
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("the engine is not running")]
    EngineGone,
    #[error("the idempotency key was used for another request")]
    KeyMismatch,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Generations {
    pub fn new(store: Arc<dyn JobStore>, engine: EngineHandle<Work>, inboxes: Arc<Inboxes>, metrics: Metrics) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let encoders = Arc::new(Semaphore::new(processors));
        Self { store, engine, inboxes, metrics, encoders, recorders: TaskTracker::new(), waiting: Arc::default() }
    }

    /// What a caller can reach of it.
    pub fn of<'a>(&'a self, caller: &'a Caller) -> Own<'a> {
        Own::new(self, caller)
    }

    pub(super) fn store(&self) -> &dyn JobStore {
        &*self.store
    }

    pub(super) async fn accept(
        &self,
        caller: Caller,
        order: Order,
        key: Option<IdempotencyKey>,
    ) -> Result<Accepted, Refused> {
        // On a task of its own: a client that goes away in the middle must not leave a generation that nobody works on. What was accepted for
        // it is then dropped here, which cancels it if that is what the request says.
        let (this, trail) = (self.clone(), Trail::current());
        let accepting = tokio::spawn(async move { this.accept_whole(caller, order, key, trail).await });
        accepting.await.unwrap_or(Err(Refused::EngineGone))
    }

    async fn accept_whole(
        &self,
        caller: Caller,
        mut order: Order,
        key: Option<IdempotencyKey>,
        trail: Option<Trail>,
    ) -> Result<Accepted, Refused> {
        let owner = caller.owner();
        if let Some(key) = &key
            && let Some(made) = self.store.made_before(owner, key).await?
        {
            return self.replayed(owner, made).await;
        }
        let ahead = self.engine.snapshot();
        let place = self.place(&caller, &order, ahead)?.map(Arc::new);
        let (id, request) = (Uuid::now_v7(), order.take_request());
        let mut record = order.record(id, now());
        record.position = u32::try_from(ahead.queued + ahead.running).ok();
        match self.store.create(NewGeneration { record: record.clone(), owner, key, request }).await? {
            Created::New => {}
            made @ (Created::Replayed(_) | Created::Mismatch) => return self.replayed(owner, made).await,
        }
        let accepted = Instant::now();
        let submission = Submission { id, owner, order: &order, accepted, queued: false, place, trail };
        if let Err(refused) = self.submit(submission) {
            self.store.discard(id).await?;
            return Err(refused);
        }
        self.metrics.job_submitted(&record.model, record.request.priority);
        let cancel = CancelOnDrop::new(self, id, record.request.on_disconnect == OnDisconnect::Cancel);
        Ok(Accepted { record, replayed: false, cancel })
    }

    /// What an equal request made before.
    async fn replayed(&self, owner: Owner, made: Created) -> Result<Accepted, Refused> {
        let record = match made {
            Created::Replayed(earlier) => self.store.get(owner, earlier).await?,
            Created::New | Created::Mismatch => None,
        };
        let record = record.ok_or(Refused::KeyMismatch)?;
        let cancel = CancelOnDrop::new(self, record.id, false);
        Ok(Accepted { record, replayed: true, cancel })
    }

    /// Hands a remembered generation to the engine, with someone who writes down what becomes of it.
    pub(super) fn submit(&self, submission: Submission<'_>) -> Result<(), Refused> {
        let Submission { id, owner, order, accepted, queued, place, trail } = submission;
        let request = order.resolved();
        let waits = self.metrics.job_waits(&request.model, request.priority);
        let job = order.job(id, owner.tenant(), accepted);
        let inbox = self.inboxes.open(job.id, job.images.get()).ok_or(Refused::EngineGone)?;
        if let Err(rejected) = self.engine.submit(job) {
            self.inboxes.close(JobId(id.as_u128()));
            return Err(match rejected {
                Rejected::QueueFull { retry_after } => Refused::QueueFull { retry_after },
                Rejected::Draining if self.inboxes.is_open() => Refused::ShuttingDown,
                Rejected::Draining => Refused::EngineGone,
            });
        }
        let span = span(id, owner, order, trail);
        let recorder = Recorder {
            id,
            order: order.clone(),
            store: self.store.clone(),
            engine: self.engine.clone(),
            metrics: self.metrics.clone(),
            encoders: self.encoders.clone(),
            accepted,
            queued,
            waits: Some(waits),
            phase: span.in_scope(|| error_span!("queue")),
        };
        let recording = async move {
            recorder.run(inbox).await;
            drop(place);
        };
        self.recorders.spawn(recording.instrument(span));
        Ok(())
    }

    /// Takes what the order costs from what its caller may use.
    fn place(&self, caller: &Caller, order: &Order, ahead: Snapshot) -> Result<Option<Hold>, Refused> {
        let retry_after = ahead.expected.clamp(LEAST_RETRY, MOST_RETRY);
        // Nothing is written and nothing is paid for what the engine is about to refuse. What an earlier process accepted has its place.
        if self.inboxes.is_open() && ahead.queued + ahead.running + self.waiting().len() >= ahead.max_jobs {
            return Err(Refused::QueueFull { retry_after });
        }
        let Some(allowance) = caller.allowance() else { return Ok(None) };
        allowance.job(order.pixel_steps()).map(Some).map_err(|exceeded| match exceeded {
            Exceeded::Jobs(limit) => Refused::QueueQuota { limit, retry_after },
            Exceeded::PixelSteps(budget) => Refused::CostQuota(budget),
        })
    }

    /// Asks for the end of a generation; it comes with the next step.
    pub(super) fn cancel(&self, id: Uuid) {
        if !self.end_waiting(id, Fact::Cancelled, Outcome::Cancelled) {
            self.store.cancelling(id);
            self.engine.cancel(JobId(id.as_u128()));
        }
    }

    /// Ends a generation that waits for the engine, so that nobody else writes to it. Tells whether it was one.
    pub(super) fn end_waiting(&self, id: Uuid, fact: Fact, outcome: Outcome) -> bool {
        let Some(waiting) = self.waiting().remove(&id) else { return false };
        let (store, metrics) = (self.store.clone(), self.metrics.clone());
        let ending = async move {
            let Waiting { model, images, accepted, place } = waiting;
            if let Err(error) = store.append(id, fact).await {
                tracing::error!(%error, "the end of a generation could not be stored");
            }
            tell_end(&metrics, &model, images, outcome, accepted);
            drop(place);
        };
        let span = error_span!(parent: None, "image_generation", generation = %id);
        self.recorders.spawn(ending.instrument(span));
        true
    }

    pub(super) fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, Waiting>> {
        // Nothing panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Waits for the end of a generation and gives its record; `None` if it is not known. The record is the fold of the events that
    /// the stream shows.
    pub(super) async fn ended(&self, owner: Owner, id: Uuid) -> Result<Option<GenerationRecord>, StoreError> {
        let Some(Followed::Stream(mut deliveries)) = self.store.follow(owner, id, None).await? else {
            return Ok(None);
        };
        while let Some(delivery) = deliveries.next().await {
            match &*delivery.event {
                Event::Succeeded(record) | Event::Failed(record) | Event::Cancelled(record) => {
                    return Ok(Some((**record).clone()));
                }
                Event::Snapshot(_)
                | Event::Queued(_)
                | Event::Started(_)
                | Event::Step(_)
                | Event::Preview(_)
                | Event::Image(_)
                | Event::Shutdown(_) => {}
            }
        }
        self.store.get(owner, id).await
    }

    /// What does not end before the process does is left to the next one, and is not to blame for it, unless the engine broke down before.
    pub async fn acquit(&self) {
        if !self.inboxes.is_open() {
            return;
        }
        if let Err(error) = self.store.acquit_all().await {
            tracing::error!(%error, "what was not finished will count as if it had broken down");
        }
    }

    /// Waits until everything that the engine told of was written down. No order may be accepted any more.
    pub async fn settled(&self) {
        self.recorders.close();
        self.recorders.wait().await;
    }
}

/// The span of a generation. It outlives that of its request, and so is not within it, but knows it.
fn span(id: Uuid, owner: Owner, order: &Order, trail: Option<Trail>) -> Span {
    let span = error_span!(
        parent: None,
        "image_generation",
        generation = %id,
        request_id = trail.as_ref().map(|trail| trail.request_id.as_str()),
        trace_id = trail.as_ref().map(|trail| trail.span.trace_id()),
        key_id = owner.0.map(tracing::field::display),
        model = order.resolved().model,
    );
    adopt(&span, trail.map(|trail| trail.span));
    span
}

/// Cancels a generation when it is dropped, unless it was disarmed: for the time in which a client waits for its answer.
#[derive(Debug)]
pub struct CancelOnDrop {
    generations: Option<Generations>,
    id: Uuid,
}

impl CancelOnDrop {
    /// A guard that does nothing if not `armed`.
    pub fn new(generations: &Generations, id: Uuid, armed: bool) -> Self {
        Self { generations: armed.then(|| generations.clone()), id }
    }

    pub fn disarm(&mut self) {
        self.generations = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(generations) = &self.generations {
            tracing::info!(generation = %self.id, "the client went away; cancelling");
            generations.cancel(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use x0_engine::fake::{self, FakeDenoiser, Gate};
    use x0_engine::{Engine, EngineOptions};
    use x0_model::{Channels, Picture};
    use x0_openapi::State;

    use super::*;
    use crate::generation::Outlet;
    use crate::samples;
    use crate::shutdown::Lifecycle;
    use crate::store::{MemoryStore, MemoryStoreOptions, Page};

    #[tokio::test]
    async fn who_goes_away_before_it_is_accepted_cancels_it_too() {
        for (on_disconnect, expected) in
            [(OnDisconnect::Cancel, State::Cancelled), (OnDisconnect::Keep, State::Succeeded)]
        {
            let options = MemoryStoreOptions { generations: 1, bytes: 1 << 20, age: Duration::from_secs(60) };
            let (inboxes, metrics) = (Arc::new(Inboxes::default()), Metrics::new("cpu").unwrap());
            let gate = Gate::new();
            let paint = |_| Picture { width: 8, height: 8, channels: Channels::Gray, bytes: vec![7; 64] };
            let read = |_: &Work| fake::Work { steps: samples::STEPS, ..fake::Work::default() };
            let denoiser = FakeDenoiser::adapted(read, paint).through(&gate);
            let outlet = Outlet::new(inboxes.clone(), metrics.clone(), Lifecycle::new());
            let engine = Engine::spawn(EngineOptions::default(), || Ok::<_, Infallible>(denoiser), outlet).unwrap();
            let generations = Generations::new(Arc::new(MemoryStore::new(options)), engine.handle(), inboxes, metrics);

            let caller = Caller::Anyone { admin: false };
            let order = samples::order_with(1, |request| request.on_disconnect = on_disconnect);
            let mut accepting = Box::pin(generations.accept(caller.clone(), order, None));
            assert!(futures::poll!(&mut accepting).is_pending());
            drop(accepting);

            let own = generations.of(&caller);
            let id = loop {
                tokio::task::yield_now().await;
                let known = own.list(Page { limit: 1, after: None, state: None }).await.unwrap();
                if let Some(record) = known.data.first() {
                    break record.id;
                }
            };
            // What it was accepted by has nothing more to do but to be dropped.
            tokio::task::yield_now().await;
            gate.open();
            assert_eq!(own.ended(id).await.unwrap().unwrap().state, expected);
        }
    }
}
