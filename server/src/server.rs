//! A running server: the engine, the store and HTTP, put together and taken apart again.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use metrics_exporter_prometheus::BuildError;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use x0_engine::{Denoiser, Engine, EngineOptions, SchedulerOptions, SpawnError};
use x0_model::Picture;

use crate::app::{App, AppState};
use crate::auth::{Auth, KeyFileError, Keyring};
use crate::catalog::Catalog;
use crate::config::{AuthConfig, Config, ShutdownConfig};
use crate::device::Device;
use crate::generation::{Generations, Inboxes, Outlet};
use crate::http::body::BodyReader;
use crate::http::layers::{Names, Origins};
use crate::http::sdapi::Sdapi;
use crate::http::{accept, router};
use crate::metrics::Metrics;
use crate::shutdown::{Lifecycle, Stage, Stopped};
use crate::store::{DurableStore, JobStore, MemoryStore, MemoryStoreOptions, OpenStoreError, Unfinished};
use crate::validate::{Validator, Work};

/// Requests with pictures in them that are checked at once.
const CHECKING: usize = 16;
/// How often the key file is looked at.
const KEYS_REFRESH: Duration = Duration::from_secs(1);
/// How often the histograms are folded.
const UPKEEP: Duration = Duration::from_secs(5);

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    app: AppState,
    engine: Engine<Work>,
    connections: JoinHandle<()>,
    /// Takes up what an earlier process left.
    _resuming: AbortOnDropHandle<()>,
    shutdown: ShutdownConfig,
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the engine: {0}")]
    Engine(String),
    #[error("--keys: {0}")]
    Keys(#[from] KeyFileError),
    #[error("--data-dir: {folder}: {source}")]
    Store { folder: String, source: OpenStoreError },
    #[error("the metrics: {0}")]
    Metrics(#[from] BuildError),
}

impl Server {
    /// Starts the engine with the denoiser that `make_denoiser` makes on its thread, and listens. `device` is what the denoiser computes
    /// with.
    ///
    /// # Errors
    /// If the address cannot be listened on, the keys cannot be read, or the engine cannot be started.
    pub async fn start<D, E>(
        config: Config,
        device: &Device,
        catalog: Arc<dyn Catalog>,
        make_denoiser: impl FnOnce() -> Result<D, E> + Send + 'static,
    ) -> Result<Self, StartError>
    where
        D: Denoiser<Work = Work, Picture = Picture>,
        E: std::fmt::Display + Send + 'static,
    {
        let auth = match config.auth {
            AuthConfig::Open { admin } => Auth::Open { admin },
            AuthConfig::Keys { file, limits } => Auth::Keys(Keyring::open(file, limits)?),
        };
        let names = match &auth {
            Auth::Open { .. } if config.listen.ip().is_loopback() => Names::Local,
            Auth::Open { .. } | Auth::Keys(_) => Names::Any,
        };
        let listener = listen(config.listen).await?;
        let address = listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let metrics = Metrics::new(device.name())?;
        let lifecycle = Lifecycle::new();
        let inboxes = Arc::new(Inboxes::default());
        let outlet = Outlet::new(inboxes.clone(), metrics.clone(), lifecycle.clone());
        let scheduler = SchedulerOptions { policy: config.policy, ..SchedulerOptions::default() };
        let options = EngineOptions { scheduler, max_jobs: config.queue_size, ..EngineOptions::default() };
        let engine = Engine::spawn(options, make_denoiser, outlet).map_err(|error| StartError::Engine(told(&error)))?;
        let (store, unfinished) = open_store(config.data_dir, config.store).await?;
        let generations = Generations::new(store, engine.handle(), inboxes.clone(), metrics.clone());
        let validator = Validator::new(catalog, config.default_models, config.limits);
        let resuming = AbortOnDropHandle::new(tokio::spawn(generations.resume(validator.clone(), &auth, unfinished)));
        let app = AppState::new(App {
            generations,
            validator,
            fetcher: config.fetcher,
            checking: Semaphore::new(CHECKING),
            engine: engine.handle(),
            inboxes,
            auth,
            public_metrics: config.public_metrics,
            origins: Origins::new(&config.cors_origins, names),
            metrics: metrics.clone(),
            lifecycle,
            streams: Arc::new(Semaphore::new(config.max_streams)),
            bodies: BodyReader::new(config.body),
            sdapi: Sdapi::default(),
            max_wait: config.max_wait,
            step_timeout: config.step_timeout,
            started: Timestamp::now(),
        });
        let serving =
            accept::serve(listener, router::router(app.clone()), config.connections, app.lifecycle.clone(), metrics);
        let connections = tokio::spawn(serving);
        Ok(Self { address, app, engine, connections, _resuming: resuming, shutdown: config.shutdown })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` comes or the device is lost, then stops in order: no longer ready; no longer listening; what was accepted is
    /// finished, or when the time for it is over left to the next process, or without a data folder fails; event streams end;
    /// connections close.
    ///
    /// When the device is lost nothing can be finished, and the server stops without more delay.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Stopped {
        let upkeep = tokio::spawn(upkeep(self.app.clone()));
        let lifecycle = self.app.lifecycle.clone();
        let ShutdownConfig { delay, drain, grace } = self.shutdown;
        let (stopped, delay, drain) = tokio::select! {
            () = stop => (Stopped::Asked, delay, drain),
            () = lifecycle.device_lost() => (Stopped::DeviceLost, Duration::ZERO, Duration::ZERO),
        };

        tracing::info!(delay_seconds = delay.as_secs_f64(), "stopping: not ready any more");
        lifecycle.advance(Stage::Leaving);
        tokio::time::sleep(delay).await;

        lifecycle.advance(Stage::Draining);
        let deadline = tokio::time::Instant::now() + drain;
        self.app.engine.drain(deadline.into_std());
        let generations = &self.app.generations;
        match stopped {
            // Before anything is waited for: whoever asked may not have the patience.
            Stopped::Asked => timeout(grace, generations.acquit()).await.unwrap_or_default(),
            Stopped::DeviceLost => {}
        }
        tracing::info!(drain_seconds = drain.as_secs_f64(), "stopping: finishing what was accepted");
        let settled = timeout_at(deadline, generations.settled()).await.is_ok();
        if !settled && timeout(grace, generations.settled()).await.is_err() {
            tracing::warn!("stopping: a model call did not end in time");
        }

        lifecycle.advance(Stage::Closing);
        if timeout(grace, self.connections).await.is_err() {
            tracing::warn!("stopping: connections were still open");
        }
        upkeep.abort();
        end(self.engine, grace).await;
        tracing::info!("stopped");
        stopped
    }
}

/// The store in a folder, with what is to be taken up from there; without one, a store that forgets everything with the process.
async fn open_store(
    folder: Option<PathBuf>,
    options: MemoryStoreOptions,
) -> Result<(Arc<dyn JobStore>, Vec<Unfinished>), StartError> {
    let Some(folder) = folder else { return Ok((Arc::new(MemoryStore::new(options)), Vec::new())) };
    let name = folder.display().to_string();
    let opened = tokio::task::spawn_blocking(move || DurableStore::open(&folder, options)).await;
    let opened = opened.unwrap_or_else(|error| Err(OpenStoreError::Io(error.into())));
    let (store, unfinished) = opened.map_err(|source| StartError::Store { folder: name, source })?;
    Ok((Arc::new(store), unfinished))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

async fn upkeep(app: AppState) {
    let mut folding = tokio::time::interval(UPKEEP);
    let mut keys = tokio::time::interval(KEYS_REFRESH);
    loop {
        tokio::select! {
            _ = folding.tick() => app.metrics.upkeep(),
            _ = keys.tick() => refresh_keys(&app).await,
        }
    }
}

/// Reads the keys again. A file that is broken or gone for a moment takes no key away.
async fn refresh_keys(app: &AppState) {
    let Auth::Keys(_) = app.auth else { return };
    let reading = app.clone();
    let refreshed = tokio::task::spawn_blocking(move || match &reading.auth {
        Auth::Keys(keyring) => keyring.refresh().map(|changed| changed.then(|| keyring.len())),
        Auth::Open { .. } => Ok(None),
    });
    match refreshed.await {
        Ok(Ok(Some(keys))) => {
            app.metrics.keys_read(true);
            tracing::info!(keys, "the keys have changed");
        }
        Ok(Ok(None)) => {}
        Ok(Err(error)) => {
            app.metrics.keys_read(false);
            tracing::error!(%error, "the keys cannot be read again; those that were known are kept");
        }
        Err(error) => tracing::error!(%error, "reading the keys again broke off"),
    }
}

/// Waits for the engine's thread, on a thread of its own: a model call that hangs must not keep the process.
async fn end(engine: Engine<Work>, grace: Duration) {
    let (told, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        engine.join();
        // Nobody waits any more when it took too long.
        let _ = told.send(());
    });
    if timeout(grace, ended).await.is_err() {
        tracing::warn!("stopping: the engine's thread is left behind");
    }
}

fn told<E: std::fmt::Display>(error: &SpawnError<E>) -> String {
    match error {
        SpawnError::Thread(source) => format!("its thread could not be started: {source}"),
        SpawnError::Denoiser(source) => format!("the denoiser could not be made: {source}"),
        SpawnError::Panicked => "making the denoiser panicked".to_owned(),
    }
}
