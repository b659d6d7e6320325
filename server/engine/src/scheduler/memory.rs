//! How many rows of one call the device has memory for.
//!
//! A call of several images that runs out of memory is halved: from then on calls of its [`BatchKey`] have at most half of its rows,
//! or one image. So a call that does not fit is not made again and again, and after at most `log2(max_rows)` of them every image is
//! alone. Whoever runs out of memory alone cannot be made at all.
//!
//! What else takes memory is not known here: other models' weights, the images that wait in their slots, other processes. Some of it
//! will go again, and nobody says when, so the limit is tried: each [`GOOD_CALLS`] calls of the key that go well undo one halving.
//! Where that is too early it costs one call in a hundred.

use std::collections::BTreeMap;

use crate::BatchKey;

/// Calls of a key that go well before twice as many rows are tried.
const GOOD_CALLS: u32 = 100;
/// Clients choose the sizes, so the number of keys is bounded.
const MAX_KEYS: usize = 64;

/// The keys whose calls ran out of memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    limits: BTreeMap<BatchKey, Limit>,
    /// Calls that ran out of memory, of all keys.
    shortages: u64,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    rows: u32,
    /// Calls that went well since the limit was set.
    good_calls: u32,
    /// Where in the order of all shortages the last one of this key was.
    last_shortage: u64,
}

impl Memory {
    /// The most rows of a call of several images.
    pub(super) fn most_rows(&self, key: &BatchKey) -> u32 {
        self.limits.get(key).map_or(u32::MAX, |limit| limit.rows)
    }

    /// A call of so many rows, of several images and so of two rows at least, ran out of memory.
    pub(super) fn ran_out(&mut self, key: &BatchKey, rows: u32) {
        self.shortages += 1;
        let limit = Limit { rows: rows / 2, good_calls: 0, last_shortage: self.shortages };
        self.limits.insert(key.clone(), limit);
        if self.limits.len() > MAX_KEYS
            && let Some(oldest) =
                self.limits.iter().min_by_key(|(_, limit)| limit.last_shortage).map(|(key, _)| key.clone())
        {
            self.limits.remove(&oldest);
        }
    }

    /// A call went well, where no call has more than `max_rows` rows.
    pub(super) fn went_well(&mut self, key: &BatchKey, max_rows: u32) {
        let Some(limit) = self.limits.get_mut(key) else { return };
        limit.good_calls += 1;
        if limit.good_calls == GOOD_CALLS {
            *limit = Limit { rows: limit.rows * 2, good_calls: 0, ..*limit };
        }
        if limit.rows >= max_rows {
            self.limits.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_ROWS: u32 = 16;

    fn key(side: u32) -> BatchKey {
        BatchKey { model: "m".into(), height: side, width: side, context: 0 }
    }

    fn go_well(memory: &mut Memory, side: u32, calls: u32) {
        (0..calls).for_each(|_| memory.went_well(&key(side), MAX_ROWS));
    }

    #[test]
    fn each_shortage_halves_and_a_hundred_good_calls_double() {
        let mut memory = Memory::default();
        memory.ran_out(&key(8), 16);
        memory.ran_out(&key(8), 7);
        go_well(&mut memory, 8, GOOD_CALLS - 1);
        assert_eq!(memory.most_rows(&key(8)), 3);
        go_well(&mut memory, 8, 1);
        assert_eq!(memory.most_rows(&key(8)), 6);
        go_well(&mut memory, 8, GOOD_CALLS);
        assert_eq!(memory.most_rows(&key(8)), 12);
        go_well(&mut memory, 8, GOOD_CALLS);
        assert_eq!(memory.most_rows(&key(8)), u32::MAX);
    }

    #[test]
    fn a_shortage_begins_the_count_anew() {
        let mut memory = Memory::default();
        memory.ran_out(&key(8), 16);
        go_well(&mut memory, 8, GOOD_CALLS - 1);
        memory.ran_out(&key(8), 8);
        go_well(&mut memory, 8, GOOD_CALLS - 1);
        assert_eq!(memory.most_rows(&key(8)), 4);
    }

    #[test]
    fn a_size_says_nothing_of_another() {
        let mut memory = Memory::default();
        memory.ran_out(&key(16), 4);
        go_well(&mut memory, 8, 1_000);
        assert_eq!((memory.most_rows(&key(16)), memory.most_rows(&key(8))), (2, u32::MAX));
    }

    #[test]
    fn keys_are_bounded_and_the_oldest_shortage_is_forgotten() {
        let mut memory = Memory::default();
        (0..1_000).for_each(|side| memory.ran_out(&key(side), 8));
        assert_eq!(memory.limits.len(), MAX_KEYS);
        assert_eq!((memory.most_rows(&key(0)), memory.most_rows(&key(999))), (u32::MAX, 4));
    }
}
