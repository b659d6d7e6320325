//! The engine's thread, and the ways in and out of it.
//!
//! In: [`EngineHandle`]. Out: [`EventSink`]. Nothing else crosses the border of the thread. It owns the denoiser from
//! its making to its end, and the scheduler.

mod handle;
mod run;
mod shared;

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

pub use handle::{EngineHandle, Rejected, Snapshot};

use crate::{Clock, Denoiser, EventSink, SchedulerOptions};
use run::Worker;
use shared::Shared;

/// The stack of the engine's thread: a main thread's, as models are written for.
const STACK_BYTES: usize = 8 << 20;

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    pub scheduler: SchedulerOptions,
    /// Jobs that may be in the engine at once, waiting or running.
    pub max_jobs: usize,
    /// Where the engine, its deadlines and its measurements take the time from.
    pub clock: Clock,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions { scheduler: SchedulerOptions::default(), max_jobs: 256, clock: Clock::default() }
    }
}

/// Why an engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError<E> {
    #[error("the engine's thread could not be started")]
    Thread(#[source] io::Error),
    #[error("the denoiser could not be made")]
    Denoiser(#[source] E),
    #[error("making the denoiser panicked")]
    Panicked,
}

/// An engine that runs. Dropping it gives up all jobs, and waits for the model call that is under way.
#[derive(Debug)]
pub struct Engine<W> {
    handle: EngineHandle<W>,
    /// Taken when it is joined.
    thread: Option<JoinHandle<()>>,
}

impl<W: Send + Sync + 'static> Engine<W> {
    /// Starts a thread, makes the denoiser on it, and serves jobs from then on. Returns when the denoiser is made,
    /// which may take as long as a model takes to load.
    pub fn spawn<D, E>(
        options: EngineOptions,
        make_denoiser: impl FnOnce() -> Result<D, E> + Send + 'static,
        sink: impl EventSink<D::Picture>,
    ) -> Result<Self, SpawnError<E>>
    where
        D: Denoiser<Work = W>,
        E: Send + 'static,
    {
        let shared = Arc::new(Shared::new(options.max_jobs, options.clock));
        let (made, is_made) = sync_channel(1);
        let thread = {
            let shared = Arc::clone(&shared);
            let serve = move || {
                if let Some(denoiser) = announce(make_denoiser, &made) {
                    Worker::new(denoiser, sink, shared, options.scheduler).run();
                }
            };
            let builder = thread::Builder::new().name("x0-engine".into()).stack_size(STACK_BYTES);
            builder.spawn(serve).map_err(SpawnError::Thread)?
        };
        match is_made.recv() {
            Ok(Ok(())) => Ok(Engine { handle: EngineHandle { shared }, thread: Some(thread) }),
            Ok(Err(error)) => Err(SpawnError::Denoiser(error)),
            Err(_) => Err(SpawnError::Panicked),
        }
    }

    /// A way in, to be cloned at will.
    pub fn handle(&self) -> EngineHandle<W> {
        self.handle.clone()
    }

    /// Waits for the engine's end, which comes when it was asked to [`drain`](EngineHandle::drain) and has. Every job
    /// has had its terminal event by then.
    pub fn join(mut self) {
        self.wait();
    }
}

impl<W> Engine<W> {
    fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The thread catches what panics on it; were it to panic all the same, the hook has reported it.
            let _: Result<(), Box<dyn Any + Send>> = thread.join();
        }
    }
}

impl<W> Drop for Engine<W> {
    fn drop(&mut self) {
        self.handle.shared.drain(self.handle.shared.clock.now());
        // A test that fails while it holds the denoiser must not hang.
        if !thread::panicking() {
            self.wait();
        }
    }
}

/// Makes the denoiser and tells whether that went well. When it panics, the sender is dropped and tells that.
fn announce<D, E>(make: impl FnOnce() -> Result<D, E>, made: &SyncSender<Result<(), E>>) -> Option<D> {
    let (told, denoiser) = match catch_unwind(AssertUnwindSafe(make)) {
        Ok(Ok(denoiser)) => (made.send(Ok(())), Some(denoiser)),
        Ok(Err(error)) => (made.send(Err(error)), None),
        Err(_) => return None,
    };
    // The other end waits for this very message.
    told.ok().and(denoiser)
}
