//! A long job against a stream of short ones that never ends: it is done within the bound all the same.

use std::cell::Cell;
use std::time::Duration;

use crate::support::{Simulation, count, key, options};
use crate::witness::Witness;
use x0_engine::{Job, JobId, Priority, Tenant, Transition};

/// A job that is not done by then never will be.
const MOST_TURNS: usize = 30_000;

/// The overhead of a call, and what decoding a picture takes, where a row takes a second.
const DEVICES: [(f64, f64); 8] =
    [(0.0, 0.0), (1.0, 0.0), (50.0, 0.0), (0.0, 0.5), (1.0, 1.0), (3.0, 5.0), (50.0, 5.0), (50.0, 60.0)];

/// Keeps `waiting` short jobs in the queue, one after the other of these tenants, until the long one is done.
fn check((overhead, decode): (f64, f64), long: Job<()>, short: &Job<()>, tenants: &[u64], waiting: usize) {
    let mut simulation = Simulation::new(options(8, 1_000), move |rows| overhead + rows, &[1, 2, 4, 8]);
    simulation.decode = Duration::from_secs_f64(decode);
    let mut witness = Witness::new(8, 1_000, overhead, decode);
    let id = long.id;
    let submit = |simulation: &mut Simulation, witness: &mut Witness, job: Job<()>| {
        simulation.scheduler.submit(&job);
        witness.submitted(job, simulation.now);
    };
    submit(&mut simulation, &mut witness, long);
    let mut turns = 0;
    for number in id.0 + 1.. {
        let tenant = Tenant(tenants[number as usize % tenants.len()]);
        submit(&mut simulation, &mut witness, Job { id: JobId(number), tenant, ..short.clone() });
        while witness.unfinished().len() > waiting {
            let before = simulation.now;
            let turn = simulation.turn();
            witness.turn(&turn, before, simulation.now);
            turns += 1;
            assert!(turns < MOST_TURNS, "the long job is never done");
        }
        if !witness.unfinished().contains(&id) {
            break;
        }
    }
    witness.check_bounds();
}

fn long() -> Job<()> {
    Job { tenant: Tenant(1), ..crate::support::job(0, 30, 2) }
}

fn short() -> Job<()> {
    crate::support::job(0, 2, 1)
}

#[test]
fn by_the_same_tenant() {
    for device in DEVICES {
        check(device, long(), &short(), &[1], 10);
    }
}

#[test]
fn by_another_tenant() {
    for device in DEVICES {
        check(device, long(), &short(), &[2], 1);
        check(device, long(), &short(), &[2], 10);
        check(device, long(), &short(), &[2, 3, 4], 10);
    }
}

#[test]
fn by_a_model_whose_calls_are_full() {
    let other = Job { key: key("m", 16), ..long() };
    for device in DEVICES {
        check(device, other.clone(), &short(), &[1], 10);
        check(device, other.clone(), &short(), &[2], 10);
        check(device, other.clone(), &short(), &[1, 2], 10);
    }
}

#[test]
fn by_those_that_have_only_their_picture_left() {
    let several = Job { images: count(4), ..long() };
    let unimportant = Job { priority: Priority::Low, ..long() };
    for device in DEVICES {
        for waiting in [10, 32] {
            check(device, several.clone(), &short(), &[1], waiting);
            check(device, unimportant.clone(), &short(), &[1], waiting);
            check(device, several.clone(), &short(), &[1, 2], waiting);
            check(device, unimportant.clone(), &short(), &[2], waiting);
        }
    }
}

/// Of a size that was never run the first call takes ten times as long: kernels are loaded for it. That is not held against the
/// job.
#[test]
fn by_a_slow_first_call() {
    let first = Cell::new(true);
    let cost = move |rows| if rows == 3.0 && first.replace(false) { 10.0 * rows } else { rows };
    let mut simulation = Simulation::new(options(8, 1_000), cost, &[1, 2, 4, 8]);
    // A step takes 48 s, so it is due once in 480 s.
    simulation.scheduler.submit(&Job { key: key("m", 32), ..crate::support::job(0, 3, 3) });
    (1..10).for_each(|id| simulation.scheduler.submit(&crate::support::job(id, 2, 1)));
    let mut next = 10;
    loop {
        for (id, transition) in simulation.turn().transitions {
            match transition {
                Transition::Ended(_) if id == JobId(0) => {
                    let seconds = simulation.seconds();
                    assert!(seconds < 2_100.0, "it took {seconds} s");
                    return;
                }
                Transition::Ended(_) => {
                    simulation.scheduler.submit(&crate::support::job(next, 2, 1));
                    next += 1;
                }
                Transition::Queued { .. }
                | Transition::Started
                | Transition::Stepped { .. }
                | Transition::Finished { .. } => {}
            }
        }
    }
}
