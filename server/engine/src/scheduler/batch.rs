//! Which images share the next model call.
//!
//! Served one after another in the order `1..N` of [`order`](super::order), with weights `wᵢ` and `ρᵢ` seconds of work each,
//! the weighted sum of completion times is
//!
//! ```text
//! Σᵢ wᵢ (ρ₁ + … + ρᵢ)  =  Σⱼ ρⱼ Tⱼ      with  Tⱼ = wⱼ + … + w_N,
//! ```
//!
//! that is, every second of work on `j` is waited for by `j` and by all behind it. A model call with the images `B` takes
//! `c(B)` seconds and takes from each `ρⱼ` the seconds `uⱼ` that the step would have taken alone. So the sum still to come falls by
//!
//! ```text
//! value(B)  =  Σ_{j∈B} uⱼ Tⱼ ,
//! ```
//!
//! and the rule is steepest descent: **among all calls that could be made, make the one of greatest value per second,
//! `value(B) / c(B)`**. As `Tⱼ` falls along the order, the best call of `n` images with equal rows is the first `n` of its key,
//! so for each key only the prefixes are compared.
//!
//! What follows from the curve alone:
//!
//! - *Linear* (`c(B) = Σ uⱼ`): the value per second is the mean of `Tⱼ`, greatest for the first image alone. Shortest remaining
//!   work first, one image a call.
//! - *Flat*: every image adds value and no seconds. The batch is filled: continuous batching.
//! - *Between*: image `j` is taken along while `(c(B+j) − c(B)) / uⱼ < Tⱼ · c(B) / value(B)`, that is, while the price of its step in
//!   this call, as a part of what it would cost alone, is below the share of the waiting weight that gains from it. Of two
//!   equal images the second is taken along when `c(2) < 1.5 c(1)`, which is exactly when the sum of their completion times
//!   gains; of sixty-four, the second already when it saves 1.6 %.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::order::Ranked;
use super::plan::ImageId;
use crate::{BatchKey, CostCurve};

/// A ratio must be greater by this part to be better: sums of the same seconds in another order are not a gain.
const LEAST_GAIN: f64 = 1e-9;

/// Images for one model call, in the order of their turns.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) key: BatchKey,
    pub(super) rows: u32,
    pub(super) images: Vec<BatchImage>,
    /// What the call is expected to take.
    pub(super) seconds: f64,
    /// What its steps would take alone.
    pub(super) work: f64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct BatchImage {
    pub(super) id: ImageId,
    /// Whether it still needs a slot.
    pub(super) unadmitted: bool,
}

/// What bounds a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) max_rows: u32,
    pub(super) free_slots: usize,
}

/// The call of greatest value per second.
pub(super) fn of_greatest_value(order: &[Ranked], costs: &CostCurve, room: Room) -> Option<Batch> {
    let mut prefixes: BTreeMap<&BatchKey, Prefix> = BTreeMap::new();
    for ranked in order {
        let prefix = prefixes.entry(&ranked.job.key).or_insert_with(|| Prefix::new(&ranked.job.key, room));
        for image in images(ranked) {
            if !prefix.push(ranked, image) {
                break;
            }
            let seconds = costs.seconds(&ranked.job.key, prefix.batch.rows);
            prefix.judge(seconds);
        }
    }
    let best = prefixes.into_values().reduce(|a, b| if b.best.beats(&a.best) { b } else { a })?;
    best.into_batch()
}

/// A batch that is made up from the oldest and then kept together until all its images are done: the way of servers that
/// batch whole requests. Nobody joins on the way, and who is done early leaves his place empty.
pub(super) fn of_the_oldest(by_arrival: &[Ranked], costs: &CostCurve, size: NonZeroU32, room: Room) -> Option<Batch> {
    let size = size.get() as usize;
    let under_way = by_arrival.iter().find(|ranked| ranked.job.steppable().next().is_some());
    let head = under_way.or_else(|| by_arrival.iter().find(|ranked| !ranked.job.unadmitted().is_empty()))?;
    let mut prefix = Prefix::new(&head.job.key, room);
    for ranked in by_arrival.iter().filter(|ranked| ranked.job.key == head.job.key) {
        for image in images(ranked).filter(|image| under_way.is_none() || !image.unadmitted) {
            if prefix.batch.images.len() == size || !prefix.push(ranked, image) {
                break;
            }
        }
    }
    prefix.best = prefix.candidate(costs.seconds(&head.job.key, prefix.batch.rows));
    prefix.into_batch()
}

/// The images of a job that could be stepped, those with a slot first.
fn images<'a>(ranked: &'a Ranked) -> impl Iterator<Item = BatchImage> + 'a {
    let id = |image| ImageId { job: ranked.id, image };
    let open = ranked.job.steppable().map(move |image| BatchImage { id: id(image), unadmitted: false });
    open.chain(ranked.job.unadmitted().map(move |image| BatchImage { id: id(image), unadmitted: true }))
}

/// The first images of one key, and the best of the prefixes seen so far.
struct Prefix {
    batch: Batch,
    value: f64,
    room: Room,
    best: Best,
}

#[derive(Clone, Copy, Debug, Default)]
struct Best {
    images: usize,
    rows: u32,
    seconds: f64,
    work: f64,
    value_per_second: f64,
}

impl Prefix {
    fn new(key: &BatchKey, room: Room) -> Self {
        let batch = Batch { key: key.clone(), rows: 0, images: Vec::new(), seconds: 0.0, work: 0.0 };
        Prefix { batch, value: 0.0, room, best: Best::default() }
    }

    /// Adds an image if there is room for it. The first may have more rows than a batch: it could run nowhere else.
    fn push(&mut self, ranked: &Ranked, image: BatchImage) -> bool {
        let rows = self.batch.rows.saturating_add(ranked.job.rows);
        let too_many = !self.batch.images.is_empty() && rows > self.room.max_rows;
        if too_many || (image.unadmitted && self.room.free_slots == 0) {
            return false;
        }
        self.room.free_slots -= usize::from(image.unadmitted);
        self.batch.rows = rows;
        self.batch.work += ranked.step;
        self.value += ranked.step * ranked.waiting;
        self.batch.images.push(image);
        true
    }

    /// All that was pushed, as a call of so many seconds.
    fn candidate(&self, seconds: f64) -> Best {
        let Batch { rows, work, .. } = self.batch;
        Best { images: self.batch.images.len(), rows, seconds, work, value_per_second: self.value / seconds }
    }

    fn judge(&mut self, seconds: f64) {
        let candidate = self.candidate(seconds);
        if candidate.beats(&self.best) {
            self.best = candidate;
        }
    }

    fn into_batch(self) -> Option<Batch> {
        let Prefix { mut batch, best, .. } = self;
        batch.images.truncate(best.images);
        batch.rows = best.rows;
        batch.seconds = best.seconds;
        batch.work = best.work;
        (!batch.images.is_empty()).then_some(batch)
    }
}

impl Best {
    fn beats(&self, other: &Best) -> bool {
        self.value_per_second > other.value_per_second * (1.0 + LEAST_GAIN)
    }
}
