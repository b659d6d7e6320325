//! A job while the scheduler has it.

use std::time::Instant;

use super::notice::Notice;
use super::plan::{Ending, Transition};
use crate::{BatchKey, Failure, FailureCode, Job, Priority, SecondPass, Tenant};

/// What the scheduler keeps of a job. Images not yet admitted are a count, so memory is bounded by the slots whatever a job
/// asks for.
#[derive(Clone, Debug)]
pub(super) struct JobState {
    /// Of the first steps, and of those after them.
    first_key: BatchKey,
    first_steps: u32,
    second_pass: Option<SecondPass>,
    pub(super) tenant: Tenant,
    pub(super) priority: Priority,
    pub(super) rows: u32,
    /// The place in the order of arrival.
    pub(super) number: u64,
    /// The last that the client was told about its place in the queue.
    pub(super) notice: Option<Notice>,
    images: u32,
    /// Of both passes.
    steps: u32,
    preview_every: Option<u32>,
    deadline: Option<Instant>,
    /// Images that have a slot, in the order in which they are stepped: none is ever behind a later one.
    open: Vec<OpenImage>,
    /// Images from this one on have no slot yet.
    next: u32,
    decoded: u32,
    /// Set when the job is to end, and how; the next plan retires it.
    ending: Option<Ending>,
}

#[derive(Clone, Copy, Debug)]
struct OpenImage {
    image: u32,
    /// Steps done.
    done: u32,
}

impl JobState {
    pub(super) fn new<W>(job: &Job<W>, number: u64) -> Self {
        JobState {
            first_key: job.key.clone(),
            first_steps: job.steps.get(),
            second_pass: job.second_pass.clone(),
            tenant: job.tenant,
            priority: job.priority,
            rows: job.rows.get(),
            number,
            notice: None,
            images: job.images.get(),
            steps: job.steps.get() + job.second_pass.as_ref().map_or(0, |second| second.steps.get()),
            preview_every: job.preview_every.map(|every| every.get()),
            deadline: job.deadline,
            open: Vec::new(),
            next: 0,
            decoded: 0,
            ending: None,
        }
    }

    pub(super) fn started(&self) -> bool {
        self.next > 0
    }

    /// The slots that the job has.
    pub(super) fn slots(&self) -> usize {
        self.open.len()
    }

    /// Steps that its images have left, all together, by the key that they are done with.
    pub(super) fn steps_left(&self) -> impl Iterator<Item = (&BatchKey, u64)> {
        let left = |from: u32, to: u32| {
            let open: u64 = self.open.iter().map(|image| u64::from(to.saturating_sub(image.done.max(from)))).sum();
            open + u64::from(self.images - self.next) * u64::from(to - from)
        };
        let first = (&self.first_key, left(0, self.first_steps));
        let second = self.second_pass.as_ref().map(|second| (&second.key, left(self.first_steps, self.steps)));
        std::iter::once(first).chain(second)
    }

    /// What its next steps are done with: all of them are of one size, that of the image that is furthest.
    pub(super) fn key(&self) -> &BatchKey {
        self.open.iter().find(|image| image.done < self.steps).map_or(&self.first_key, |image| self.key_at(image.done))
    }

    /// What its pictures are decoded with.
    pub(super) fn last_key(&self) -> &BatchKey {
        self.key_at(self.steps)
    }

    fn key_at(&self, done: u32) -> &BatchKey {
        match &self.second_pass {
            Some(second) if done >= self.first_steps => &second.key,
            Some(_) | None => &self.first_key,
        }
    }

    /// Images that are not decoded yet.
    pub(super) fn images_left(&self) -> u32 {
        self.images - self.decoded
    }

    /// Images with a slot whose next step is of [`Self::key`].
    pub(super) fn steppable(&self) -> impl Iterator<Item = u32> {
        let key = self.key();
        let next = self.open.iter().filter(|image| image.done < self.steps);
        next.filter(move |image| self.key_at(image.done) == key).map(|image| image.image)
    }

    /// Images without a slot whose first step is of [`Self::key`].
    pub(super) fn unadmitted(&self) -> std::ops::Range<u32> {
        if self.key() == &self.first_key { self.next..self.images } else { self.next..self.next }
    }

    /// An image whose steps are all done.
    pub(super) fn decodable(&self) -> Option<u32> {
        self.open.iter().find(|image| image.done == self.steps).map(|image| image.image)
    }

    /// The step that `image` does next, 1-based, and whether a preview is due after it.
    pub(super) fn next_step(&self, image: u32) -> (u32, bool) {
        let step = self.open.iter().find(|open| open.image == image).map_or(0, |open| open.done) + 1;
        (step, self.preview_every.is_some_and(|every| step.is_multiple_of(every)))
    }

    /// How the job ends, if it is to end now.
    pub(super) fn ending(&self, now: Instant, drain: Option<Instant>) -> Option<Ending> {
        let passed = |limit: Option<Instant>| limit.is_some_and(|limit| now >= limit);
        let failed = |code, message: &str| Some(Ending::Failed(Failure { code, message: message.into() }));
        match &self.ending {
            Some(ending) => Some(ending.clone()),
            None if passed(self.deadline) => failed(FailureCode::DeadlineExceeded, "the deadline passed"),
            None if passed(drain) => failed(FailureCode::ShuttingDown, "the server is shutting down"),
            None => None,
        }
    }

    /// Marks the job to be retired. The first reason stands.
    pub(super) fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    pub(super) fn admitted(&mut self, image: u32) -> Option<Transition> {
        let first = !self.started();
        self.next = self.next.max(image + 1);
        self.open.push(OpenImage { image, done: 0 });
        first.then_some(Transition::Started)
    }

    pub(super) fn stepped(&mut self, image: u32) -> Option<Transition> {
        let open = self.open.iter_mut().find(|open| open.image == image)?;
        open.done += 1;
        Some(Transition::Stepped { image, step: open.done, steps: self.steps })
    }

    /// Takes note of a decoded image. Whether it was the last is for [`is_complete`](Self::is_complete) to say.
    pub(super) fn decoded(&mut self, image: u32) -> Transition {
        self.open.retain(|open| open.image != image);
        self.decoded += 1;
        Transition::Finished { image }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.images_left() == 0
    }
}
