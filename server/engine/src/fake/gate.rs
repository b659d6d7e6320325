//! A gate before every model call, so that a test can hold the engine where it wants it, without sleeping.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A test that waits longer than this waits for something that will not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Shut at first. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Calls that may still pass; any number, when the gate is open.
    passes: u64,
    open: bool,
    /// Whether a call stands before the gate.
    waiting: bool,
}

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `calls` more model calls pass.
    pub fn let_pass(&self, calls: u64) {
        self.lock().passes += calls;
        self.0.changed.notify_all();
    }

    /// Lets all pass from now on.
    pub fn open(&self) {
        self.lock().open = true;
        self.0.changed.notify_all();
    }

    /// Lets none pass from now on, but those that [`let_pass`](Self::let_pass) lets.
    pub fn shut(&self) {
        let mut state = self.lock();
        (state.open, state.passes) = (false, 0);
    }

    /// Waits until a model call stands before the gate with no pass left: the engine is then held.
    ///
    /// # Panics
    ///
    /// When none comes within half a minute.
    pub fn wait_until_held(&self) {
        let not_yet = |state: &mut State| !(state.waiting && state.passes == 0);
        let (_state, timeout) =
            self.0.changed.wait_timeout_while(self.lock(), PATIENCE, not_yet).unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "no model call came to the gate");
    }

    pub(super) fn enter(&self) {
        let mut state = self.lock();
        state.waiting = true;
        self.0.changed.notify_all();
        let shut = |state: &mut State| !state.open && state.passes == 0;
        state = self.0.changed.wait_while(state, shut).unwrap_or_else(PoisonError::into_inner);
        state.waiting = false;
        state.passes = state.passes.saturating_sub(1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
