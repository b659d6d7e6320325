//! Buffers that kernels work in, kept from one call to the next.
//!
//! A fresh buffer of megabytes costs a page fault for each of its pages; one that was used before costs nothing.

use std::sync::Mutex;

use crate::aligned::Aligned;

/// Bytes that are kept at most; what is given back beyond them is freed.
const KEPT_BYTES: usize = 256 << 20;

static KEPT: Mutex<Vec<Aligned<f32>>> = Mutex::new(Vec::new());

/// A buffer of at least the length asked for, with whatever was in it before. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    buffer: Aligned<f32>,
}

impl Scratch {
    /// Takes the smallest kept buffer that is long enough, or makes one.
    pub(crate) fn take(len: usize) -> Self {
        if len == 0 {
            return Self { buffer: Aligned::default() };
        }
        let mut kept = KEPT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let fits = kept.iter().enumerate().filter(|(_, b)| b.len() >= len).min_by_key(|(_, b)| b.len()).map(|(i, _)| i);
        let buffer = match fits {
            Some(i) => kept.swap_remove(i),
            None => {
                drop(kept);
                Aligned::zeros(len)
            }
        };
        Self { buffer }
    }
}

impl std::ops::Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer
    }
}

impl std::ops::DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.is_empty() {
            return;
        }
        let mut kept = KEPT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let bytes: usize = kept.iter().chain([&buffer]).map(|b| b.len() * size_of::<f32>()).sum();
        if bytes <= KEPT_BYTES {
            kept.push(buffer);
        }
    }
}
