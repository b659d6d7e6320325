//! Watches a simulation from outside, with its own books, and protests against whatever must not be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use x0_engine::{BatchKey, Ending, Failure, FailureCode, ImageId, ImageStep, Job, JobId, Tenant, Transition};

use crate::support::{Act, Turn, area};

/// What the oldest job of a tenant is promised of its tenant's time.
const ELDEST_SHARE: f64 = 0.1;

/// Calls that go well before one that ran out of memory is tried again.
const GOOD_CALLS: u32 = 100;

pub(crate) struct Witness {
    max_rows: u32,
    max_slots: usize,
    overhead: f64,
    decode: f64,
    jobs: BTreeMap<JobId, Record>,
    /// Steps done by the images that have a slot.
    open: BTreeMap<ImageId, u32>,
    /// The rows of the last call that ran out of memory, and how many calls went well since.
    shortages: BTreeMap<BatchKey, (u32, u32)>,
    fair: f64,
    received: BTreeMap<Tenant, f64>,
    /// What a tenant had received when it came, and how far it was behind when it last went.
    at_first: BTreeMap<Tenant, f64>,
    owed: BTreeMap<Tenant, f64>,
    /// The furthest that a tenant with jobs was behind.
    behind: f64,
    /// The longest call, with the decoding of its pictures.
    longest_call: f64,
    /// How many times longer than its first image alone a call took, at most.
    stretch: f64,
}

struct Record {
    job: Job<()>,
    arrived: Instant,
    started: bool,
    cancelled: bool,
    failed: bool,
    finished: BTreeSet<u32>,
    ended: Option<Instant>,
}

impl Witness {
    /// Seconds of a call are `overhead + rows` at side 8.
    pub(crate) fn new(max_rows: u32, max_slots: usize, overhead: f64, decode: f64) -> Self {
        Witness {
            max_rows,
            max_slots,
            overhead,
            decode,
            jobs: BTreeMap::new(),
            open: BTreeMap::new(),
            shortages: BTreeMap::new(),
            fair: 0.0,
            received: BTreeMap::new(),
            at_first: BTreeMap::new(),
            owed: BTreeMap::new(),
            behind: 0.0,
            longest_call: 0.0,
            stretch: 1.0,
        }
    }

    pub(crate) fn submitted(&mut self, job: Job<()>, now: Instant) {
        if !self.active().contains(&job.tenant) {
            let least = self.fair - self.owed.get(&job.tenant).unwrap_or(&0.0);
            let received = self.received.get(&job.tenant).map_or(least, |received| received.max(least));
            self.received.insert(job.tenant, received);
            self.at_first.insert(job.tenant, received);
        }
        let (started, cancelled, failed) = (false, false, false);
        let record = Record { job, arrived: now, started, cancelled, failed, finished: BTreeSet::new(), ended: None };
        self.jobs.insert(record.job.id, record);
    }

    pub(crate) fn cancelled(&mut self, id: JobId) {
        self.record(id).cancelled = true;
    }

    pub(crate) fn slots(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn unfinished(&self) -> Vec<JobId> {
        self.jobs.iter().filter(|(_, record)| record.ended.is_none()).map(|(id, _)| *id).collect()
    }

    /// Turns that the jobs can take at most: every one admits, steps, decodes or retires.
    pub(crate) fn turns_left(&self) -> u32 {
        let jobs = self.jobs.values().filter(|record| record.ended.is_none());
        jobs.map(|record| record.job.images.get() * (steps(&record.job) + 2) + 1).sum()
    }

    pub(crate) fn turn(&mut self, turn: &Turn, before: Instant, after: Instant) {
        let seconds = (after - before).as_secs_f64();
        match &turn.act {
            Act::Rest => assert!(self.unfinished().is_empty(), "rests while there is work"),
            Act::Retire(ids) => ids.iter().for_each(|id| self.is_doomed(*id, before)),
            Act::Admit(images) => self.admit(images, &turn.failed, before),
            Act::Step { key, rows, images } => {
                self.step(key, *rows, images, before, seconds);
                self.shortage(key, *rows, images, turn);
            }
            Act::Decode(image) => {
                self.is_alive(image.job, before);
                assert_eq!(self.open[image], steps(&self.jobs[&image.job].job), "is not yet done");
                // The slots of a job that failed are counted until it is retired.
                if turn.failed.is_empty() {
                    self.open.remove(image);
                }
                self.charge(image.job, seconds);
            }
        }
        turn.failed.iter().for_each(|image| self.record(image.job).failed = true);
        for (id, transition) in &turn.transitions {
            self.transition(*id, transition, after);
        }
        let active = self.active();
        let behind = active.iter().map(|tenant| self.fair - self.received[tenant]).fold(0.0, f64::max);
        self.behind = self.behind.max(behind);
    }

    fn admit(&mut self, images: &[ImageId], failed: &[ImageId], now: Instant) {
        for image in images {
            self.is_alive(image.job, now);
            let fresh = !self.open.contains_key(image) && !self.jobs[&image.job].finished.contains(&image.image);
            assert!(fresh, "admitted twice");
            if !failed.contains(image) {
                self.open.insert(*image, 0);
            }
        }
        assert!(self.open.len() <= self.max_slots, "too many slots");
    }

    fn step(&mut self, key: &BatchKey, rows: u32, images: &[ImageStep], now: Instant, seconds: f64) {
        let mut sum = 0;
        let mut seen = BTreeSet::new();
        for ImageStep { image, step, preview } in images {
            self.is_alive(image.job, now);
            assert!(seen.insert(*image), "twice in one call");
            let job = &self.jobs[&image.job].job;
            assert_eq!(key_of(job, *step), key, "two keys in one call");
            assert_eq!(*step, self.open[image] + 1, "a step out of order");
            assert!(*step <= steps(job), "a step too many");
            assert_eq!(*preview, job.preview_every.is_some_and(|every| step.is_multiple_of(every.get())));
            sum += job.rows.get();
        }
        assert_eq!(rows, sum);
        assert!(rows <= self.max_rows || images.len() == 1, "too many rows");
        let first = &self.jobs[&images[0].image.job].job;
        self.stretch = self.stretch.max(seconds / self.step_alone(first, key));
        self.longest_call = self.longest_call.max(seconds + self.decode * images.len() as f64);
        self.charge(first.id, seconds);
    }

    /// Who runs out of memory alone fails. In company nothing happens to anybody, but no call has more than half of the rows for a
    /// while.
    fn shortage(&mut self, key: &BatchKey, rows: u32, images: &[ImageStep], turn: &Turn) {
        if let Some((lacking, good_calls)) = self.shortages.get_mut(key) {
            assert!(rows <= *lacking / 2 || images.len() == 1 || *good_calls >= GOOD_CALLS, "runs out of memory again");
            *good_calls += u32::from(!turn.out_of_memory && turn.failed.is_empty());
        }
        match (turn.out_of_memory, images) {
            (false, _) => {}
            (true, [alone]) => self.record(alone.image.job).failed = true,
            (true, _) => {
                let happened = turn.transitions.iter().any(|(_, what)| !matches!(what, Transition::Queued { .. }));
                assert!(!happened, "something follows from a call that was not made");
                self.shortages.insert(key.clone(), (rows, 0));
            }
        }
    }

    fn transition(&mut self, id: JobId, transition: &Transition, now: Instant) {
        let record = self.jobs.get_mut(&id).expect("a submitted job");
        assert_eq!(record.ended, None, "something after the end");
        match transition {
            Transition::Queued { .. } => assert!(!record.started, "queued after it started"),
            Transition::Started => assert!(!std::mem::replace(&mut record.started, true), "started twice"),
            Transition::Stepped { image, step, .. } => {
                assert!(record.started);
                let done = self.open.get_mut(&ImageId { job: id, image: *image }).expect("a slot");
                *done += 1;
                assert_eq!(done, step);
            }
            Transition::Finished { image } => assert!(record.finished.insert(*image), "finished twice"),
            Transition::Ended(ending) => {
                record.ended = Some(now);
                let reason = match ending {
                    Ending::Succeeded => record.finished.len() == record.job.images.get() as usize,
                    Ending::Cancelled => record.cancelled,
                    Ending::Failed(Failure { code: FailureCode::DeadlineExceeded, .. }) => {
                        record.job.deadline.is_some_and(|deadline| deadline <= now)
                    }
                    Ending::Failed(_) => record.failed,
                };
                assert!(reason, "{ending:?} without a reason");
                let tenant = record.job.tenant;
                self.open.retain(|image, _| image.job != id);
                let received = self.received[&tenant];
                let owed = (self.fair - received).clamp(0.0, received - self.at_first[&tenant]);
                self.owed.insert(tenant, owed);
            }
        }
    }

    /// Nothing may be spent on a job that is to end.
    fn is_alive(&self, id: JobId, now: Instant) {
        assert!(!self.to_end(id, now), "something is spent on a job that is to end");
    }

    fn is_doomed(&self, id: JobId, now: Instant) {
        assert!(self.to_end(id, now), "retired without a reason");
    }

    fn to_end(&self, id: JobId, now: Instant) -> bool {
        let record = &self.jobs[&id];
        let expired = record.job.deadline.is_some_and(|deadline| deadline <= now);
        record.cancelled || record.failed || record.ended.is_some() || expired
    }

    fn record(&mut self, id: JobId) -> &mut Record {
        self.jobs.get_mut(&id).expect("a submitted job")
    }

    fn active(&self) -> BTreeSet<Tenant> {
        self.jobs.values().filter(|record| record.ended.is_none()).map(|record| record.job.tenant).collect()
    }

    fn charge(&mut self, id: JobId, seconds: f64) {
        self.fair += seconds / self.active().len() as f64;
        *self.received.entry(self.jobs[&id].job.tenant).or_default() += seconds;
    }

    fn step_alone(&self, job: &Job<()>, key: &BatchKey) -> f64 {
        (self.overhead + f64::from(job.rows.get())) * area(key.height)
    }

    fn alone(&self, job: &Job<()>) -> f64 {
        let stepping: f64 = (1..=steps(job)).map(|step| self.step_alone(job, key_of(job, step))).sum();
        f64::from(job.images.get()) * (stepping + self.decode)
    }

    /// What the ledger promises: no tenant is behind by more than `2q + c`, and every job that ended did so
    /// within `A ((B + c) / share + kB + 2q + c)`.
    pub(crate) fn check_bounds(&self) {
        let jobs = || self.jobs.values().map(|record| &record.job);
        let longest = jobs().map(|job| self.alone(job)).fold(0.0, f64::max);
        let tenants = jobs().map(|job| job.tenant).collect::<BTreeSet<_>>().len() as f64;
        let slack = 2.0 * longest + self.longest_call + 1e-6;
        assert!(self.behind <= slack, "a tenant was behind by {} s, which is more than {slack}", self.behind);
        for (id, record) in &self.jobs {
            let Some(ended) = record.ended else { continue };
            let before = |other: &&Record| {
                other.job.tenant == record.job.tenant
                    && other.job.id <= *id
                    && other.ended.is_none_or(|ended| ended > record.arrived)
            };
            let work: f64 = self.jobs.values().filter(before).map(|other| self.alone(&other.job)).sum();
            let own_turns = (work + self.longest_call) / ELDEST_SHARE + self.stretch * work;
            let waited = (ended - record.arrived).as_secs_f64();
            assert!(waited <= tenants * (own_turns + slack), "{id:?} took {waited} s");
        }
    }
}

/// Steps of an image, through both passes.
fn steps(job: &Job<()>) -> u32 {
    job.steps.get() + job.second_pass.as_ref().map_or(0, |second| second.steps.get())
}

/// What step `step` of an image, 1-based, is done with.
fn key_of(job: &Job<()>, step: u32) -> &BatchKey {
    match &job.second_pass {
        Some(second) if step > job.steps.get() => &second.key,
        Some(_) | None => &job.key,
    }
}
