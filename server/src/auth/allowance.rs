//! How much of the server one key may use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use x0_openapi::KeyLimits;

use super::limiter::{Budget, Limiter};

/// What a key may use at most, where its own entry in the key file does not say otherwise. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub requests_per_minute: Option<u32>,
    pub pixel_steps_per_minute: Option<u64>,
    /// Generations that wait and run.
    pub queue_size: Option<u32>,
    pub streams: Option<u32>,
}

impl Limits {
    /// These, but for what `own` says.
    pub fn with(self, own: KeyLimits) -> Self {
        Self {
            requests_per_minute: own.requests_per_minute.or(self.requests_per_minute),
            pixel_steps_per_minute: own.pixel_steps_per_minute.or(self.pixel_steps_per_minute),
            queue_size: own.queue_size.or(self.queue_size),
            streams: own.streams.or(self.streams),
        }
    }
}

/// One key's limits, and how much of them is used.
#[derive(Debug)]
pub struct Allowance {
    limits: Limits,
    requests: Option<Limiter>,
    pixel_steps: Option<Limiter>,
    jobs: Arc<AtomicU32>,
    streams: Arc<AtomicU32>,
}

/// What a key has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// So many generations wait and run.
    Jobs(u32),
    /// Pixels times steps.
    PixelSteps(Budget),
}

impl Allowance {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            requests: limits.requests_per_minute.map(|limit| Limiter::per_minute(limit.into())),
            pixel_steps: limits.pixel_steps_per_minute.map(Limiter::per_minute),
            jobs: Arc::default(),
            streams: Arc::default(),
        }
    }

    /// The same key after its limits may have changed: what is held counts on.
    pub fn renewed(&self, limits: Limits) -> Self {
        Self { jobs: self.jobs.clone(), streams: self.streams.clone(), ..Self::new(limits) }
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Counts a request; `None` where requests are not limited.
    ///
    /// # Errors
    /// When it is one too many.
    pub fn request(&self) -> Option<Result<Budget, Budget>> {
        self.requests.as_ref().map(|requests| requests.take(1))
    }

    /// Takes a place in the queue and so many pixels times steps.
    ///
    /// # Errors
    /// When one of them is not there; then none is taken.
    pub fn job(&self, pixel_steps: u64) -> Result<Hold, Exceeded> {
        let hold = hold(&self.jobs, self.limits.queue_size).map_err(Exceeded::Jobs)?;
        if let Some(limiter) = &self.pixel_steps {
            limiter.take(pixel_steps).map_err(Exceeded::PixelSteps)?;
        }
        Ok(hold)
    }

    /// Takes a place in the queue that was granted by an earlier process, whatever the limits are now.
    pub fn granted_job(&self) -> Hold {
        self.jobs.fetch_add(1, Ordering::AcqRel);
        Hold(self.jobs.clone())
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// The number of those that are open, when there may be no more.
    pub fn stream(&self) -> Result<Hold, u32> {
        hold(&self.streams, self.limits.streams)
    }
}

fn hold(count: &Arc<AtomicU32>, limit: Option<u32>) -> Result<Hold, u32> {
    let limit = limit.unwrap_or(u32::MAX);
    let more = |held: u32| (held < limit).then(|| held + 1);
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).map(|_| Hold(count.clone()))
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub struct Hold(Arc<AtomicU32>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Limits =
        Limits { requests_per_minute: None, pixel_steps_per_minute: None, queue_size: None, streams: None };

    #[test]
    fn places_are_taken_and_given_back() {
        let allowance = Allowance::new(Limits { queue_size: Some(2), streams: Some(0), ..NONE });
        let first = allowance.job(1).unwrap();
        let _second = allowance.job(1).unwrap();
        assert_eq!(allowance.job(1).unwrap_err(), Exceeded::Jobs(2));
        drop(first);
        let _third = allowance.job(1).unwrap();
        let renewed = allowance.renewed(Limits { queue_size: Some(3), ..NONE });
        let _fourth = renewed.job(1).unwrap();
        assert_eq!(renewed.job(1).unwrap_err(), Exceeded::Jobs(3), "what was held before counts");
        assert_eq!(allowance.stream().unwrap_err(), 0);
    }

    #[test]
    fn who_has_no_steps_left_keeps_its_place() {
        let allowance = Allowance::new(Limits { queue_size: Some(2), pixel_steps_per_minute: Some(10), ..NONE });
        let _first = allowance.job(8).unwrap();
        for _ in 0..5 {
            assert!(matches!(allowance.job(8), Err(Exceeded::PixelSteps(Budget { retry: Some(_), .. }))));
        }
        allowance.job(1).expect("there is a place");
        assert!(matches!(allowance.job(11), Err(Exceeded::PixelSteps(Budget { retry: None, .. }))));
    }

    #[test]
    fn a_keys_own_limits_go_before_the_servers() {
        let server = Limits { requests_per_minute: Some(1), ..NONE };
        let own = KeyLimits { requests_per_minute: Some(7), streams: Some(2), ..KeyLimits::default() };
        assert_eq!(server.with(own), Limits { requests_per_minute: Some(7), streams: Some(2), ..NONE });
        assert_eq!(server.with(KeyLimits::default()), server);
    }
}
