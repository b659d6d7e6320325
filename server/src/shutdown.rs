//! The stages in which the server stops.

use std::sync::Arc;

use tokio::sync::watch;

/// How far the stopping has come. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Work is taken.
    Serving,
    /// Work is still taken, but `/readyz` says no, so that load balancers send no more.
    Leaving,
    /// No connection and no work is taken; what was accepted is finished.
    Draining,
    /// Streams end, connections close.
    Closing,
}

/// The server's stage, which everyone can see and wait for. Clones are the same.
#[derive(Clone, Debug)]
pub struct Lifecycle(Arc<watch::Sender<Stage>>);

impl Lifecycle {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Stage::Serving)))
    }

    pub fn stage(&self) -> Stage {
        *self.0.borrow()
    }

    /// Goes on to a stage; never back.
    pub fn advance(&self, to: Stage) {
        self.0.send_if_modified(|stage| {
            let forward = to > *stage;
            *stage = to.max(*stage);
            forward
        });
    }

    /// Waits until the stage is `stage` or a later one.
    pub async fn reached(&self, stage: Stage) {
        let mut stages = self.0.subscribe();
        // The sender is alive, as this holds it.
        let _ = stages.wait_for(|now| *now >= stage).await;
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}
