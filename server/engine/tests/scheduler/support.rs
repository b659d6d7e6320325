//! Runs a scheduler in virtual time.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use x0_engine::{
    BatchKey, CostCurve, Failure, FailureCode, ImageId, ImageStep, Job, JobId, Outcome, Plan, Priority, Scheduler,
    SchedulerOptions, Tenant, Transition,
};

/// Seconds of a call, by its rows.
pub(crate) type Cost = fn(f64) -> f64;

/// Where an image fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Admit,
    Step(u32),
    Decode,
}

/// A scheduler, and a device that exists in virtual time only.
pub(crate) struct Simulation {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: Instant,
    start: Instant,
    cost: Box<dyn Fn(f64) -> f64>,
    /// What decoding a picture takes.
    pub(crate) decode: Duration,
    /// What a preview takes.
    pub(crate) preview: Duration,
    /// A call of more rows runs out of memory.
    pub(crate) memory: u32,
    pub(crate) faults: BTreeMap<(ImageId, Place), FailureCode>,
}

/// What was done in one turn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    Rest,
    Retire(Vec<JobId>),
    Admit(Vec<ImageId>),
    Step { key: BatchKey, rows: u32, images: Vec<ImageStep> },
    Decode(ImageId),
}

#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) act: Act,
    pub(crate) failed: Vec<ImageId>,
    /// Whether there was no memory for the call.
    pub(crate) out_of_memory: bool,
    pub(crate) transitions: Vec<(JobId, Transition)>,
}

impl Simulation {
    /// The scheduler knows what calls of so many rows cost with model m at sides 8 and 16, and has to learn the rest.
    pub(crate) fn new(options: SchedulerOptions, cost: impl Fn(f64) -> f64 + 'static, known: &[u32]) -> Self {
        let start = Instant::now();
        let mut costs = CostCurve::new();
        for (rows, side) in known.iter().flat_map(|rows| [(rows, 8), (rows, 16)]) {
            let duration = Duration::from_secs_f64(cost(f64::from(*rows)) * area(side));
            (0..3).for_each(|_| costs.observe(&key("m", side), *rows, duration));
        }
        let scheduler = Scheduler::new(options, costs);
        Simulation {
            scheduler,
            now: start,
            start,
            cost: Box::new(cost),
            decode: Duration::ZERO,
            preview: Duration::ZERO,
            memory: u32::MAX,
            faults: BTreeMap::new(),
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        (self.now - self.start).as_secs_f64()
    }

    pub(crate) fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    /// Plans, carries out and applies, and lets the time pass that it took.
    pub(crate) fn turn(&mut self) -> Turn {
        let mut transitions = self.scheduler.notices(self.now);
        let plan = self.scheduler.plan(self.now);
        let mut outcome = Outcome::default();
        let act = match &plan {
            Plan::Rest => Act::Rest,
            Plan::Retire(endings) => Act::Retire(endings.iter().map(|(id, _)| *id).collect()),
            Plan::Admit(images) => {
                images.iter().for_each(|image| self.fault(*image, Place::Admit, &mut outcome));
                Act::Admit(images.clone())
            }
            Plan::Step { key, rows, images } => {
                if *rows > self.memory {
                    let shortage = |step: &ImageStep| (step.image, failure(FailureCode::OutOfMemory));
                    outcome.out_of_memory = images.iter().map(shortage).collect();
                } else {
                    images.iter().for_each(|step| self.fault(step.image, Place::Step(step.step), &mut outcome));
                }
                outcome.duration = Duration::from_secs_f64((self.cost)(f64::from(*rows)) * area(key.height));
                let previews = images.iter().filter(|step| step.preview);
                outcome.previews = previews.map(|step| (step.image.job, self.preview)).collect();
                Act::Step { key: key.clone(), rows: *rows, images: images.clone() }
            }
            Plan::Decode(image) => {
                self.fault(*image, Place::Decode, &mut outcome);
                outcome.duration = self.decode;
                Act::Decode(*image)
            }
        };
        self.now += outcome.duration + outcome.previews.iter().map(|(_, duration)| *duration).sum::<Duration>();
        let failed = outcome.failures.iter().map(|(image, _)| *image).collect();
        let out_of_memory = !outcome.out_of_memory.is_empty();
        transitions.extend(self.scheduler.apply(plan, outcome));
        Turn { act, failed, out_of_memory, transitions }
    }

    fn fault(&self, image: ImageId, place: Place, outcome: &mut Outcome) {
        if let Some(code) = self.faults.get(&(image, place)) {
            outcome.failures.push((image, failure(*code)));
        }
    }
}

fn failure(code: FailureCode) -> Failure {
    Failure { code, message: "as told".into() }
}

/// How much more a row of this side costs than one of side 8.
pub(crate) fn area(side: u32) -> f64 {
    f64::from(side * side) / 64.0
}

pub(crate) fn key(model: &str, side: u32) -> BatchKey {
    BatchKey { model: model.into(), height: side, width: side, context: 0 }
}

pub(crate) fn count(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("a count is at least one")
}

/// A job of one image, of tenant 0.
pub(crate) fn job(id: u128, steps: u32, rows: u32) -> Job<()> {
    Job {
        id: JobId(id),
        key: key("m", 8),
        tenant: Tenant(0),
        priority: Priority::Normal,
        images: NonZeroU32::MIN,
        steps: count(steps),
        second_pass: None,
        rows: count(rows),
        preview_every: None,
        deadline: None,
        work: Arc::new(()),
    }
}

pub(crate) fn options(max_rows: u32, max_slots: u32) -> SchedulerOptions {
    SchedulerOptions { max_rows: count(max_rows), max_slots: count(max_slots), ..SchedulerOptions::default() }
}

/// Numbers that are the same on every run (xorshift64*, Vigna 2016).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
