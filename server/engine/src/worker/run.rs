//! The engine's loop: take what came in, plan, carry out, apply, tell.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use crate::{
    BatchKey, BatchReport, CostCurve, Denoiser, Ending, Event, EventSink, Failure, FailureCode, ImageId, ImageStep,
    JobId, Outcome, Plan, Scheduler, SchedulerOptions, Stage, StageReport, StepReport, Transition,
};

/// All that the engine's thread owns.
pub(super) struct Worker<D: Denoiser, S> {
    denoiser: D,
    sink: S,
    shared: Arc<Shared<D::Work>>,
    scheduler: Scheduler,
    /// What the jobs in the scheduler ask for, and of which model.
    works: BTreeMap<JobId, (Arc<str>, Arc<D::Work>)>,
    slots: BTreeMap<ImageId, D::Slot>,
    /// Why the engine ends by itself, if it does.
    lost: Option<Failure>,
}

/// What the denoiser made of a plan.
struct Made<P> {
    outcome: Outcome,
    reports: BTreeMap<ImageId, StepReport>,
    /// Previews after a step; the finished picture after decoding.
    pictures: BTreeMap<ImageId, P>,
}

impl<P> Made<P> {
    fn nothing() -> Self {
        Made { outcome: Outcome::default(), reports: BTreeMap::new(), pictures: BTreeMap::new() }
    }

    fn fail(&mut self, image: ImageId, failure: Failure) {
        self.outcome.failures.push((image, failure));
    }

    /// The failure that says that the device is lost.
    fn lost(&self) -> Option<&Failure> {
        self.outcome.failures.iter().map(|(_, failure)| failure).find(|failure| is_device_lost(failure))
    }
}

impl<D: Denoiser, S: EventSink<D::Picture>> Worker<D, S> {
    pub(super) fn new(denoiser: D, sink: S, shared: Arc<Shared<D::Work>>, options: SchedulerOptions) -> Self {
        let scheduler = Scheduler::new(options, CostCurve::new());
        Worker { denoiser, sink, shared, scheduler, works: BTreeMap::new(), slots: BTreeMap::new(), lost: None }
    }

    /// Serves jobs until it is drained or the device is lost. Whatever happens, every accepted job gets its terminal event.
    pub(super) fn run(mut self) {
        // What can panic is caught closer by; this is for our own mistakes.
        let _ = catch_unwind(AssertUnwindSafe(|| while self.turn() {}));
        let left = self.shared.end();
        if let Some(failure) = &self.lost {
            let _ = catch_unwind(AssertUnwindSafe(|| self.sink.device_lost(failure)));
        }
        let failure = self.lost.clone().unwrap_or_else(|| model_error("the engine stopped"));
        for id in left {
            self.tell(id, Event::Failed(failure.clone()));
        }
    }

    /// One round. False when nothing will come any more.
    fn turn(&mut self) -> bool {
        let Some(received) = self.shared.receive(self.scheduler.is_empty()) else { return false };
        for job in received.submitted {
            self.scheduler.submit(&job);
            self.works.insert(job.id, (job.key.model, job.work));
        }
        for id in received.cancelled {
            self.scheduler.cancel(id);
        }
        if let Some(deadline) = received.drain {
            self.scheduler.drain(deadline);
        }
        let now = self.shared.clock.now();
        for (id, notice) in self.scheduler.notices(now) {
            self.pass_on(id, notice, &mut Made::nothing());
        }
        let plan = self.scheduler.plan(now);
        let mut made = self.carry_out(&plan);
        if let Some(failure) = made.lost() {
            self.lost = Some(failure.clone());
            return false;
        }
        let told = self.scheduler.apply(plan, std::mem::take(&mut made.outcome));
        self.shared.publish(self.scheduler.slots(), self.scheduler.expected());
        for (id, transition) in told {
            self.pass_on(id, transition, &mut made);
        }
        true
    }

    fn carry_out(&mut self, plan: &Plan) -> Made<D::Picture> {
        match plan {
            // A retired job's slots are dropped when its end is passed on.
            Plan::Rest | Plan::Retire(_) => Made::nothing(),
            Plan::Admit(images) => self.admit(images),
            Plan::Step { key, rows, images } => self.step(key, *rows, images),
            Plan::Decode(image) => self.decode(*image),
        }
    }

    fn admit(&mut self, images: &[ImageId]) -> Made<D::Picture> {
        let mut made = Made::nothing();
        for id in images {
            // Before it is begun: if that is the end of the process, it is known what was under way.
            if self.shared.start(id.job) {
                self.tell(id.job, Event::Started);
            }
            let (model, work) = self.works[&id.job].clone();
            let (slot, duration) = self.call(|denoiser| denoiser.admit(&work, id.image));
            self.stage(model, Stage::Begin, duration);
            made.outcome.duration += duration;
            match slot.flatten() {
                Ok(slot) => drop(self.slots.insert(*id, slot)),
                Err(failure) => made.fail(*id, failure),
            }
            // The others are not begun: nothing can be made of them, and none of them is to be suspected of the loss.
            if made.lost().is_some() {
                break;
            }
        }
        made
    }

    fn step(&mut self, key: &BatchKey, rows: u32, images: &[ImageStep]) -> Made<D::Picture> {
        let mut made = Made::nothing();
        let mut batch: Vec<D::Slot> = images.iter().filter_map(|step| self.slots.remove(&step.image)).collect();
        let (results, duration) = self.call(|denoiser| denoiser.step(&mut batch.iter_mut().collect::<Vec<_>>()));
        made.outcome.duration = duration;
        let results = match results {
            Ok(results) if results.len() == images.len() => results,
            // The slots of a call that panicked are not to be trusted: their jobs fail together.
            Ok(_) => vec![Err(model_error("the model answered for another number of images")); images.len()],
            Err(failure) => vec![Err(failure); images.len()],
        };
        let report = BatchReport { key: key.clone(), slots: images.len() as u32, rows, duration };
        self.report(report, results.iter().flat_map(|result| result.as_ref().err()).any(is_out_of_memory));
        let mut lost = results.iter().flat_map(|result| result.as_ref().err()).any(is_device_lost);
        for ((step, slot), result) in images.iter().zip(batch).zip(results) {
            match result {
                // The call that lost the device is the last one: there are no previews after it.
                Ok(_) if lost => {}
                Ok(report) => {
                    if let Err(failure) = self.keep(step, slot, report, &mut made) {
                        lost = is_device_lost(&failure);
                        made.fail(step.image, failure);
                    }
                }
                Err(failure) if is_out_of_memory(&failure) => {
                    // The slot is as it was; what becomes of it is for the scheduler to say.
                    self.slots.insert(step.image, slot);
                    made.outcome.out_of_memory.push((step.image, failure));
                }
                Err(failure) => made.fail(step.image, failure),
            }
        }
        made
    }

    /// Puts a slot back after a step, with a preview if one is due.
    fn keep(
        &mut self,
        step: &ImageStep,
        slot: D::Slot,
        report: StepReport,
        made: &mut Made<D::Picture>,
    ) -> Result<(), Failure> {
        if step.preview {
            let (picture, duration) = self.call(|denoiser| denoiser.preview(&slot));
            self.stage(self.works[&step.image.job].0.clone(), Stage::Preview, duration);
            made.outcome.previews.push((step.image.job, duration));
            made.pictures.insert(step.image, picture.flatten()?);
        }
        made.reports.insert(step.image, report);
        self.slots.insert(step.image, slot);
        Ok(())
    }

    fn decode(&mut self, id: ImageId) -> Made<D::Picture> {
        let mut made = Made::nothing();
        if let Some(slot) = self.slots.remove(&id) {
            let (picture, duration) = self.call(|denoiser| denoiser.decode(slot));
            self.stage(self.works[&id.job].0.clone(), Stage::Decode, duration);
            made.outcome.duration = duration;
            match picture.flatten() {
                Ok(picture) => drop(made.pictures.insert(id, picture)),
                Err(failure) => made.fail(id, failure),
            }
        }
        made
    }

    /// Calls the denoiser, and measures it. A panic in it is the failure of what it was called for.
    fn call<T>(&mut self, call: impl FnOnce(&mut D) -> T) -> (Result<T, Failure>, Duration) {
        let start = self.shared.clock.now();
        let result = catch_unwind(AssertUnwindSafe(|| call(&mut self.denoiser)));
        let duration = self.shared.clock.now().saturating_duration_since(start);
        self.shared.stamp();
        let result = result.map_err(|_| {
            let _ = catch_unwind(AssertUnwindSafe(|| self.sink.panicked()));
            model_error("the model panicked")
        });
        (result, duration)
    }

    fn pass_on(&mut self, job: JobId, transition: Transition, made: &mut Made<D::Picture>) {
        match transition {
            Transition::Queued { position, eta } => self.tell(job, Event::Queued { position, eta }),
            // It was told before its first image was admitted.
            Transition::Started => {}
            Transition::Stepped { image, step, steps } => {
                let id = ImageId { job, image };
                if let Some(report) = made.reports.remove(&id) {
                    self.tell(job, Event::Step { image, step, steps, report });
                    if let Some(picture) = made.pictures.remove(&id) {
                        self.tell(job, Event::Preview { image, step, steps, report, picture });
                    }
                }
            }
            Transition::Finished { image } => {
                if let Some(picture) = made.pictures.remove(&ImageId { job, image }) {
                    self.tell(job, Event::Image { image, picture });
                }
            }
            Transition::Ended(ending) => {
                self.works.remove(&job);
                self.slots.retain(|id, _| id.job != job);
                if self.shared.release(job) {
                    self.tell(job, terminal(ending));
                }
            }
        }
    }

    fn tell(&self, job: JobId, event: Event<D::Picture>) {
        // A sink that panics was reported by the hook; the other jobs are not to suffer for it.
        let _ = catch_unwind(AssertUnwindSafe(|| self.sink.event(job, event)));
    }

    fn stage(&self, model: Arc<str>, stage: Stage, duration: Duration) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.sink.stage(StageReport { model, stage, duration })));
    }

    fn report(&self, report: BatchReport, out_of_memory: bool) {
        let tell = || if out_of_memory { self.sink.out_of_memory(report) } else { self.sink.batch(report) };
        let _ = catch_unwind(AssertUnwindSafe(tell));
    }
}

fn terminal<P>(ending: Ending) -> Event<P> {
    match ending {
        Ending::Succeeded => Event::Succeeded,
        Ending::Failed(failure) => Event::Failed(failure),
        Ending::Cancelled => Event::Cancelled,
    }
}

fn is_out_of_memory(failure: &Failure) -> bool {
    failure.code == FailureCode::OutOfMemory
}

fn is_device_lost(failure: &Failure) -> bool {
    failure.code == FailureCode::DeviceLost
}

fn model_error(message: &str) -> Failure {
    Failure { code: FailureCode::ModelError, message: message.into() }
}
