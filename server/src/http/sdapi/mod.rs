//! AUTOMATIC1111's API: a translation to our own request, and of our own events.
//!
//! What is global in AUTOMATIC1111 (progress, interrupting, options) concerns here what came in over this surface with the same key.

mod answer;
pub mod generate;
pub mod interrupt;
pub mod lists;
pub mod options;
pub mod png_info;
pub mod progress;
pub mod system;
mod tasks;
mod translate;
mod words;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use options::Settings;
pub use tasks::Tasks;

use crate::auth::{Caller, Owner};

/// What this surface remembers between requests, of each caller apart. There are no more of them than keys that were ever known.
#[derive(Debug, Default)]
pub struct Sdapi {
    memories: Mutex<HashMap<Owner, Arc<Memory>>>,
}

/// What this surface remembers of one caller.
#[derive(Debug, Default)]
pub struct Memory {
    pub tasks: Tasks,
    pub settings: Settings,
}

impl Sdapi {
    pub(super) fn of(&self, caller: &Caller) -> Arc<Memory> {
        // Nothing panics while it holds the lock.
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        memories.entry(caller.owner()).or_default().clone()
    }
}
