//! A record is the fold of a generation's facts.

use jiff::Timestamp;
use x0_openapi::{Event, GenerationRecord, QueuedEvent, StartedEvent, State, Timings};

use super::{Fact, Glimpse};

/// A record, and what it takes to go on folding.
#[derive(Clone, Debug)]
pub struct Fold {
    record: GenerationRecord,
    /// Steps done, image by image.
    steps_done: Vec<u32>,
}

impl Fold {
    /// Begins with the record of a generation to which nothing has happened yet.
    pub fn new(record: GenerationRecord) -> Self {
        let steps_done = vec![0; record.request.n as usize];
        Self { record, steps_done }
    }

    pub fn record(&self) -> &GenerationRecord {
        &self.record
    }

    /// Whether a fact says anything new: nothing does once the generation has ended, nor does an image that is there, which another run of
    /// the generation made.
    pub fn takes(&self, fact: &Fact) -> bool {
        let known = match fact {
            Fact::Image(image) => self.record.images.iter().any(|other| other.index == image.record.index),
            Fact::Queued { .. } | Fact::Started | Fact::Succeeded | Fact::Failed(_) | Fact::Cancelled => false,
        };
        !self.record.state.is_terminal() && !known
    }

    /// Adds a fact and gives the event that tells of it; nothing if it says nothing new.
    pub fn fact(&mut self, fact: Fact, at: Timestamp) -> Option<Event> {
        if !self.takes(&fact) {
            return None;
        }
        Some(match fact {
            Fact::Queued { position, eta_seconds } => {
                self.begin_anew();
                self.queued(position, eta_seconds)
            }
            Fact::Started => {
                self.record.state = State::Running;
                self.record.position = None;
                // What was expected then gets older with every second, and nobody corrects it from now on.
                self.record.eta_seconds = None;
                self.record.started_at = Some(at);
                self.record.timings.queued_seconds = Some(seconds(self.record.created_at, at));
                Event::Started(StartedEvent { started_at: at })
            }
            Fact::Image(image) => {
                let all_steps = self.record.progress.steps / self.record.request.n;
                self.progress(image.record.index, all_steps);
                let mut remembered = image.record.clone();
                remembered.b64 = None;
                let place = self.record.images.partition_point(|other| other.index < remembered.index);
                self.record.images.insert(place, remembered);
                Event::Image(image.record)
            }
            Fact::Succeeded => {
                self.record.progress.step = self.record.progress.steps;
                Event::Succeeded(self.end(State::Succeeded, at))
            }
            Fact::Failed(error) => {
                self.record.error = Some(error);
                Event::Failed(self.end(State::Failed, at))
            }
            Fact::Cancelled => Event::Cancelled(self.end(State::Cancelled, at)),
        })
    }

    /// Takes notice of a glimpse and gives the event that shows it; nothing once the generation has ended.
    pub fn glimpse(&mut self, glimpse: Glimpse) -> Option<Event> {
        if self.record.state.is_terminal() {
            return None;
        }
        Some(match glimpse {
            Glimpse::Moved { position, eta_seconds } => self.queued(position, eta_seconds),
            Glimpse::Step(step) => {
                self.progress(step.index, step.step);
                Event::Step(step)
            }
            Glimpse::Preview(preview) => Event::Preview(preview),
        })
    }

    /// Forgets the run before, except for its images.
    fn begin_anew(&mut self) {
        self.record.state = State::Queued;
        self.record.started_at = None;
        self.record.timings = Timings::default();
        self.steps_done.fill(0);
        self.record.progress.step = 0;
    }

    fn queued(&mut self, position: u32, eta_seconds: Option<f64>) -> Event {
        self.record.position = Some(position);
        self.record.eta_seconds = eta_seconds;
        Event::Queued(QueuedEvent { position, eta_seconds })
    }

    fn progress(&mut self, index: u32, step: u32) {
        if let Some(done) = self.steps_done.get_mut(index as usize) {
            *done = step.max(*done);
        }
        self.record.progress.step = self.steps_done.iter().sum();
    }

    fn end(&mut self, state: State, at: Timestamp) -> Box<GenerationRecord> {
        let record = &mut self.record;
        record.state = state;
        record.position = None;
        record.eta_seconds = None;
        record.finished_at = Some(at);
        match record.started_at {
            Some(started) => record.timings.running_seconds = Some(seconds(started, at)),
            None => record.timings.queued_seconds = Some(seconds(record.created_at, at)),
        }
        Box::new(record.clone())
    }
}

/// The time between two moments; never negative, although the clock may be set back.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
