//! Figures of the policy under load, in virtual time.

use crate::support::{Cost, Random, Simulation, job, options};
use x0_engine::{Ending, Job, JobId, Policy, SchedulerOptions, Tenant, Transition};

/// Thirty in a hundred requests have 4 steps without guidance, fifty 20 steps with, twenty 50 steps with.
const MIX: [(f64, u32, u32); 3] = [(0.3, 4, 1), (0.5, 20, 2), (0.2, 50, 2)];

/// A job is good when it takes no longer than this many times what it would take alone on an idle device.
const PATIENCE: f64 = 3.0;

fn linear(rows: f64) -> f64 {
    rows
}

/// A GPU at 512 pixels: bound by launches at first, by arithmetic later.
fn gpu(rows: f64) -> f64 {
    7e-3f64.hypot(1.7e-3 * rows)
}

struct Arrival {
    at: f64,
    steps: u32,
    rows: u32,
}

/// A Poisson stream; a load of 1 is what a device can bear that makes one image after the other.
fn arrivals(cost: Cost, load: f64, count: usize, seed: u64) -> Vec<Arrival> {
    let mean: f64 = MIX.iter().map(|(part, steps, rows)| part * f64::from(*steps) * cost(f64::from(*rows))).sum();
    let mut random = Random::new(seed);
    let mut at = 0.0;
    (0..count)
        .map(|_| {
            at -= (1.0 - random.unit()).ln() * mean / load;
            let class = random.unit();
            let (_, steps, rows) = MIX[usize::from(class >= 0.3) + usize::from(class >= 0.8)];
            Arrival { at, steps, rows }
        })
        .collect()
}

/// The part of the jobs that are good. The first twentieth, which meet an empty queue, are not counted.
fn good(cost: Cost, policy: Policy, load: f64, count: usize, seed: u64) -> f64 {
    let arrivals = arrivals(cost, load, count, seed);
    let options = SchedulerOptions { policy, ..options(32, 1_000) };
    let mut simulation = Simulation::new(options, cost, &[]);
    let (mut next, mut good) = (0, 0);
    loop {
        if simulation.scheduler.is_empty() {
            let Some(arrival) = arrivals.get(next) else { return f64::from(good) / (count - count / 20) as f64 };
            simulation.now = simulation.now.max(simulation.at(arrival.at));
        }
        while let Some(arrival) = arrivals.get(next).filter(|arrival| simulation.at(arrival.at) <= simulation.now) {
            simulation.scheduler.submit(&job(next as u128, arrival.steps, arrival.rows));
            next += 1;
        }
        for (JobId(id), transition) in simulation.turn().transitions {
            if transition == Transition::Ended(Ending::Succeeded) {
                let Arrival { at, steps, rows } = arrivals[id as usize];
                let alone = f64::from(steps) * cost(f64::from(rows));
                let in_time = simulation.seconds() - at <= PATIENCE * alone + 1e-6;
                good += u32::from(in_time && id as usize >= count / 20);
            }
        }
    }
}

/// The highest load, in steps of 5 %, at which nine in ten jobs are good.
fn goodput(cost: Cost, policy: Policy) -> f64 {
    let bears = |load: f64| (1..=2).map(|seed| good(cost, policy, load, 2_000, seed)).sum::<f64>() / 2.0 >= 0.9;
    let mut load = 0.2;
    while bears(load * 1.05) {
        load *= 1.05;
    }
    load
}

fn check(name: &str, cost: Cost, at_least: f64) {
    let fixed = Policy::FixedBatch(crate::support::count(8));
    let [ours, first_come, fixed] = [Policy::BestValue, Policy::FirstCome, fixed].map(|policy| goodput(cost, policy));
    eprintln!("goodput, {name}: best value {ours:.2}, first come {first_come:.2}, fixed batch of 8 {fixed:.2}");
    assert!(ours >= 2.5 * first_come && ours >= 1.5 * fixed && ours >= at_least);
}

#[test]
fn goodput_where_the_cost_is_linear() {
    check("linear", linear, 0.65);
}

#[test]
fn goodput_on_a_gpu() {
    check("gpu", gpu, 1.2);
}

/// Submits all at once, in this order; when each was done, in seconds, by its id.
fn completions(cost: Cost, jobs: &[Job<()>]) -> Vec<f64> {
    let mut simulation = Simulation::new(options(32, 64), cost, &[1, 2, 4, 8, 16, 32]);
    jobs.iter().for_each(|job| simulation.scheduler.submit(job));
    let mut done = vec![f64::NAN; jobs.len()];
    while !simulation.scheduler.is_empty() {
        for (JobId(id), transition) in simulation.turn().transitions {
            if transition == Transition::Ended(Ending::Succeeded) {
                done[id as usize] = simulation.seconds();
            }
        }
    }
    done
}

/// A tenant floods the server with a thousand jobs, then another sends ten. The ten are not to finish later than about twice
/// what they would take alone.
fn check_flood(name: &str, cost: Cost, flood_steps: u32, steps: u32) {
    let ten: Vec<Job<()>> = (0..10).map(|id| Job { tenant: Tenant(1), ..job(id, steps, 2) }).collect();
    let flood = (10..1_010).map(|id| Job { tenant: Tenant(2), ..job(id, flood_steps, 2) });
    let jobs: Vec<Job<()>> = flood.chain(ten.iter().cloned()).collect();
    let last_of_ten = |done: Vec<f64>| done[..10].iter().copied().fold(0.0, f64::max);
    let times = last_of_ten(completions(cost, &jobs)) / last_of_ten(completions(cost, &ten));
    eprintln!("flood of {flood_steps} steps against {steps}, {name}: {times:.2} times alone");
    assert!(times <= 2.05);
}

#[test]
fn a_flood_of_another_tenant_at_most_doubles_the_wait() {
    for (flood_steps, steps) in [(20, 20), (4, 20), (50, 4), (4, 50), (1, 50)] {
        check_flood("linear", linear, flood_steps, steps);
        check_flood("gpu", gpu, flood_steps, steps);
    }
}

/// Equal jobs that are all there at once: the sum of completion times is as small as with groups of the best size,
/// which differs by curve and by count.
fn check_sum_of_completions(name: &str, cost: Cost, count: u32) {
    let jobs: Vec<Job<()>> = (0..count).map(|id| job(u128::from(id), 20, 2)).collect();
    let ours: f64 = completions(cost, &jobs).iter().sum();
    let groups = |size: u32| -> f64 {
        let mut now = 0.0;
        (0..count)
            .step_by(size as usize)
            .map(|first| {
                let members = size.min(count - first);
                now += 20.0 * cost(f64::from(2 * members));
                now * f64::from(members)
            })
            .sum()
    };
    let (best, size) =
        (1..=count.min(16)).map(|size| (groups(size), size)).min_by(|a, b| a.0.total_cmp(&b.0)).expect("sizes");
    eprintln!("{count} equal jobs, {name}: {:.3} of the sum in groups of {size}", ours / best);
    assert!(ours <= 1.01 * best);
}

#[test]
fn the_sum_of_completion_times_is_as_small_as_with_the_best_group_size() {
    let half_overhead: Cost = |rows| 2.0 + rows;
    let tenth_overhead: Cost = |rows| 0.2 + rows;
    for count in [1, 2, 3, 8, 20, 64] {
        check_sum_of_completions("linear", linear, count);
        check_sum_of_completions("a tenth overhead", tenth_overhead, count);
        check_sum_of_completions("half overhead", half_overhead, count);
        check_sum_of_completions("gpu", gpu, count);
        check_sum_of_completions("flat", |_| 1.0, count);
    }
}
