//! What is done next: a pure state machine.
//!
//! It has no clock (time is an argument), no channel and no tensor. Jobs go in by [`submit`](Scheduler::submit),
//! [`cancel`](Scheduler::cancel) and [`drain`](Scheduler::drain). [`plan`](Scheduler::plan) says the one next thing to
//! do; whoever carries it out hands the plan and what came of it to [`apply`](Scheduler::apply), which says what
//! follows for the jobs.
//!
//! - An image is pre-empted only between model calls: it keeps its slot and is left out of the next batch. The number
//!   of slots is bounded. An image gets one when it is to be stepped, not before.
//! - All images of a job end together: one that fails ends the job, and frees the others.
//! - Between two model calls pictures are decoded, one a plan, until that has taken as long as the last model call. Who
//!   is done need not wait, and decoding takes about half of the device at most, or one picture a call where that takes
//!   longer.
//!
//! - A step of several images for which the device has no memory is not a failure: `memory` halves it, and the same images are
//!   stepped by fewer at once.
//!
//! The policy is one rule in two parts, each derived where it stands: `order` says who goes first, and `batch` who goes
//! along, by the measured [`CostCurve`]. `ledger` holds what is fair, and the bound on every wait.

mod batch;
mod ledger;
mod memory;
mod notice;
mod order;
mod plan;
mod policy;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

pub use plan::{Ending, ImageId, ImageStep, Outcome, Plan, Transition};
pub use policy::{Policy, UnknownPolicy};

use crate::{CostCurve, Job, JobId};
use batch::{Batch, Room};
use ledger::Ledger;
use memory::Memory;
use notice::Notice;
use order::Ranked;
use state::JobState;

/// What bounds a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerOptions {
    pub policy: Policy,
    /// Rows of one model call. An image that has more is stepped alone.
    pub max_rows: NonZeroU32,
    /// Images that have a slot at the same time, and with it memory.
    pub max_slots: NonZeroU32,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        let [max_rows, max_slots] = [16, 64].map(|n| NonZeroU32::MIN.saturating_add(n - 1));
        SchedulerOptions { policy: Policy::default(), max_rows, max_slots }
    }
}

/// Decides which images are admitted, stepped, decoded and set aside.
#[derive(Clone, Debug)]
pub struct Scheduler {
    options: SchedulerOptions,
    costs: CostCurve,
    memory: Memory,
    ledger: Ledger,
    jobs: BTreeMap<JobId, JobState>,
    /// The number of the next job to arrive.
    next_number: u64,
    /// How long the last model call took, and how long pictures were decoded since.
    last_step: Duration,
    decoding: Duration,
    /// When the jobs that are left are to be given up.
    drain: Option<Instant>,
    /// When the waiting were last looked through for news. `None` when a job came since.
    noticed: Option<Instant>,
}

impl Scheduler {
    pub fn new(options: SchedulerOptions, costs: CostCurve) -> Self {
        Scheduler {
            options,
            costs,
            memory: Memory::default(),
            ledger: Ledger::default(),
            jobs: BTreeMap::new(),
            next_number: 0,
            last_step: Duration::ZERO,
            decoding: Duration::ZERO,
            drain: None,
            noticed: None,
        }
    }

    /// Takes a job in. One whose id is already here is ignored. The caller bounds how many there are.
    pub fn submit<W>(&mut self, job: &Job<W>) {
        if self.jobs.contains_key(&job.id) {
            return;
        }
        self.jobs.insert(job.id, JobState::new(job, self.next_number));
        self.ledger.join(job.tenant);
        self.next_number += 1;
        self.noticed = None;
    }

    /// Asks for the end of a job. The next plan retires it; of an unknown job nothing comes.
    pub fn cancel(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.end(Ending::Cancelled);
        }
    }

    /// Gives up, at `deadline`, the jobs that are not done by then. Of several deadlines the earliest stands.
    pub fn drain(&mut self, deadline: Instant) {
        self.drain = Some(self.drain.map_or(deadline, |earlier| earlier.min(deadline)));
    }

    /// Whether no job is left.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Images that have a slot.
    pub fn slots(&self) -> usize {
        self.jobs.values().map(JobState::slots).sum()
    }

    /// The model time that the jobs still need, by the measured cost and the batches that are now worth making. Previews are
    /// left out here and in what the waiting are told, as how long one takes differs by how it is asked for.
    pub fn expected(&self) -> Duration {
        let order = self.order();
        let gain = self.gain(&order);
        let seconds = order.iter().map(|ranked| ranked.expected(gain)).sum();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// What the waiting are to be told: each job once at first, and again when its place or its expected finish changed.
    /// Nobody hears more than once a second.
    pub fn notices(&mut self, now: Instant) -> Vec<(JobId, Transition)> {
        if self.noticed.is_some_and(|at| now.saturating_duration_since(at) < notice::INTERVAL) {
            return Vec::new();
        }
        self.noticed = Some(now);
        let order = self.order();
        let gain = self.gain(&order);
        let mut eta = 0.0;
        let mut etas = Vec::with_capacity(order.len());
        for ranked in &order {
            eta += ranked.expected(gain);
            etas.push((ranked.id, eta));
        }
        let mut told = Vec::new();
        for (position, (id, eta)) in etas.into_iter().enumerate() {
            if let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.started())
                && let Some(transition) = Notice::tell(&mut job.notice, position, eta, now)
            {
                told.push((id, transition));
            }
        }
        told
    }

    /// The one next thing to do.
    pub fn plan(&self, now: Instant) -> Plan {
        let ending = |(id, job): (&JobId, &JobState)| Some((*id, job.ending(now, self.drain)?));
        let endings: Vec<(JobId, Ending)> = self.jobs.iter().filter_map(ending).collect();
        if !endings.is_empty() {
            return Plan::Retire(endings);
        }
        let order = self.order();
        match (order::decodable(&order), self.batch(&order)) {
            (None, None) => Plan::Rest,
            (Some(image), None) => Plan::Decode(image),
            (Some(image), Some(_)) if self.decoding <= self.last_step => Plan::Decode(image),
            (_, Some(batch)) => self.run(batch),
        }
    }

    /// Takes note of what came of a plan, and says what follows for the jobs, in order.
    pub fn apply(&mut self, plan: Plan, outcome: Outcome) -> Vec<(JobId, Transition)> {
        let Outcome { mut failures, out_of_memory, duration, previews } = outcome;
        let unstepped: BTreeSet<ImageId> = out_of_memory.iter().map(|(image, _)| *image).collect();
        if let Plan::Step { key, rows, images } = &plan
            && !unstepped.is_empty()
        {
            match images.len() {
                1 => failures.extend(out_of_memory),
                _ => self.memory.ran_out(key, *rows),
            }
        }
        let failures: BTreeMap<_, _> = failures.into_iter().collect();
        for (image, failure) in &failures {
            if let Some(job) = self.jobs.get_mut(&image.job) {
                job.end(Ending::Failed(failure.clone()));
            }
        }
        let went_well = |image: &ImageId| !failures.contains_key(image) && !unstepped.contains(image);
        match plan {
            Plan::Rest => Vec::new(),
            Plan::Retire(endings) => endings.into_iter().filter_map(|(id, ending)| self.remove(id, ending)).collect(),
            Plan::Admit(images) => {
                let each = duration.as_secs_f64() / images.len().max(1) as f64;
                images.iter().for_each(|image| self.charge(image.job, each));
                let admitted = images.into_iter().filter(went_well);
                admitted.filter_map(|id| Some((id.job, self.jobs.get_mut(&id.job)?.admitted(id.image)?))).collect()
            }
            Plan::Step { key, rows, images } => {
                (self.last_step, self.decoding) = (duration, Duration::ZERO);
                if let Some(first) = images.first() {
                    self.charge(first.image.job, duration.as_secs_f64());
                }
                previews.into_iter().for_each(|(job, duration)| self.charge(job, duration.as_secs_f64()));
                if failures.is_empty() && unstepped.is_empty() {
                    self.costs.observe(&key, rows, duration);
                    self.memory.went_well(&key, self.options.max_rows.get());
                }
                let stepped = images.into_iter().map(|step| step.image).filter(went_well);
                stepped.filter_map(|id| Some((id.job, self.jobs.get_mut(&id.job)?.stepped(id.image)?))).collect()
            }
            Plan::Decode(image) => {
                self.decoding += duration;
                self.charge(image.job, duration.as_secs_f64());
                if went_well(&image) { self.decode(image, duration) } else { Vec::new() }
            }
        }
    }

    fn order(&self) -> Vec<Ranked<'_>> {
        match self.options.policy {
            Policy::BestValue => order::by_value(&self.jobs, &self.ledger, &self.costs),
            Policy::FirstCome | Policy::FixedBatch(_) => order::by_arrival(&self.jobs, &self.costs),
        }
    }

    fn batch(&self, order: &[Ranked]) -> Option<Batch> {
        let free_slots = (self.options.max_slots.get() as usize).saturating_sub(self.slots());
        let room = Room { max_rows: self.options.max_rows.get(), memory: &self.memory, free_slots };
        match self.options.policy {
            Policy::BestValue => batch::of_greatest_value(order, &self.costs, room),
            Policy::FirstCome => batch::of_the_oldest(order, &self.costs, NonZeroU32::MIN, room),
            Policy::FixedBatch(size) => batch::of_the_oldest(order, &self.costs, size, room),
        }
    }

    /// How much more work is done in a second of the next call than if its images were alone.
    fn gain(&self, order: &[Ranked]) -> f64 {
        self.batch(order).map_or(1.0, |batch| batch.work / batch.seconds)
    }

    /// The plan that brings a batch forward: its slots first, where some are missing.
    fn run(&self, batch: Batch) -> Plan {
        let Batch { key, rows, images, .. } = batch;
        let unadmitted: Vec<ImageId> = images.iter().filter(|image| image.unadmitted).map(|image| image.id).collect();
        if !unadmitted.is_empty() {
            return Plan::Admit(unadmitted);
        }
        let step = |image: ImageId| {
            let (step, preview) = self.jobs[&image.job].next_step(image.image);
            ImageStep { image, step, preview }
        };
        Plan::Step { key, rows, images: images.into_iter().map(|image| step(image.id)).collect() }
    }

    fn decode(&mut self, image: ImageId, duration: Duration) -> Vec<(JobId, Transition)> {
        let Some(job) = self.jobs.get_mut(&image.job) else { return Vec::new() };
        let key = job.last_key().clone();
        self.costs.observe_decoding(&key, duration);
        let finished = (image.job, job.decoded(image.image));
        let ended = if job.is_complete() { self.remove(image.job, Ending::Succeeded) } else { None };
        [Some(finished), ended].into_iter().flatten().collect()
    }

    fn remove(&mut self, id: JobId, ending: Ending) -> Option<(JobId, Transition)> {
        let job = self.jobs.remove(&id)?;
        self.ledger.leave(job.tenant);
        Some((id, Transition::Ended(ending)))
    }

    /// Writes seconds to the account of a job's tenant.
    fn charge(&mut self, id: JobId, seconds: f64) {
        let Some(job) = self.jobs.get(&id) else { return };
        let (tenant, number) = (job.tenant, job.number);
        let eldest = self.jobs.values().filter(|other| other.tenant == tenant).all(|other| other.number >= number);
        self.ledger.charge(tenant, eldest, seconds);
    }
}
