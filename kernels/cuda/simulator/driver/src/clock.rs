//! What has to be done before what, among the streams of a capture.

use std::collections::HashMap;

use crate::stream::Stream;

/// How many operations of each stream come before a point: a vector clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(HashMap<Stream, usize>);

impl Clock {
    /// An operation of the stream follows.
    pub(crate) fn advance(&mut self, stream: Stream) {
        *self.0.entry(stream).or_default() += 1;
    }

    /// Another point comes before, too.
    pub(crate) fn join(&mut self, other: &Self) {
        for (&stream, &count) in &other.0 {
            let own = self.0.entry(stream).or_default();
            *own = count.max(*own);
        }
    }

    /// Whether all that comes before the other point comes before this one.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|(stream, count)| self.0.get(stream).unwrap_or(&0) >= count)
    }
}
