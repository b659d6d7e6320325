//! Which images share the next model call.
//!
//! Served one after another in the order `1..N` of [`order`](super::order), with weights `wᵢ` and `ρᵢ` seconds of work each,
//! the weighted sum of completion times is
//!
//! ```text
//! Σᵢ wᵢ (ρ₁ + … + ρᵢ)  =  Σⱼ ρⱼ Tⱼ      with  Tⱼ = wⱼ + … + w_N,
//! ```
//!
//! that is, every second of work on `j` is waited for by `j` and by all behind it. A model call with the images `B`
//! takes `c(B)` seconds and takes from each `ρⱼ` the seconds `uⱼ` that the step would have taken alone. So the sum
//! still to come falls by
//!
//! ```text
//! value(B)  =  Σ_{j∈B} uⱼ Tⱼ ,
//! ```
//!
//! and the rule is steepest descent: **among all calls that could be made, make the one of greatest value per second,
//! `value(B) / c(B)`**. As `Tⱼ` falls along the order, the best call of `n` images with equal rows is the first `n` of
//! its key, so for each key only the prefixes are compared. The first image of the call has the *turn*. Where fairness
//! gives the turn to another, a late job or an oldest one, the batch is that of greatest value per second among those
//! that begin with it.
//!
//! What follows from the curve alone:
//!
//! - *Linear* (`c(B) = Σ uⱼ`): the value per second is the mean of `Tⱼ`, greatest for the first image alone. Shortest
//!   remaining work first, one image a call.
//! - *Flat*: every image adds value and no seconds. The batch is filled: continuous batching.
//! - *Between*: image `j` is taken along while `(c(B+j) − c(B)) / uⱼ < Tⱼ · c(B) / value(B)`, that is, while the price
//!   of its step in this call, as a part of what it would cost alone, is below the share of the waiting weight that
//!   gains from it. Of two equal images the second is taken along when `c(2) < 1.5 c(1)`, which is exactly when the sum
//!   of their completion times gains; of sixty-four, the second already when it saves 1.6 %.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::memory::Memory;
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
pub(super) struct Room<'a> {
    pub(super) max_rows: u32,
    pub(super) memory: &'a Memory,
    pub(super) free_slots: usize,
}

/// The call of greatest value per second, or, where fairness gives somebody the turn, of those that begin with him.
pub(super) fn of_greatest_value(order: &[Ranked], costs: &CostCurve, room: Room) -> Option<Batch> {
    let could_run = |ranked: &&Ranked| images(ranked).next().is_some_and(|image| room.has_slot(image));
    let first = order.iter().find(could_run)?;
    let head = if first.late { first } else { greatest_value(order, costs, room)? };
    let of_its_tenant = |ranked: &&Ranked| ranked.job.tenant == head.job.tenant;
    let due = order.iter().filter(of_its_tenant).filter(could_run).find(|ranked| ranked.is_due(ranked.step));
    beginning_with(due.unwrap_or(head), order, costs, room)
}

/// The first of the call of greatest value per second.
fn greatest_value<'a>(order: &'a [Ranked<'a>], costs: &CostCurve, room: Room) -> Option<&'a Ranked<'a>> {
    let mut prefixes: BTreeMap<&BatchKey, Prefix> = BTreeMap::new();
    for ranked in order {
        let key = ranked.job.key();
        let prefix = prefixes.entry(key).or_insert_with(|| Prefix::new(key, room.explored(key, costs)));
        prefix.extend(ranked, ranked.waiting, costs);
    }
    let best = prefixes.into_values().reduce(|a, b| if b.best.beats(&a.best) { b } else { a })?;
    let first = best.batch.images.first()?.id.job;
    order.iter().find(|ranked| ranked.id == first)
}

/// The call of greatest value per second that begins with `head`. All wait for whoever has the turn.
fn beginning_with(head: &Ranked, order: &[Ranked], costs: &CostCurve, room: Room) -> Option<Batch> {
    let mut prefix = Prefix::new(head.job.key(), room.explored(head.job.key(), costs));
    prefix.extend(head, order.first()?.waiting, costs);
    for ranked in order.iter().filter(|ranked| ranked.job.key() == head.job.key() && ranked.id != head.id) {
        prefix.extend(ranked, ranked.waiting, costs);
    }
    prefix.into_batch()
}

/// A batch that is made up from the oldest and then kept together until all its images are done: the way of servers that
/// batch whole requests. Nobody joins on the way, and who is done early leaves his place empty.
pub(super) fn of_the_oldest(by_arrival: &[Ranked], costs: &CostCurve, size: NonZeroU32, room: Room) -> Option<Batch> {
    let size = size.get() as usize;
    let under_way = by_arrival.iter().find(|ranked| ranked.job.steppable().next().is_some());
    let head = under_way.or_else(|| by_arrival.iter().find(|ranked| !ranked.job.unadmitted().is_empty()))?;
    let mut prefix = Prefix::new(head.job.key(), room.fitting(head.job.key()));
    for ranked in by_arrival.iter().filter(|ranked| ranked.job.key() == head.job.key()) {
        for image in images(ranked).filter(|image| under_way.is_none() || !image.unadmitted) {
            if prefix.batch.images.len() == size || !prefix.push(ranked, image, 0.0) {
                break;
            }
        }
    }
    prefix.best = prefix.candidate(costs.seconds(head.job.key(), prefix.batch.rows));
    prefix.into_batch()
}

impl Room<'_> {
    /// At most the rows that there is memory for.
    fn fitting(self, key: &BatchKey) -> Self {
        Room { max_rows: self.max_rows.min(self.memory.most_rows(key)), ..self }
    }

    /// At most twice the rows that were measured: beyond that the curve is a guess, and a call could take very long.
    fn explored(self, key: &BatchKey, costs: &CostCurve) -> Self {
        let room = self.fitting(key);
        Room { max_rows: room.max_rows.min(costs.largest(key).saturating_mul(2)), ..room }
    }

    fn has_slot(self, image: BatchImage) -> bool {
        !image.unadmitted || self.free_slots > 0
    }
}

/// The images of a job that could be stepped, those with a slot first.
fn images<'a>(ranked: &'a Ranked) -> impl Iterator<Item = BatchImage> + 'a {
    let id = |image| ImageId { job: ranked.id, image };
    let open = ranked.job.steppable().map(move |image| BatchImage { id: id(image), unadmitted: false });
    open.chain(ranked.job.unadmitted().map(move |image| BatchImage { id: id(image), unadmitted: true }))
}

/// The first images of one key, and the best of the prefixes seen so far.
struct Prefix<'a> {
    batch: Batch,
    value: f64,
    room: Room<'a>,
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

impl<'a> Prefix<'a> {
    fn new(key: &BatchKey, room: Room<'a>) -> Self {
        let batch = Batch { key: key.clone(), rows: 0, images: Vec::new(), seconds: 0.0, work: 0.0 };
        Prefix { batch, value: 0.0, room, best: Best::default() }
    }

    /// Adds the images of a job, as far as there is room, and judges each prefix that comes about.
    fn extend(&mut self, ranked: &Ranked, waiting: f64, costs: &CostCurve) {
        for image in images(ranked) {
            if !self.push(ranked, image, waiting) {
                return;
            }
            let candidate = self.candidate(costs.seconds(ranked.job.key(), self.batch.rows));
            if candidate.beats(&self.best) {
                self.best = candidate;
            }
        }
    }

    /// Adds an image if there is room for it. The first may have more rows than a batch: it could run nowhere else.
    fn push(&mut self, ranked: &Ranked, image: BatchImage, waiting: f64) -> bool {
        let rows = self.batch.rows.saturating_add(ranked.job.rows);
        let too_many = !self.batch.images.is_empty() && rows > self.room.max_rows;
        if too_many || !self.room.has_slot(image) {
            return false;
        }
        self.room.free_slots -= usize::from(image.unadmitted);
        self.batch.rows = rows;
        self.batch.work += ranked.step;
        self.value += ranked.step * waiting;
        self.batch.images.push(image);
        true
    }

    /// All that was pushed, as a call of so many seconds.
    fn candidate(&self, seconds: f64) -> Best {
        let Batch { rows, work, .. } = self.batch;
        Best { images: self.batch.images.len(), rows, seconds, work, value_per_second: self.value / seconds }
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
