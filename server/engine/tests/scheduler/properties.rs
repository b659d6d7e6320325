//! What holds for every stream of commands.

use crate::support::{Act, Place, Simulation, Turn, count, key, options};
use crate::witness::Witness;
use proptest::prelude::*;
use x0_engine::{FailureCode, ImageId, Job, JobId, Policy, Priority, SchedulerOptions, SecondPass, Tenant};

const CASES: u32 = 1_000;

/// Calls that run out of memory: each of the two sizes is halved three times at most, and then once in a hundred calls.
const MOST_SHORTAGES: u32 = 32;

/// One thing that happens to a scheduler.
#[derive(Clone, Debug)]
enum Command {
    Submit(Wish),
    /// Of one of the jobs submitted so far.
    Cancel(prop::sample::Index),
    Fail(prop::sample::Index, Place),
    Turns(u8),
}

/// A job, as far as chance decides.
#[derive(Clone, Debug)]
struct Wish {
    steps: u32,
    rows: u32,
    images: u32,
    tenant: u64,
    priority: Priority,
    /// Seconds from its arrival.
    deadline: Option<f64>,
    side: u32,
    /// Steps and side of the second pass.
    then: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    policy: Policy,
    max_rows: u32,
    max_slots: u32,
    overhead: f64,
    decode: f64,
    /// A call of more rows runs out of memory.
    memory: u32,
}

fn wish() -> impl Strategy<Value = Wish> {
    let priority = prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High)];
    let deadline = prop::option::weighted(0.1, 0.5..60.0);
    let side = prop_oneof![4 => Just(8u32), 1 => Just(16u32)];
    let then = prop::option::weighted(0.2, (1u32..6, side.clone()));
    (1u32..12, 1u32..4, 1u32..4, 0u64..4, priority, deadline, side, then).prop_map(
        |(steps, rows, images, tenant, priority, deadline, side, then)| Wish {
            steps,
            rows,
            images,
            tenant,
            priority,
            deadline,
            side,
            then,
        },
    )
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let place = prop_oneof![Just(Place::Admit), (1u32..12).prop_map(Place::Step), Just(Place::Decode)];
    let command = prop_oneof![
        6 => wish().prop_map(Command::Submit),
        1 => any::<prop::sample::Index>().prop_map(Command::Cancel),
        1 => (any::<prop::sample::Index>(), place).prop_map(|(job, place)| Command::Fail(job, place)),
        6 => (1u8..8).prop_map(Command::Turns),
    ];
    prop::collection::vec(command, 1..40)
}

fn setting(policy: impl Strategy<Value = Policy>) -> impl Strategy<Value = Setting> {
    let overhead = prop_oneof![Just(0.0), 0.0..3.0, Just(50.0)];
    let memory = prop_oneof![Just(u32::MAX), 1u32..9];
    (policy, 1u32..9, 1u32..7, overhead, prop_oneof![Just(0.0), 0.0..3.0], memory).prop_map(
        |(policy, max_rows, max_slots, overhead, decode, memory)| Setting {
            policy,
            max_rows,
            max_slots,
            overhead,
            decode,
            memory,
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let fixed = (1u32..5).prop_map(|size| Policy::FixedBatch(count(size)));
    prop_oneof![4 => Just(Policy::BestValue), 1 => Just(Policy::FirstCome), 1 => fixed]
}

fn simulation(setting: &Setting) -> Simulation {
    let options = SchedulerOptions { policy: setting.policy, ..options(setting.max_rows, setting.max_slots) };
    let overhead = setting.overhead;
    let mut simulation = Simulation::new(options, move |rows| overhead + rows, &[1, 2, 4, 8]);
    simulation.decode = std::time::Duration::from_secs_f64(setting.decode);
    simulation.memory = setting.memory;
    simulation
}

fn job(id: u128, wish: &Wish, simulation: &Simulation) -> Job<()> {
    Job {
        key: key("m", wish.side),
        second_pass: wish.then.map(|(steps, side)| SecondPass { key: key("m", side), steps: count(steps) }),
        tenant: Tenant(wish.tenant),
        priority: wish.priority,
        images: count(wish.images),
        deadline: wish.deadline.map(|after| simulation.at(simulation.seconds() + after)),
        preview_every: Some(count(3)),
        ..crate::support::job(id, wish.steps, wish.rows)
    }
}

/// Plays the commands, then runs until all is done. The witness checks every turn.
fn play(setting: &Setting, commands: &[Command]) -> Witness {
    let mut simulation = simulation(setting);
    let mut witness = Witness::new(setting.max_rows, setting.max_slots as usize, setting.overhead, setting.decode);
    let mut submitted = 0u128;
    for command in commands {
        match command {
            Command::Submit(wish) => {
                let job = job(submitted, wish, &simulation);
                simulation.scheduler.submit(&job);
                witness.submitted(job, simulation.now);
                submitted += 1;
            }
            Command::Cancel(index) if submitted > 0 => {
                let id = JobId(index.index(submitted as usize) as u128);
                simulation.scheduler.cancel(id);
                witness.cancelled(id);
            }
            Command::Fail(index, place) if submitted > 0 => {
                let job = JobId(index.index(submitted as usize) as u128);
                simulation.faults.insert((ImageId { job, image: 0 }, *place), FailureCode::NanOutput);
            }
            Command::Cancel(_) | Command::Fail(..) => {}
            Command::Turns(turns) => (0..*turns).for_each(|_| drop(turn(&mut simulation, &mut witness))),
        }
    }
    // Every turn brings something forward, but for those in which several images run out of memory.
    let mut left = witness.turns_left() + MOST_SHORTAGES;
    while left > 0 && !simulation.scheduler.is_empty() {
        turn(&mut simulation, &mut witness);
        left -= 1;
    }
    assert!(simulation.scheduler.is_empty(), "jobs are left: {:?}", witness.unfinished());
    assert_eq!(simulation.turn().act, Act::Rest);
    witness
}

fn turn(simulation: &mut Simulation, witness: &mut Witness) -> Turn {
    let before = simulation.now;
    let turn = simulation.turn();
    witness.turn(&turn, before, simulation.now);
    assert_eq!(simulation.scheduler.slots(), witness.slots());
    turn
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    /// One terminal event for each job and none after it; steps in order; one key a call; the budgets of rows and slots
    /// are kept; nothing is spent on a job that was cancelled or whose deadline passed; who runs out of memory in company is not
    /// harmed by it.
    #[test]
    fn every_job_ends_once_and_every_plan_is_sound(setting in setting(policy()), commands in commands()) {
        let witness = play(&setting, &commands);
        prop_assert_eq!(witness.unfinished(), Vec::<JobId>::new());
    }

    /// Where slots and memory are free, no tenant falls further behind its fair share, and no job waits longer, than the ledger
    /// promises.
    #[test]
    fn nobody_starves(setting in setting(Just(Policy::BestValue)), commands in commands()) {
        let setting = Setting { max_slots: 1_000, memory: u32::MAX, ..setting };
        let witness = play(&setting, &commands);
        witness.check_bounds();
    }
}
