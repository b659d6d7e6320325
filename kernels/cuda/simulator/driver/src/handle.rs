//! Handles of what the driver keeps for its callers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::status::Error;

/// What callers have instead of an object. It looks like a pointer, but only names an entry of a [`Table`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Handle(pub usize);

impl Handle {
    pub const NULL: Self = Self(0);

    /// One that was never given out: not for another kind of object either, so that the wrong kind is not found.
    pub(crate) fn unique() -> Self {
        // Far from 0, 1 and 2, which name streams.
        static NEXT: AtomicUsize = AtomicUsize::new(0x1000);
        Self(NEXT.fetch_add(0x10, Ordering::Relaxed))
    }
}

/// Objects by their handles.
#[derive(Debug)]
pub(crate) struct Table<T>(HashMap<Handle, T>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Table<T> {
    pub(crate) fn insert(&mut self, object: T) -> Handle {
        let handle = Handle::unique();
        self.0.insert(handle, object);
        handle
    }

    pub(crate) fn get(&self, handle: Handle) -> Result<&T, Error> {
        self.0.get(&handle).ok_or(Error::InvalidHandle)
    }

    pub(crate) fn get_mut(&mut self, handle: Handle) -> Result<&mut T, Error> {
        self.0.get_mut(&handle).ok_or(Error::InvalidHandle)
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Result<T, Error> {
        self.0.remove(&handle).ok_or(Error::InvalidHandle)
    }
}
