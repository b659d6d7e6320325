//! What part of the device each of two tenants gets.

use crate::support::{Act, Simulation, count, options};
use x0_engine::{Job, JobId, Tenant, Transition};

/// Seconds for which the device is watched.
const WATCHED: f64 = 10_000.0;

/// The part of the device that the first gets, each of the two sending a job whenever it has fewer than so many in the
/// engine. Nothing is worth sharing, so a step and its previews are one tenant's.
fn share(tenants: [(usize, Job<()>); 2], preview: f64) -> f64 {
    let mut simulation = Simulation::new(options(8, 1_000), |rows| rows, &[1, 2, 4, 8]);
    simulation.preview = std::time::Duration::from_secs_f64(preview);
    let mut waiting: [Vec<JobId>; 2] = Default::default();
    let mut spent = [0.0; 2];
    let mut next = 0;
    while simulation.seconds() < WATCHED {
        for (number, (most, job)) in tenants.iter().enumerate() {
            while waiting[number].len() < *most {
                let id = JobId(next);
                simulation.scheduler.submit(&Job { id, tenant: Tenant(number as u64), ..job.clone() });
                waiting[number].push(id);
                next += 1;
            }
        }
        let before = simulation.seconds();
        let turn = simulation.turn();
        if let Act::Step { images, .. } = &turn.act {
            let first = usize::from(waiting[1].contains(&images[0].image.job));
            spent[first] += simulation.seconds() - before;
        }
        let ended = |id: &JobId| turn.transitions.iter().any(|(of, what)| of == id && is_end(what));
        waiting.iter_mut().for_each(|ids| ids.retain(|id| !ended(id)));
    }
    spent[0] / (spent[0] + spent[1])
}

fn is_end(transition: &Transition) -> bool {
    match transition {
        Transition::Ended(_) => true,
        Transition::Queued { .. } | Transition::Started | Transition::Stepped { .. } | Transition::Finished { .. } => {
            false
        }
    }
}

fn check(name: &str, share: f64) {
    eprintln!("{name}: {:.1} % of the device", 100.0 * share);
    assert!((0.47..=0.53).contains(&share), "{name}: {share}");
}

#[test]
fn who_asks_for_previews_pays_for_them() {
    let plain = crate::support::job(0, 20, 1);
    let watched = Job { preview_every: Some(count(1)), ..plain.clone() };
    check("a preview after every step", share([(4, watched), (4, plain)], 1.0));
}

#[test]
fn who_sends_one_job_at_a_time_gets_as_much_as_who_always_has_some() {
    let one = || (1, crate::support::job(0, 100, 1));
    check("one job of 100 s at a time against two of 10 s", share([one(), (2, crate::support::job(0, 10, 1))], 0.0));
    check(
        "one job of 100 s at a time against eight of 100 s",
        share([one(), (8, crate::support::job(0, 100, 1))], 0.0),
    );
}
