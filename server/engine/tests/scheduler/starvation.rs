//! A long job against a stream of short ones that never ends: it is done within the bound all the same.

use crate::support::{Simulation, key, options};
use crate::witness::Witness;
use x0_engine::{Job, JobId, Tenant};

/// A job that is not done by then never will be.
const MOST_TURNS: usize = 30_000;

/// Keeps `waiting` short jobs in the queue, one after the other of these tenants, until the long one is done.
fn check(overhead: f64, long: Job<()>, short: &Job<()>, tenants: &[u64], waiting: usize) {
    let mut simulation = Simulation::new(options(8, 1_000), move |rows| overhead + rows, &[1, 2, 4, 8]);
    let mut witness = Witness::new(8, 1_000, overhead, 0.0);
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
    for overhead in [0.0, 1.0, 50.0] {
        check(overhead, long(), &short(), &[1], 10);
    }
}

#[test]
fn by_another_tenant() {
    for overhead in [0.0, 1.0, 50.0] {
        check(overhead, long(), &short(), &[2], 1);
        check(overhead, long(), &short(), &[2], 10);
        check(overhead, long(), &short(), &[2, 3, 4], 10);
    }
}

#[test]
fn by_a_model_whose_calls_are_full() {
    let other = Job { key: key("m", 16), ..long() };
    for overhead in [1.0, 50.0] {
        check(overhead, other.clone(), &short(), &[1], 10);
        check(overhead, other.clone(), &short(), &[2], 10);
        check(overhead, other.clone(), &short(), &[1, 2], 10);
    }
}
