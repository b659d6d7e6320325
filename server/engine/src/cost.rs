//! What a model call costs.
//!
//! How much longer a call takes with more rows decides what is worth sharing (see [`Scheduler`](crate::Scheduler)), and it
//! differs by device, model and size by orders of magnitude. So it is measured while serving.
//!
//! For each [`BatchKey`] and each number of rows that was run, the curve keeps the median of the last calls: one slow
//! call (a page fault, another process) does not move it, and a lasting change does within half of that many calls. As
//! first calls are often slow (kernels are loaded, a graph is recorded), a size counts as measured after a few, and until one
//! of a key does, the key is taken to cost no more than others of its model say. Between two measured sizes the curve is linear.
//! Beyond them it follows the line through the two nearest; with one measured size only, the line of an optimistic
//! prior: most of a small call is taken to be overhead, so that sharing is tried and thereby measured. A size that was
//! not run for long is forgotten, so that it is tried again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::BatchKey;

/// What a call of one row is taken to cost before any call was made.
const PRIOR_SECONDS: f64 = 0.1;
/// The share of a one-row call that does not grow with the rows, before two sizes were measured. Above two thirds, a second
/// image of two rows looks worth sharing even when only two jobs are there.
const PRIOR_OVERHEAD: f64 = 0.75;
/// Calls of one size whose median is taken.
const SAMPLES: usize = 15;
/// Calls of one size before it counts as measured.
const LEAST_SAMPLES: usize = 3;
/// A size is forgotten after so many calls of its key without it.
const MEMORY_CALLS: u64 = 1_000;
const MAX_KEYS: usize = 64;
const MAX_SIZES: usize = 64;
/// No call is taken to cost less: a coarse clock may measure nothing at all.
const LEAST: Duration = Duration::from_nanos(1);

/// Seconds of one model call, as a function of its rows, for each [`BatchKey`]; and of decoding one picture.
#[derive(Clone, Debug, Default)]
pub struct CostCurve {
    keys: BTreeMap<BatchKey, KeyCurve>,
    calls: u64,
}

impl CostCurve {
    /// A curve of which nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note that a call of `rows` rows took `duration`.
    pub fn observe(&mut self, key: &BatchKey, rows: u32, duration: Duration) {
        self.curve(key).observe(rows, duration.max(LEAST).as_secs_f64());
    }

    /// Takes note that decoding a picture took `duration`.
    pub fn observe_decoding(&mut self, key: &BatchKey, duration: Duration) {
        self.curve(key).decoding.push(duration.as_secs_f64());
    }

    /// The expected seconds of a call of `rows` rows: finite, positive, and never less for more rows.
    ///
    /// For a key that was never run: as for the same model at the nearest size, in proportion to the area. For one of which
    /// no number of rows counts yet: no more than that.
    pub fn seconds(&self, key: &BatchKey, rows: u32) -> f64 {
        match self.keys.get(key).filter(|curve| !curve.points.is_empty()) {
            Some(curve) if curve.counts() => curve.seconds(rows),
            Some(curve) => {
                let seconds = curve.seconds(rows);
                self.relative(key, rows).map_or(seconds, |relative| seconds.min(relative))
            }
            None => self.relative(key, rows).unwrap_or_else(|| prior(f64::from(rows))),
        }
    }

    /// The expected seconds of decoding one picture; nothing before one was decoded.
    pub fn decoding(&self, key: &BatchKey) -> f64 {
        self.keys.get(key).and_then(|curve| curve.decoding.median()).unwrap_or(0.0)
    }

    /// The most rows that were measured in one call; 0 before any were.
    pub fn largest(&self, key: &BatchKey) -> u32 {
        let measured =
            |curve: &KeyCurve| curve.sizes.iter().rev().find(|(_, size)| size.counts()).map(|(rows, _)| *rows);
        self.keys.get(key).and_then(measured).unwrap_or(0)
    }

    fn curve(&mut self, key: &BatchKey) -> &mut KeyCurve {
        self.calls += 1;
        if !self.keys.contains_key(key) {
            self.make_room();
        }
        let curve = self.keys.entry(key.clone()).or_default();
        curve.last_call = self.calls;
        curve
    }

    /// What the nearest other size of the same model says. One that counts says more than a nearer one that does not.
    fn relative(&self, key: &BatchKey, rows: u32) -> Option<f64> {
        let ratio = |other: &BatchKey| area(key) / area(other);
        let distance = |other: &BatchKey| ratio(other).ln().abs();
        self.keys
            .iter()
            .filter(|(other, curve)| *other != key && other.model == key.model && !curve.points.is_empty())
            .min_by(|(a, of_a), (b, of_b)| of_b.counts().cmp(&of_a.counts()).then(distance(a).total_cmp(&distance(b))))
            .map(|(other, curve)| curve.seconds(rows) * ratio(other))
    }

    /// Clients choose the sizes, so the number of keys is bounded: the one not run for longest is forgotten.
    fn make_room(&mut self) {
        if self.keys.len() < MAX_KEYS {
            return;
        }
        if let Some(oldest) = self.keys.iter().min_by_key(|(_, curve)| curve.last_call).map(|(key, _)| key.clone()) {
            self.keys.remove(&oldest);
        }
    }
}

fn area(key: &BatchKey) -> f64 {
    f64::from(key.height.max(1)) * f64::from(key.width.max(1))
}

fn prior(rows: f64) -> f64 {
    PRIOR_SECONDS * (PRIOR_OVERHEAD + (1.0 - PRIOR_OVERHEAD) * rows)
}

#[derive(Clone, Debug, Default)]
struct KeyCurve {
    sizes: BTreeMap<u32, Samples>,
    /// (rows, seconds) of the measured sizes, by rising rows; seconds never fall.
    points: Vec<(f64, f64)>,
    /// Calls of this key.
    calls: u64,
    /// Where in the order of all calls the last one of this key was.
    last_call: u64,
    decoding: Samples,
}

#[derive(Clone, Debug, Default)]
struct Samples {
    recent: VecDeque<f64>,
    /// Where in the order of its key's calls the last of this size was.
    last_call: u64,
}

impl KeyCurve {
    fn observe(&mut self, rows: u32, seconds: f64) {
        self.calls += 1;
        let size = self.sizes.entry(rows).or_default();
        size.last_call = self.calls;
        size.push(seconds);
        self.forget();
        // Before any size counts, what there is must do.
        let none_counts = !self.counts();
        let measured = self.sizes.iter().filter(|(_, size)| none_counts || size.counts());
        self.points = measured.filter_map(|(rows, size)| Some((f64::from(*rows), size.median()?))).collect();
        // A call could always be filled with rows that nobody asked for: more rows are never cheaper.
        let mut least = f64::INFINITY;
        for (_, seconds) in self.points.iter_mut().rev() {
            least = least.min(*seconds);
            *seconds = least;
        }
    }

    fn counts(&self) -> bool {
        self.sizes.values().any(Samples::counts)
    }

    fn forget(&mut self) {
        let calls = self.calls;
        self.sizes.retain(|_, size| calls - size.last_call < MEMORY_CALLS);
        if self.sizes.len() > MAX_SIZES
            && let Some(oldest) = self.sizes.iter().min_by_key(|(_, size)| size.last_call).map(|(rows, _)| *rows)
        {
            self.sizes.remove(&oldest);
        }
    }

    fn seconds(&self, rows: u32) -> f64 {
        let rows = f64::from(rows);
        let above = self.points.partition_point(|(measured, _)| *measured < rows);
        match self.points.as_slice() {
            [] => prior(rows),
            [only] => extend(*only, only.1 * (1.0 - PRIOR_OVERHEAD) * PRIOR_SECONDS / prior(only.0), rows),
            [first, second, ..] if above == 0 => extend(*first, slope(*first, *second), rows),
            [.., before, last] if above == self.points.len() => extend(*last, slope(*before, *last), rows),
            points => {
                let (low, high) = (points[above - 1], points[above]);
                low.1 + slope(low, high) * (rows - low.0)
            }
        }
    }
}

impl Samples {
    fn push(&mut self, seconds: f64) {
        if self.recent.len() == SAMPLES {
            self.recent.pop_front();
        }
        self.recent.push_back(seconds);
    }

    fn counts(&self) -> bool {
        self.recent.len() >= LEAST_SAMPLES
    }

    /// Of an even number the lower of the two in the middle: of the first two it is the first that is slow.
    fn median(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.recent.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }
}

fn slope(low: (f64, f64), high: (f64, f64)) -> f64 {
    (high.1 - low.1) / (high.0 - low.0)
}

/// Follows a line from a measured point, no flatter than constant and no steeper than in proportion to the rows.
fn extend((measured, seconds): (f64, f64), slope: f64, rows: f64) -> f64 {
    seconds + slope.clamp(0.0, seconds / measured) * (rows - measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(side: u32) -> BatchKey {
        BatchKey { model: "m".into(), height: side, width: side, context: 0 }
    }

    fn learned(points: &[(u32, f64)]) -> CostCurve {
        let mut curve = CostCurve::new();
        for (rows, seconds) in points {
            for _ in 0..LEAST_SAMPLES {
                curve.observe(&key(8), *rows, Duration::from_secs_f64(*seconds));
            }
        }
        curve
    }

    fn check(points: &[(u32, f64)], rows: u32, expected: f64) {
        let seconds = learned(points).seconds(&key(8), rows);
        assert!((seconds - expected).abs() < 1e-6, "{points:?} at {rows}: {seconds}, not {expected}");
    }

    #[test]
    fn nothing_measured_is_the_prior() {
        check(&[], 1, 0.1);
        check(&[], 2, 0.125);
    }

    #[test]
    fn one_measured_size_scales_the_prior() {
        check(&[(2, 1.25)], 1, 1.0);
        check(&[(2, 1.25)], 4, 1.75);
    }

    #[test]
    fn between_and_beyond_measured_sizes_it_is_a_line() {
        check(&[(2, 2.0), (6, 4.0)], 4, 3.0);
        check(&[(2, 2.0), (6, 4.0)], 8, 5.0);
        check(&[(2, 2.0), (6, 4.0)], 1, 1.5);
    }

    #[test]
    fn it_is_never_steeper_than_proportional_beyond_what_was_measured() {
        check(&[(2, 1.0), (4, 9.0)], 8, 18.0);
        check(&[(2, 1.0), (4, 9.0)], 1, 0.5);
    }

    #[test]
    fn more_rows_are_never_cheaper() {
        check(&[(1, 9.0), (2, 2.0)], 1, 2.0);
    }

    #[test]
    fn one_slow_call_moves_nothing_and_a_lasting_change_does() {
        let mut curve = learned(&[(2, 1.0); SAMPLES]);
        curve.observe(&key(8), 2, Duration::from_secs(60));
        assert_eq!(curve.seconds(&key(8), 2), 1.0);
        for _ in 0..SAMPLES / 2 {
            curve.observe(&key(8), 2, Duration::from_secs(3));
        }
        assert_eq!(curve.seconds(&key(8), 2), 3.0);
    }

    #[test]
    fn a_slow_first_call_does_not_count() {
        let mut curve = learned(&[(2, 1.0)]);
        curve.observe(&key(8), 4, Duration::from_secs(60));
        assert_eq!((curve.seconds(&key(8), 4), curve.largest(&key(8))), (1.4, 2));
        curve.observe(&key(8), 4, Duration::from_secs(2));
        curve.observe(&key(8), 4, Duration::from_secs(2));
        assert_eq!((curve.seconds(&key(8), 4), curve.largest(&key(8))), (2.0, 4));
    }

    #[test]
    fn before_any_size_counts_the_first_calls_do() {
        let mut curve = CostCurve::new();
        curve.observe(&key(8), 2, Duration::from_secs(4));
        assert_eq!((curve.seconds(&key(8), 2), curve.largest(&key(8))), (4.0, 0));
    }

    #[test]
    fn the_second_call_corrects_a_slow_first_one() {
        let mut curve = CostCurve::new();
        curve.observe(&key(8), 2, Duration::from_secs(60));
        curve.observe(&key(8), 2, Duration::from_secs(1));
        assert_eq!(curve.seconds(&key(8), 2), 1.0);
    }

    #[test]
    fn before_any_size_counts_a_key_costs_no_more_than_others_of_its_model_say() {
        let mut curve = learned(&[(2, 1.0)]);
        // Nearer, but its only call was a first one, too.
        curve.observe(&key(32), 2, Duration::from_secs(1_000));
        for (call, expected) in [(60.0, 4.0), (3.0, 3.0), (5.0, 5.0)] {
            curve.observe(&key(16), 2, Duration::from_secs_f64(call));
            assert_eq!(curve.seconds(&key(16), 2), expected);
        }
        let other = BatchKey { model: "other".into(), ..key(16) };
        curve.observe(&other, 2, Duration::from_secs(60));
        assert_eq!(curve.seconds(&other, 2), 60.0);
    }

    #[test]
    fn decoding_is_measured_by_itself() {
        let mut curve = CostCurve::new();
        assert_eq!(curve.decoding(&key(8)), 0.0);
        curve.observe_decoding(&key(8), Duration::from_secs(3));
        assert_eq!(curve.decoding(&key(8)), 3.0);
        assert_eq!(curve.seconds(&key(8), 1), PRIOR_SECONDS);
    }

    #[test]
    fn a_size_not_run_for_long_is_forgotten() {
        let mut curve = learned(&[(8, 80.0)]);
        for _ in 0..MEMORY_CALLS {
            curve.observe(&key(8), 2, Duration::from_secs(1));
        }
        assert!(curve.seconds(&key(8), 8) < 4.0);
    }

    #[test]
    fn a_new_size_is_judged_by_the_area_of_the_nearest() {
        let mut curve = CostCurve::new();
        curve.observe(&key(8), 2, Duration::from_secs(1));
        curve.observe(&key(64), 2, Duration::from_secs(100));
        assert_eq!(curve.seconds(&key(16), 2), 4.0);
    }

    #[test]
    fn a_call_that_took_no_time_still_costs_something() {
        assert!(learned(&[(1, 0.0)]).seconds(&key(8), 1) > 0.0);
    }

    #[test]
    fn keys_and_sizes_are_bounded() {
        let mut curve = CostCurve::new();
        for n in 1..1_000 {
            curve.observe(&key(n), n, Duration::from_secs(1));
            curve.observe(&key(8), n, Duration::from_secs(1));
        }
        assert!(curve.keys.len() <= MAX_KEYS);
        assert!(curve.keys.values().all(|curve| curve.sizes.len() <= MAX_SIZES));
    }
}
