//! A denoiser without a model, for tests (feature `fake`).
//!
//! Its pictures depend on the seed, the image's number and the steps alone, never on what shares a batch. Its time is
//! under the test's control: calls take none; or they advance a [`VirtualClock`]; or they wait at a [`Gate`]; or they
//! really sleep. A job's [`Faults`] let it fail in every way that a model can.

mod gate;
mod picture;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use gate::Gate;
pub use picture::Picture;

use crate::{Clock, Denoiser, Failure, FailureCode, StepReport};

/// What a job asks of the fake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Image `i` uses `seed + i`.
    pub seed: u64,
    /// Must be what [`Job::steps`](crate::Job::steps) says, as for any denoiser.
    pub steps: u32,
    /// Rows of each image in a call.
    pub rows: u32,
    /// Pixels of the picture.
    pub width: u32,
    pub height: u32,
    pub faults: Faults,
}

impl Default for Work {
    /// Twenty steps of two rows, eight by eight pixels, without faults.
    fn default() -> Self {
        Work { seed: 0, steps: 20, rows: 2, width: 8, height: 8, faults: Faults::default() }
    }
}

/// What goes wrong in a job. Steps are 1-based.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Only this image of the job is faulty; `None` for all of them.
    pub image: Option<u32>,
    /// The call that does this step panics.
    pub panic_at: Option<u32>,
    /// The numbers are not finite at this step.
    pub nan_at: Option<u32>,
    /// The device is lost in the call that does this step.
    pub lost_at: Option<u32>,
    /// The call that does this step really sleeps for so long first.
    pub hang_at: Option<(u32, Duration)>,
    pub admit: Option<FailureCode>,
    pub preview: Option<FailureCode>,
    pub decode: Option<FailureCode>,
}

/// A clock that only the fake moves.
#[derive(Clone, Debug)]
pub struct VirtualClock(Arc<Mutex<Instant>>);

impl VirtualClock {
    pub fn new() -> Self {
        VirtualClock(Arc::new(Mutex::new(Instant::now())))
    }

    pub fn now(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn advance(&self, duration: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += duration;
    }

    /// The clock for [`EngineOptions`](crate::EngineOptions).
    pub fn clock(&self) -> Clock {
        let this = self.clone();
        Clock::new(move || this.now())
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

/// The fake, for any engine whose work can be read as [`Work`] and whose pictures can be made of [`Picture`].
pub struct FakeDenoiser<W = Work, P = Picture> {
    read: Box<dyn Fn(&W) -> Work + Send>,
    paint: Box<dyn Fn(Picture) -> P + Send>,
    /// What a call of so many rows takes.
    duration: Box<dyn Fn(u32) -> Duration + Send>,
    pace: Pace,
    gate: Option<Gate>,
    /// A call of more rows runs out of memory.
    memory: u32,
}

#[derive(Clone, Debug)]
enum Pace {
    Instant,
    Virtual(VirtualClock),
    Real,
}

impl FakeDenoiser {
    /// A fake whose calls take no time.
    pub fn new() -> Self {
        Self::adapted(Work::clone, |picture| picture)
    }
}

impl Default for FakeDenoiser {
    fn default() -> Self {
        Self::new()
    }
}

impl<W, P> FakeDenoiser<W, P> {
    /// A fake for another engine's work and pictures.
    pub fn adapted(read: impl Fn(&W) -> Work + Send + 'static, paint: impl Fn(Picture) -> P + Send + 'static) -> Self {
        FakeDenoiser {
            read: Box::new(read),
            paint: Box::new(paint),
            duration: Box::new(|_| Duration::ZERO),
            pace: Pace::Instant,
            gate: None,
            memory: u32::MAX,
        }
    }

    /// Model calls of more than `rows` rows run out of memory.
    pub fn with_memory_for(mut self, rows: u32) -> Self {
        self.memory = rows;
        self
    }

    /// Every model call advances the clock, by what a call of so many rows takes.
    pub fn on_clock(mut self, clock: &VirtualClock, duration: impl Fn(u32) -> Duration + Send + 'static) -> Self {
        (self.pace, self.duration) = (Pace::Virtual(clock.clone()), Box::new(duration));
        self
    }

    /// Every model call really sleeps.
    pub fn sleeping(mut self, duration: impl Fn(u32) -> Duration + Send + 'static) -> Self {
        (self.pace, self.duration) = (Pace::Real, Box::new(duration));
        self
    }

    /// Every model call waits at the gate before it begins.
    pub fn through(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    fn pass_time(&self, rows: u32) {
        if let Some(gate) = &self.gate {
            gate.enter();
        }
        match &self.pace {
            Pace::Instant => {}
            Pace::Virtual(clock) => clock.advance((self.duration)(rows)),
            Pace::Real => thread::sleep((self.duration)(rows)),
        }
    }
}

impl<W, P> fmt::Debug for FakeDenoiser<W, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeDenoiser").field("pace", &self.pace).field("gate", &self.gate).finish_non_exhaustive()
    }
}

/// The state of one image of the fake.
#[derive(Clone, Debug)]
pub struct Slot {
    work: Work,
    image: u32,
    done: u32,
}

impl Slot {
    /// The faults, if this image has any.
    fn faults(&self) -> Faults {
        let faults = &self.work.faults;
        if faults.image.is_none_or(|image| image == self.image) { faults.clone() } else { Faults::default() }
    }

    fn picture(&self) -> Picture {
        Picture::at(&self.work, self.image, self.done)
    }

    fn step(&mut self) -> Result<StepReport, Failure> {
        self.done += 1;
        if self.faults().nan_at == Some(self.done) {
            return Err(failure(FailureCode::NanOutput));
        }
        let left = (self.work.steps - self.done.min(self.work.steps)) as f32 / self.work.steps as f32;
        Ok(StepReport { timestep: 999.0 * left, sigma: 14.6 * left * left })
    }
}

impl<W: Send + Sync + 'static, P: Send + 'static> Denoiser for FakeDenoiser<W, P> {
    type Work = W;
    type Slot = Slot;
    type Picture = P;

    fn admit(&mut self, work: &Arc<W>, image: u32) -> Result<Slot, Failure> {
        let slot = Slot { work: (self.read)(work), image, done: 0 };
        slot.faults().admit.map_or(Ok(slot), |code| Err(failure(code)))
    }

    fn step(&mut self, slots: &mut [&mut Slot]) -> Vec<Result<StepReport, Failure>> {
        let rows = slots.iter().map(|slot| slot.work.rows).sum();
        self.pass_time(rows);
        if rows > self.memory {
            return vec![Err(failure(FailureCode::OutOfMemory)); slots.len()];
        }
        if slots.iter().any(|slot| slot.faults().lost_at == Some(slot.done + 1)) {
            return vec![Err(failure(FailureCode::DeviceLost)); slots.len()];
        }
        for slot in slots.iter() {
            let Faults { hang_at, panic_at, .. } = slot.faults();
            match hang_at {
                Some((step, duration)) if step == slot.done + 1 => thread::sleep(duration),
                Some(_) | None => {}
            }
            assert!(panic_at != Some(slot.done + 1), "the fake was told to panic");
        }
        slots.iter_mut().map(|slot| slot.step()).collect()
    }

    fn preview(&mut self, slot: &Slot) -> Result<P, Failure> {
        slot.faults().preview.map_or_else(|| Ok((self.paint)(slot.picture())), |code| Err(failure(code)))
    }

    fn decode(&mut self, slot: Slot) -> Result<P, Failure> {
        slot.faults().decode.map_or_else(|| Ok((self.paint)(slot.picture())), |code| Err(failure(code)))
    }
}

fn failure(code: FailureCode) -> Failure {
    Failure { code, message: "the fake was told to fail".into() }
}
