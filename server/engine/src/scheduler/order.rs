//! In which order jobs are served.
//!
//! A job's *work* is the seconds that its steps would take if each image were alone in its calls, and those of
//! decoding. Each tenant has one vote, divided among its jobs in proportion to their priorities: that is a job's
//! *weight*, and the aim is to minimise the weighted sum of completion times. So a thousand jobs of one tenant weigh no
//! more than the ten of another, and a priority takes from the tenant's own jobs only. For one server that may pre-empt
//! at any step, the least work per weight first does that (Smith's rule, 1956, on what remains; with equal weights it
//! is SRPT).
//!
//! Two corrections keep it fair, see [`ledger`](super::ledger): jobs that are late go first, and a tenant's oldest job
//! may be due to take its tenant's next turn.

use std::collections::BTreeMap;

use super::ledger::Ledger;
use super::plan::ImageId;
use super::state::JobState;
use crate::{CostCurve, JobId, Priority, Tenant};

/// A job in its place.
#[derive(Clone, Debug)]
pub(super) struct Ranked<'a> {
    pub(super) id: JobId,
    pub(super) job: &'a JobState,
    /// Seconds of the next step of one image, alone.
    pub(super) step: f64,
    /// Seconds of all steps that are left, alone, and of decoding.
    pub(super) work: f64,
    /// Seconds of decoding alone, of all pictures and of one.
    pub(super) decoding: f64,
    pub(super) decoding_one: f64,
    /// The weight of this job and of all behind it: of all that wait while this one is served.
    pub(super) waiting: f64,
    /// Whether it would be done by now, had its tenant received its fair share.
    pub(super) late: bool,
    /// Seconds to which it has a claim, if it is the oldest job of its tenant.
    claim: Option<f64>,
    weight: f64,
    /// The fair time by which it would be done under equal sharing.
    finish: f64,
}

impl Ranked<'_> {
    /// Seconds that the job still takes, where sharing does `gain` times the steps in a second.
    pub(super) fn expected(&self, gain: f64) -> f64 {
        (self.work - self.decoding) / gain + self.decoding
    }

    /// Whether it is the oldest job of its tenant, and its claim is worth what takes so many seconds.
    pub(super) fn is_due(&self, seconds: f64) -> bool {
        self.claim.is_some_and(|claim| claim >= seconds)
    }
}

/// What a tenant's jobs have in common.
struct Shares {
    weights: f64,
    eldest: JobId,
}

/// The jobs in the order in which they are served.
pub(super) fn by_value<'a>(jobs: &'a BTreeMap<JobId, JobState>, ledger: &Ledger, costs: &CostCurve) -> Vec<Ranked<'a>> {
    let mut order = by_arrival(jobs, costs);
    let tenants = shares(&order);
    for ranked in &mut order {
        ranked.weight = weight(ranked.job.priority) / tenants[&ranked.job.tenant].weights;
    }
    // Stable: of equals the older goes first.
    order.sort_by(|a, b| (a.work / a.weight).total_cmp(&(b.work / b.weight)));
    let mut order = late_first(order, ledger);
    let mut waiting = 0.0;
    for ranked in order.iter_mut().rev() {
        waiting += ranked.weight;
        ranked.waiting = waiting;
        let eldest = tenants[&ranked.job.tenant].eldest == ranked.id;
        ranked.claim = eldest.then(|| ledger.credit(ranked.job.tenant));
    }
    order
}

/// The picture that is decoded next: of the first job that has one whose steps are all done, or of the oldest of the same
/// tenant, if that has one and it is due. There may always be another job with less left to do than the oldest.
pub(super) fn decodable(order: &[Ranked]) -> Option<ImageId> {
    let mut decodables =
        order.iter().filter_map(|ranked| Some((ranked, ImageId { job: ranked.id, image: ranked.job.decodable()? })));
    let (first, image) = decodables.next()?;
    let is_due = |ranked: &Ranked| ranked.job.tenant == first.job.tenant && ranked.is_due(ranked.decoding_one);
    let due = decodables.find(|(ranked, _)| is_due(ranked)).map(|(_, image)| image);
    Some(due.unwrap_or(image))
}

/// The jobs in the order in which they came.
pub(super) fn by_arrival<'a>(jobs: &'a BTreeMap<JobId, JobState>, costs: &CostCurve) -> Vec<Ranked<'a>> {
    let mut order: Vec<Ranked> = jobs
        .iter()
        .map(|(id, job)| {
            let step = costs.seconds(job.key(), job.rows);
            let decoding_one = costs.decoding(job.last_key());
            let decoding = decoding_one * f64::from(job.images_left());
            let stepping: f64 = job.steps_left().map(|(key, left)| costs.seconds(key, job.rows) * left as f64).sum();
            let work = stepping + decoding;
            Ranked {
                id: *id,
                job,
                step,
                work,
                decoding,
                decoding_one,
                waiting: 0.0,
                late: false,
                claim: None,
                weight: 1.0,
                finish: 0.0,
            }
        })
        .collect();
    order.sort_by_key(|ranked| ranked.job.number);
    order
}

fn weight(priority: Priority) -> f64 {
    match priority {
        Priority::Low => 0.25,
        Priority::Normal => 1.0,
        Priority::High => 4.0,
    }
}

fn shares(by_arrival: &[Ranked]) -> BTreeMap<Tenant, Shares> {
    let mut tenants = BTreeMap::new();
    for ranked in by_arrival {
        let first = Shares { weights: 0.0, eldest: ranked.id };
        tenants.entry(ranked.job.tenant).or_insert(first).weights += weight(ranked.job.priority);
    }
    tenants
}

fn late_first<'a>(mut order: Vec<Ranked<'a>>, ledger: &Ledger) -> Vec<Ranked<'a>> {
    let mut finishes: BTreeMap<Tenant, f64> = BTreeMap::new();
    for ranked in &mut order {
        let tenant = ranked.job.tenant;
        let finish = finishes.entry(tenant).or_insert_with(|| ledger.received(tenant));
        *finish += ranked.work;
        ranked.finish = *finish;
        ranked.late = *finish <= ledger.fair();
    }
    let (mut late, rest): (Vec<_>, Vec<_>) = order.into_iter().partition(|ranked| ranked.late);
    late.sort_by(|a, b| a.finish.total_cmp(&b.finish));
    late.extend(rest);
    late
}
