//! What the routes share.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use x0_engine::EngineHandle;

use crate::auth::Auth;
use crate::fetch::Fetcher;
use crate::generation::{Generations, Inboxes};
use crate::http::body::BodyReader;
use crate::http::layers::Origins;
use crate::http::sdapi::Sdapi;
use crate::metrics::Metrics;
use crate::shutdown::Lifecycle;
use crate::validate::{Validator, Work};

/// The state of every route. Clones are the same.
#[derive(Clone, Debug)]
pub struct AppState(Arc<App>);

/// See [`AppState`].
pub struct App {
    pub generations: Generations,
    pub validator: Validator,
    /// Of pictures by their address; `None` where they are not fetched.
    pub fetcher: Option<Fetcher>,
    /// Requests that are being checked at once: each may decode pictures.
    pub checking: Semaphore,
    pub engine: EngineHandle<Work>,
    /// Closed when the engine's thread ends.
    pub inboxes: Arc<Inboxes>,
    pub auth: Auth,
    /// Whether `/metrics` needs no key.
    pub public_metrics: bool,
    pub origins: Origins,
    pub metrics: Metrics,
    pub lifecycle: Lifecycle,
    /// Event streams that may be open.
    pub streams: Arc<Semaphore>,
    pub bodies: BodyReader,
    pub sdapi: Sdapi,
    /// How long an answer may wait for its picture.
    pub max_wait: Duration,
    /// A model call that takes longer hangs.
    pub step_timeout: Duration,
    pub started: Timestamp,
}

impl AppState {
    pub fn new(app: App) -> Self {
        Self(Arc::new(app))
    }
}

impl Deref for AppState {
    type Target = App;

    fn deref(&self) -> &App {
        &self.0
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("started", &self.started).finish_non_exhaustive()
    }
}
