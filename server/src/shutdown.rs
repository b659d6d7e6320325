//! The stages in which the server stops, and why.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

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

/// Why a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It was asked to.
    Asked,
    /// The device that computes is lost. Another process may be able to use it again.
    DeviceLost,
}

/// The server's stage, which everyone can see and wait for. Clones are the same.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    stage: Arc<watch::Sender<Stage>>,
    device_lost: CancellationToken,
}

impl Lifecycle {
    pub fn new() -> Self {
        Self { stage: Arc::new(watch::Sender::new(Stage::Serving)), device_lost: CancellationToken::new() }
    }

    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// The device that computes is lost: whoever runs the server is to stop it.
    pub fn lose_device(&self) {
        self.device_lost.cancel();
    }

    pub fn is_device_lost(&self) -> bool {
        self.device_lost.is_cancelled()
    }

    /// Waits until the device is lost.
    pub async fn device_lost(&self) {
        self.device_lost.cancelled().await;
    }

    /// Goes on to a stage; never back.
    pub fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let forward = to > *stage;
            *stage = to.max(*stage);
            forward
        });
    }

    /// Waits until the stage is `stage` or a later one.
    pub async fn reached(&self, stage: Stage) {
        let mut stages = self.stage.subscribe();
        // The sender is alive, as this holds it.
        let _ = stages.wait_for(|now| *now >= stage).await;
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}
