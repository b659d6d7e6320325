//! Accepting generations, waiting for them, and cancelling them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use uuid::Uuid;
use x0_engine::{EngineHandle, JobId, Rejected};
use x0_openapi::{Event, GenerationRecord};

use super::outlet::Inboxes;
use super::recorder::Recorder;
use crate::clock::now;
use crate::metrics::Metrics;
use crate::store::{Created, Followed, IdempotencyKey, JobStore, NewGeneration, StoreError};
use crate::validate::{Order, Work};

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
}

/// An order that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub record: GenerationRecord,
    /// Whether an equal request with the same idempotency key made the generation before.
    pub replayed: bool,
}

/// Why an order was not accepted. Nothing is kept of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    #[error("the queue is full")]
    QueueFull { retry_after: Duration },
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
        Self { store, engine, inboxes, metrics, encoders, recorders: TaskTracker::new() }
    }

    pub fn store(&self) -> &dyn JobStore {
        &*self.store
    }

    /// Accepts an order: it is remembered, the engine has it, and it will reach exactly one terminal state.
    pub async fn accept(&self, order: Order, key: Option<IdempotencyKey>) -> Result<Accepted, Refused> {
        // On a task of its own: a client that goes away in the middle must not leave a generation that nobody works on.
        let this = self.clone();
        let accepting = tokio::spawn(async move { this.accept_whole(order, key).await });
        accepting.await.unwrap_or(Err(Refused::EngineGone))
    }

    async fn accept_whole(&self, order: Order, key: Option<IdempotencyKey>) -> Result<Accepted, Refused> {
        let id = Uuid::now_v7();
        let mut record = order.record(id, now());
        let ahead = self.engine.snapshot();
        record.position = u32::try_from(ahead.queued + ahead.running).ok();
        match self.store.create(NewGeneration { record: record.clone(), key }).await? {
            Created::New => {}
            Created::Replayed(earlier) => {
                let record = self.store.get(earlier).await?.ok_or(Refused::KeyMismatch)?;
                return Ok(Accepted { record, replayed: true });
            }
            Created::Mismatch => return Err(Refused::KeyMismatch),
        }
        if let Err(refused) = self.submit(id, &order) {
            self.store.discard(id).await?;
            return Err(refused);
        }
        self.metrics.job_submitted(&record.model, record.request.priority);
        Ok(Accepted { record, replayed: false })
    }

    /// Hands a remembered generation to the engine, with someone who writes down what becomes of it.
    fn submit(&self, id: Uuid, order: &Order) -> Result<(), Refused> {
        let now = Instant::now();
        let job = order.job(id, now);
        let inbox = self.inboxes.open(job.id, job.images.get()).ok_or(Refused::EngineGone)?;
        if let Err(rejected) = self.engine.submit(job) {
            self.inboxes.close(JobId(id.as_u128()));
            return Err(match rejected {
                Rejected::QueueFull { retry_after } => Refused::QueueFull { retry_after },
                Rejected::Draining if self.inboxes.is_open() => Refused::ShuttingDown,
                Rejected::Draining => Refused::EngineGone,
            });
        }
        let recorder = Recorder {
            id,
            order: order.clone(),
            store: self.store.clone(),
            engine: self.engine.clone(),
            metrics: self.metrics.clone(),
            encoders: self.encoders.clone(),
            accepted: now,
            queued: false,
        };
        self.recorders.spawn(recorder.run(inbox));
        Ok(())
    }

    /// Asks for the end of a generation; it comes with the next step.
    pub fn cancel(&self, id: Uuid) {
        self.engine.cancel(JobId(id.as_u128()));
    }

    /// Waits for the end of a generation and gives its record; `None` if it is not known. The record is the fold of the events that
    /// the stream shows.
    pub async fn ended(&self, id: Uuid) -> Result<Option<GenerationRecord>, StoreError> {
        let Some(Followed::Stream(mut deliveries)) = self.store.follow(id, None).await? else { return Ok(None) };
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
        self.store.get(id).await
    }

    /// Waits until everything that the engine told of was written down. No order may be accepted any more.
    pub async fn settled(&self) {
        self.recorders.close();
        self.recorders.wait().await;
    }
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
