//! The requests that are being served, as AUTOMATIC1111's clients ask for them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use uuid::Uuid;

/// Finished tasks that are remembered by name.
const REMEMBERED: usize = 64;
/// Characters of a task's name that are kept.
const NAME: usize = 128;

/// The tasks, oldest first. There are no more than generations that wait and run.
#[derive(Debug, Default)]
pub struct Tasks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Vec<Arc<Task>>,
    /// Names of the tasks that were finished last.
    finished: VecDeque<String>,
}

/// A request that is being served.
#[derive(Debug)]
pub(super) struct Task {
    /// As the client named it.
    pub(super) name: String,
    /// One generation for each iteration.
    pub(super) generations: Vec<Uuid>,
    pub(super) since: Timestamp,
    pub(super) interrupted: AtomicBool,
    pub(super) skipped: AtomicBool,
}

/// A task that is open as long as this lives.
#[derive(Debug)]
pub(super) struct Open<'a> {
    tasks: &'a Tasks,
    task: Arc<Task>,
}

impl Tasks {
    pub(super) fn open(&self, name: Option<String>, generations: Vec<Uuid>) -> Open<'_> {
        let unnamed = || generations.first().map(|id| format!("task({id})")).unwrap_or_default();
        let task = Arc::new(Task {
            name: name.filter(|name| !name.is_empty()).map_or_else(unnamed, |name| name.chars().take(NAME).collect()),
            generations,
            since: crate::clock::now(),
            interrupted: AtomicBool::new(false),
            skipped: AtomicBool::new(false),
        });
        self.lock().open.push(task.clone());
        Open { tasks: self, task }
    }

    /// The open tasks, oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Task>> {
        self.lock().open.clone()
    }

    /// Whether a task of this name was finished lately.
    pub(super) fn finished(&self, name: &str) -> bool {
        self.lock().finished.iter().any(|known| known == name)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    pub(super) fn was_stopped(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) || self.skipped.load(Ordering::Relaxed)
    }
}

impl Open<'_> {
    pub(super) fn task(&self) -> &Task {
        &self.task
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut state = self.tasks.lock();
        state.open.retain(|open| !Arc::ptr_eq(open, &self.task));
        state.finished.push_back(self.task.name.clone());
        if state.finished.len() > REMEMBERED {
            state.finished.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_open_until_it_is_answered() {
        let tasks = Tasks::default();
        let first = tasks.open(Some("task(a)".to_owned()), vec![Uuid::nil()]);
        let second = tasks.open(None, vec![Uuid::nil()]);
        let names: Vec<_> = tasks.all().iter().map(|task| task.name.clone()).collect();
        assert_eq!(names, ["task(a)", "task(00000000-0000-0000-0000-000000000000)"]);
        drop(first);
        assert!(tasks.finished("task(a)") && tasks.all().len() == 1);
        drop(second);
        for n in 0..REMEMBERED {
            drop(tasks.open(Some(n.to_string()), Vec::new()));
        }
        assert!(!tasks.finished("task(a)") && tasks.finished("0"), "the oldest are forgotten");
    }
}
