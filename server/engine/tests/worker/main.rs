//! The engine's thread, with the fake denoiser.

mod bench;

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use bench::{Bench, Came, count, job};
use x0_engine::fake::{FakeDenoiser, Faults, Gate, Picture, Slot, VirtualClock, Work};
use x0_engine::{
    BatchKey, Denoiser, Engine, EngineOptions, Event, Failure, FailureCode, Job, JobId, Rejected, SpawnError,
    StepReport, Tenant,
};

const SECOND: Duration = Duration::from_secs(1);

fn faulty(id: u128, steps: u32, faults: Faults) -> Job<Work> {
    let job = job(id, steps);
    let work = Work { faults, ..Work::clone(&job.work) };
    Job { work: work.into(), ..job }
}

/// A bench on which every call takes a second of virtual time, whatever its rows: all is worth sharing.
fn virtual_bench(clock: &VirtualClock, gate: &Gate) -> Bench {
    let options = EngineOptions { clock: clock.clock(), ..EngineOptions::default() };
    Bench::with(options, FakeDenoiser::new().on_clock(clock, |_| SECOND).through(gate))
}

/// A bench that knows what sharing is worth, and whose next job is held before its only step, so that all that is submitted
/// after it is there at once.
fn held_bench(clock: &VirtualClock, gate: &Gate) -> Bench {
    hold(virtual_bench(clock, gate), gate)
}

fn hold(bench: Bench, gate: &Gate) -> Bench {
    gate.open();
    bench.submit(Job { images: count(8), ..job(1_000, 20) });
    assert_eq!(bench.end(1_000), Came::Succeeded);
    gate.shut();
    bench.submit(job(0, 1));
    gate.wait_until_held();
    bench
}

#[test]
fn a_job_is_told_from_its_place_in_the_queue_to_its_picture() {
    let bench = Bench::new(FakeDenoiser::new());
    bench.submit(job(1, 2));
    let story = [Came::Queued, Came::Started, Came::Step(1), Came::Step(2), Came::Image(0), Came::Succeeded];
    assert_eq!(bench.story(1), story);
}

#[test]
fn a_preview_comes_after_every_nth_step_and_they_converge() {
    let bench = Bench::new(FakeDenoiser::new());
    bench.submit(Job { preview_every: Some(count(5)), ..job(1, 25) });
    let finished = bench.picture(1, 0);
    let distance = |picture: &Picture| -> u32 {
        picture.pixels.iter().zip(&finished.pixels).map(|(a, b)| u32::from(a.abs_diff(*b))).sum()
    };
    let mut last = u32::MAX;
    let mut steps = Vec::new();
    for event in bench.events(1) {
        if let Event::Preview { step, picture, report, .. } = event {
            steps.push(step);
            assert!(distance(&picture) < last && report.sigma.is_finite());
            last = distance(&picture);
        }
    }
    assert_eq!((steps, last), (vec![5, 10, 15, 20, 25], 0));
}

#[test]
fn all_images_of_a_job_are_made_with_their_own_seeds() {
    let bench = Bench::new(FakeDenoiser::new());
    bench.submit(Job { images: count(3), ..job(7, 4) });
    assert_eq!(bench.end(7), Came::Succeeded);
    assert_eq!([0, 1, 2].map(|image| bench.picture(7, image).seed), [7, 8, 9]);
}

#[test]
fn sixty_four_mixed_jobs_share_steps_and_none_is_changed_by_it() {
    let (clock, gate) = (VirtualClock::new(), Gate::new());
    let bench = held_bench(&clock, &gate);
    let mixed = |id: u128| Job { preview_every: Some(count(3)), ..job(id, 1 + (id as u32 * 7) % 25) };
    (1..=64).for_each(|id| bench.submit(mixed(id)));
    gate.open();
    let together: Vec<Picture> = (1..=64).map(|id| bench.picture(id, 0)).collect();
    assert!(bench.batches().iter().any(|batch| batch.slots == 8 && batch.rows == 16));

    let alone = Bench::new(FakeDenoiser::new());
    for id in 1..=64 {
        alone.submit(mixed(id));
        assert_eq!(alone.picture(id, 0), together[id as usize - 1]);
    }
}

#[test]
fn a_panic_fails_the_jobs_of_its_batch_and_not_the_engine() {
    let (clock, gate) = (VirtualClock::new(), Gate::new());
    let bench = held_bench(&clock, &gate);
    let key = BatchKey { model: "other".into(), height: 8, width: 8, context: 0 };
    bench.submit(faulty(1, 4, Faults { panic_at: Some(2), ..Faults::default() }));
    bench.submit(job(2, 4));
    bench.submit(Job { key, ..job(3, 4) });
    gate.open();
    assert_eq!([1, 2].map(|id| bench.end(id)), [Came::Failed(FailureCode::ModelError); 2]);
    assert_eq!([0, 3].map(|id| bench.end(id)), [Came::Succeeded; 2]);
    bench.submit(job(4, 4));
    assert_eq!(bench.end(4), Came::Succeeded);
}

#[test]
fn a_picture_that_is_not_finite_fails_its_own_job_only() {
    let (clock, gate) = (VirtualClock::new(), Gate::new());
    let bench = held_bench(&clock, &gate);
    let faults = Faults { image: Some(1), nan_at: Some(2), ..Faults::default() };
    bench.submit(Job { images: count(3), ..faulty(1, 4, faults) });
    bench.submit(job(2, 4));
    gate.open();
    assert_eq!(bench.end(1), Came::Failed(FailureCode::NanOutput));
    assert_eq!(bench.end(2), Came::Succeeded);
    assert!(bench.batches().iter().any(|batch| batch.slots == 4));
}

#[test]
fn what_has_no_memory_together_is_made_by_fewer_at_once() {
    let (clock, gate) = (VirtualClock::new(), Gate::new());
    let fake = || FakeDenoiser::new().on_clock(&clock, |_| SECOND).through(&gate);
    let options = EngineOptions { clock: clock.clock(), ..EngineOptions::default() };
    let bench = Bench::with(options, fake().with_memory_for(5));
    gate.open();
    bench.submit(Job { images: count(8), ..job(1, 20) });
    assert_eq!(bench.end(1), Came::Succeeded);
    let shortages = bench.shortages();
    assert!(!shortages.is_empty() && shortages.iter().all(|call| call.rows > 5 && call.slots > 1), "{shortages:?}");
    assert!(bench.batches().iter().any(|call| call.slots == 2) && bench.batches().iter().all(|call| call.rows <= 5));

    let alone = Bench::new(FakeDenoiser::new());
    alone.submit(Job { images: count(8), ..job(1, 20) });
    (0..8).for_each(|image| assert_eq!(bench.picture(1, image), alone.picture(1, image)));
    assert_eq!(bench.story(1).len(), alone.story(1).len(), "no step is told twice");
}

#[test]
fn an_image_that_has_no_memory_alone_fails_its_own_job_only() {
    let bench = Bench::new(FakeDenoiser::new().with_memory_for(3));
    let work = Work { rows: 4, ..Work::clone(&job(1, 3).work) };
    bench.submit(Job { rows: count(4), work: work.into(), ..job(1, 3) });
    bench.submit(job(2, 3));
    assert_eq!(bench.end(1), Came::Failed(FailureCode::OutOfMemory));
    assert_eq!(bench.end(2), Came::Succeeded);
}

#[test]
fn a_device_that_is_lost_ends_every_job_and_the_engine() {
    let admit = Some(FailureCode::DeviceLost);
    for faults in [
        Faults { lost_at: Some(2), ..Faults::default() },
        Faults { admit, ..Faults::default() },
        Faults { preview: admit, ..Faults::default() },
        Faults { decode: admit, ..Faults::default() },
    ] {
        let (clock, gate) = (VirtualClock::new(), Gate::new());
        let bench = held_bench(&clock, &gate);
        bench.submit(Job { preview_every: Some(count(2)), ..faulty(1, 4, faults.clone()) });
        let key = BatchKey { model: "other".into(), height: 8, width: 8, context: 0 };
        (2..9).for_each(|id| bench.submit(Job { key: key.clone(), ..job(id, 900) }));
        bench.handle.cancel(JobId(8));
        gate.open();
        let lost = Came::Failed(FailureCode::DeviceLost);
        assert_eq!((1..8).map(|id| bench.end(id)).collect::<Vec<_>>(), [lost; 7], "{faults:?}");
        assert!([lost, Came::Cancelled].contains(&bench.end(8)));
        assert_eq!(bench.handle.submit(job(9, 1)), Err(Rejected::Draining));
        assert_eq!(bench.handle.snapshot().running, 0);
        let log = bench.join();
        assert_eq!(
            log.lost(),
            [Failure { code: FailureCode::DeviceLost, message: "the fake was told to fail".into() }]
        );
        log.ends(0..9);
    }
}

/// Counts the calls that come after the one in which the device was lost.
struct Watched {
    fake: FakeDenoiser,
    lost: bool,
    late_calls: Arc<AtomicU32>,
}

impl Watched {
    fn watch<T>(&mut self, call: impl FnOnce(&mut FakeDenoiser) -> Result<T, Failure>) -> Result<T, Failure> {
        self.late_calls.fetch_add(u32::from(self.lost), Ordering::Relaxed);
        let result = call(&mut self.fake);
        self.lost |= result.as_ref().is_err_and(|failure| failure.code == FailureCode::DeviceLost);
        result
    }
}

impl Denoiser for Watched {
    type Work = Work;
    type Slot = Slot;
    type Picture = Picture;

    fn admit(&mut self, work: &Arc<Work>, image: u32) -> Result<Slot, Failure> {
        self.watch(|fake| fake.admit(work, image))
    }

    /// Where the device is lost, the last slot says so alone.
    fn step(&mut self, slots: &mut [&mut Slot]) -> Vec<Result<StepReport, Failure>> {
        let count = slots.len();
        let done = Ok(StepReport { timestep: 0.0, sigma: 0.0 });
        match self.watch(|fake| fake.step(slots).into_iter().collect::<Result<Vec<_>, _>>()) {
            Ok(reports) => reports.into_iter().map(Ok).collect(),
            Err(failure) => iter::repeat_n(done, count - 1).chain([Err(failure)]).collect(),
        }
    }

    fn preview(&mut self, slot: &Slot) -> Result<Picture, Failure> {
        self.watch(|fake| fake.preview(slot))
    }

    fn decode(&mut self, slot: Slot) -> Result<Picture, Failure> {
        self.watch(|fake| fake.decode(slot))
    }
}

#[test]
fn the_call_that_loses_the_device_is_the_last_one_and_nothing_is_begun_after_it() {
    let code = Some(FailureCode::DeviceLost);
    for (faults, begun) in [
        (Faults { admit: code, ..Faults::default() }, 1),
        (Faults { lost_at: Some(2), ..Faults::default() }, 4),
        (Faults { preview: code, ..Faults::default() }, 4),
    ] {
        let (clock, gate, late_calls) = (VirtualClock::new(), Gate::new(), Arc::new(AtomicU32::new(0)));
        let fake = FakeDenoiser::new().on_clock(&clock, |_| SECOND).through(&gate);
        let watched = Watched { fake, lost: false, late_calls: Arc::clone(&late_calls) };
        let options = EngineOptions { clock: clock.clock(), ..EngineOptions::default() };
        let bench = hold(Bench::with(options, watched), &gate);
        // They are admitted together, and stepped together.
        let faulty = |id| Job { preview_every: Some(count(2)), ..faulty(id, 4, faults.clone()) };
        (1..5).for_each(|id| bench.submit(faulty(id)));
        gate.open();
        let stories: Vec<_> = (1..5).map(|id| bench.story(id)).collect();
        assert!(stories.iter().all(|story| story.last() == Some(&Came::Failed(FailureCode::DeviceLost))));
        assert_eq!(stories.iter().filter(|story| story.contains(&Came::Started)).count(), begun, "{faults:?}");
        bench.join().ends(1..5);
        assert_eq!(late_calls.load(Ordering::Relaxed), 0, "{faults:?}");
    }
}

#[test]
fn a_job_fails_with_its_slot_its_preview_or_its_picture() {
    let bench = Bench::new(FakeDenoiser::new());
    let code = Some(FailureCode::OutOfMemory);
    bench.submit(faulty(1, 2, Faults { admit: code, ..Faults::default() }));
    bench.submit(Job { preview_every: Some(count(1)), ..faulty(2, 2, Faults { preview: code, ..Faults::default() }) });
    bench.submit(faulty(3, 2, Faults { decode: code, ..Faults::default() }));
    assert_eq!([1, 2, 3].map(|id| bench.end(id)), [Came::Failed(FailureCode::OutOfMemory); 3]);
    assert_eq!(bench.story(1), [Came::Queued, Came::Started, Came::Failed(FailureCode::OutOfMemory)]);
}

#[test]
fn cancelling_takes_effect_before_the_next_step() {
    let gate = Gate::new();
    let bench = Bench::new(FakeDenoiser::new().through(&gate));
    bench.submit(job(1, 9));
    gate.let_pass(2);
    gate.wait_until_held();
    bench.handle.cancel(JobId(1));
    bench.handle.cancel(JobId(1));
    gate.open();
    let story = [Came::Queued, Came::Started, Came::Step(1), Came::Step(2), Came::Step(3), Came::Cancelled];
    assert_eq!(bench.story(1), story);
}

#[test]
fn a_waiting_job_is_cancelled_before_anything_is_spent_on_it() {
    let (clock, gate) = (VirtualClock::new(), Gate::new());
    let bench = held_bench(&clock, &gate);
    bench.submit(job(1, 9));
    bench.handle.cancel(JobId(1));
    bench.handle.cancel(JobId(99));
    gate.open();
    assert_eq!(bench.story(1).last(), Some(&Came::Cancelled));
    assert!(!bench.story(1).contains(&Came::Started));
}

#[test]
fn a_job_fails_when_its_deadline_passes() {
    let (clock, gate) = (VirtualClock::new(), Gate::new());
    gate.open();
    let bench = virtual_bench(&clock, &gate);
    bench.submit(Job { deadline: Some(clock.now() + 3 * SECOND), ..job(1, 9) });
    let story = [Came::Queued, Came::Started, Came::Step(1), Came::Step(2), Came::Step(3)];
    assert_eq!(bench.story(1)[..5], story);
    assert_eq!(bench.end(1), Came::Failed(FailureCode::DeadlineExceeded));
}

#[test]
fn draining_finishes_what_it_can_and_fails_the_rest() {
    let (clock, gate) = (VirtualClock::new(), Gate::new());
    let bench = virtual_bench(&clock, &gate);
    bench.submit(job(1, 4));
    gate.wait_until_held();
    bench.submit(job(2, 60));
    bench.handle.drain(clock.now() + 10 * SECOND);
    assert_eq!(bench.handle.submit(job(3, 1)), Err(Rejected::Draining));
    assert!(bench.handle.snapshot().draining);
    gate.open();
    let handle = bench.handle.clone();
    assert_eq!(bench.join().ends([1, 2]), [Came::Succeeded, Came::Failed(FailureCode::ShuttingDown)]);
    assert_eq!(handle.submit(job(4, 1)), Err(Rejected::Draining));
}

#[test]
fn an_idle_engine_drains_at_once() {
    let bench = Bench::new(FakeDenoiser::new());
    bench.submit(job(1, 1));
    assert_eq!(bench.end(1), Came::Succeeded);
    bench.handle.drain(std::time::Instant::now() + 3_600 * SECOND);
    bench.join();
}

#[test]
fn dropping_the_engine_ends_every_job() {
    let gate = Gate::new();
    let Bench { engine, handle, .. } = Bench::new(FakeDenoiser::new().through(&gate));
    (1..10).for_each(|id| handle.submit(job(id, 50)).expect("there is room"));
    gate.let_pass(5);
    gate.wait_until_held();
    let dropping = thread::spawn(move || drop(engine));
    while !handle.snapshot().draining {
        thread::yield_now();
    }
    gate.open();
    dropping.join().expect("the engine is dropped");
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.queued, snapshot.running, snapshot.slots), (0, 0, 0));
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_back() {
    let (clock, gate) = (VirtualClock::new(), Gate::new());
    let options = EngineOptions { max_jobs: 2, clock: clock.clock(), ..EngineOptions::default() };
    let bench = Bench::with(options, FakeDenoiser::new().on_clock(&clock, |_| 4 * SECOND).through(&gate));
    bench.submit(job(1, 3));
    gate.let_pass(1);
    gate.wait_until_held();
    bench.submit(job(2, 1));
    let refused = bench.handle.submit(job(3, 1));
    assert_eq!(refused, Err(Rejected::QueueFull { retry_after: 8 * SECOND }));
    // The same job, sent again, has its place already.
    bench.submit(job(2, 1));
    gate.open();
    assert_eq!([1, 2].map(|id| bench.end(id)), [Came::Succeeded; 2]);
    bench.submit(job(3, 1));
    assert_eq!(bench.end(3), Came::Succeeded);
}

#[test]
fn a_snapshot_tells_what_waits_and_what_runs() {
    let (clock, gate) = (VirtualClock::new(), Gate::new());
    let bench = held_bench(&clock, &gate);
    bench.submit(job(1, 5));
    clock.advance(7 * SECOND);
    bench.submit(job(2, 5));
    let snapshot = bench.handle.snapshot();
    assert_eq!((snapshot.queued, snapshot.running, snapshot.slots, snapshot.max_jobs), (2, 1, 1, 256));
    assert_eq!(snapshot.oldest_queued, Some(7 * SECOND));
    gate.open();
    assert_eq!(bench.end(2), Came::Succeeded);
}

#[test]
fn the_sign_of_life_stands_still_in_a_call_and_not_while_idle() {
    let (clock, gate) = (VirtualClock::new(), Gate::new());
    let bench = held_bench(&clock, &gate);
    let held = bench.handle.last_progress();
    clock.advance(100 * SECOND);
    assert_eq!(bench.handle.last_progress(), held);
    gate.open();
    assert_eq!(bench.end(0), Came::Succeeded);
    clock.advance(SECOND);
    // Soon the thread has seen that nothing is left, and waits.
    while bench.handle.last_progress() < clock.now() {
        thread::yield_now();
    }
    clock.advance(100 * SECOND);
    assert_eq!(bench.handle.last_progress(), clock.now());
}

#[test]
fn a_sink_that_panics_harms_nobody() {
    let bench = Bench::new(FakeDenoiser::new());
    bench.refuse(1);
    bench.submit(job(1, 1));
    assert_eq!(bench.end(1), Came::Succeeded);
    bench.submit(job(2, 1));
    assert_eq!(bench.end(2), Came::Succeeded);
}

#[test]
fn a_denoiser_that_cannot_be_made_is_an_error_of_spawn() {
    let sink = bench::Log::default;
    let failed = Engine::spawn(EngineOptions::default(), || Err::<FakeDenoiser, _>("no weights"), sink());
    assert!(matches!(failed, Err(SpawnError::Denoiser("no weights"))));
    let panicking = || -> Result<FakeDenoiser, &str> { panic!("the test was told to panic") };
    assert!(matches!(Engine::spawn(EngineOptions::default(), panicking, sink()), Err(SpawnError::Panicked)));
}

/// The fake, but for one thing.
struct Odd(FakeDenoiser, Quirk);

enum Quirk {
    /// Forgets one of the images that it steps.
    Forgetful,
    /// Takes ten seconds for a preview.
    Painstaking(VirtualClock),
}

impl Denoiser for Odd {
    type Work = Work;
    type Slot = Slot;
    type Picture = Picture;

    fn admit(&mut self, work: &Arc<Work>, image: u32) -> Result<Slot, Failure> {
        self.0.admit(work, image)
    }

    fn step(&mut self, slots: &mut [&mut Slot]) -> Vec<Result<StepReport, Failure>> {
        let mut results = self.0.step(slots);
        match self.1 {
            Quirk::Forgetful => drop(results.pop()),
            Quirk::Painstaking(_) => {}
        }
        results
    }

    fn preview(&mut self, slot: &Slot) -> Result<Picture, Failure> {
        match &self.1 {
            Quirk::Forgetful => {}
            Quirk::Painstaking(clock) => clock.advance(10 * SECOND),
        }
        self.0.preview(slot)
    }

    fn decode(&mut self, slot: Slot) -> Result<Picture, Failure> {
        self.0.decode(slot)
    }
}

#[test]
fn the_time_of_previews_is_paid_by_whoever_asked_for_them() {
    let (clock, gate) = (VirtualClock::new(), Gate::new());
    // Nothing is worth sharing.
    let fake = FakeDenoiser::new().on_clock(&clock, |rows| rows * SECOND).through(&gate);
    let options = EngineOptions { clock: clock.clock(), ..EngineOptions::default() };
    let bench = hold(Bench::with(options, Odd(fake, Quirk::Painstaking(clock))), &gate);
    // Four steps of two seconds: one of these takes 48 s with its previews, eight of the others 64 s.
    (1..9).for_each(|id| bench.submit(Job { preview_every: Some(count(1)), tenant: Tenant(1), ..job(id, 4) }));
    (11..19).for_each(|id| bench.submit(Job { tenant: Tenant(2), ..job(id, 4) }));
    gate.open();
    (1..9).chain(11..19).for_each(|id| assert_eq!(bench.end(id), Came::Succeeded));
    bench.handle.drain(std::time::Instant::now());
    let ended = bench.join().ended();
    let last_of_others = ended.iter().rposition(|id| id.0 > 10 && id.0 < 19).expect("they ended");
    let before = ended[..last_of_others].iter().filter(|id| (1..9).contains(&id.0)).count();
    assert!(before <= 2, "{before} with previews ended before the eighth without");
}

#[test]
fn an_answer_for_another_number_of_images_fails_the_batch() {
    let bench = Bench::with(EngineOptions::default(), Odd(FakeDenoiser::new(), Quirk::Forgetful));
    bench.submit(job(1, 3));
    assert_eq!(bench.end(1), Came::Failed(FailureCode::ModelError));
}

#[test]
fn every_job_ends_once_however_many_threads_submit_and_cancel() {
    let bench = Bench::with(EngineOptions { max_jobs: 1_000, ..EngineOptions::default() }, FakeDenoiser::new());
    let jobs = |id: u128| match id % 5 {
        0 => faulty(id, 5, Faults { nan_at: Some(3), ..Faults::default() }),
        1 => Job { images: count(3), ..job(id, 3) },
        2 => Job { preview_every: Some(count(2)), ..job(id, 7) },
        _ => job(id, 4),
    };
    thread::scope(|scope| {
        for thread in 0..8 {
            let handle = bench.handle.clone();
            scope.spawn(move || {
                for id in (0..100).map(|n| thread * 100 + n) {
                    handle.submit(jobs(id)).expect("there is room");
                    if id % 7 == 0 {
                        handle.cancel(JobId(id));
                    }
                }
            });
        }
    });
    bench.handle.drain(std::time::Instant::now() + 60 * SECOND);
    let ends = bench.join().ends(0..800);
    assert_eq!(ends.len(), 800);
    for (end, id) in ends.into_iter().zip(0..) {
        let faulty = id % 5 == 0;
        let regular = end == if faulty { Came::Failed(FailureCode::NanOutput) } else { Came::Succeeded };
        assert!(regular || (id % 7 == 0 && end == Came::Cancelled), "job {id}: {end:?}");
    }
}
