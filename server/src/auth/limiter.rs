//! Token buckets.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// A token bucket that is full at first and fills again within a minute.
#[derive(Debug)]
pub struct Limiter {
    bucket: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
    /// How many units one of the bucket's tokens stands for: the bucket counts to 2³² only.
    unit: u64,
    limit: u64,
}

/// How things stand after something was taken, or could not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The units that the full bucket has.
    pub limit: u64,
    /// The units that are left.
    pub remaining: u64,
    /// Until the bucket is full again.
    pub reset: Duration,
    /// When nothing was taken: until it can be; `None` when it never can.
    pub retry: Option<Duration>,
}

impl Limiter {
    /// A bucket of `limit` units; 0 stands for 1.
    pub fn per_minute(limit: u64) -> Self {
        let unit = limit.div_ceil(u64::from(u32::MAX)).max(1);
        let tokens = tokens(limit / unit);
        let quota = Quota::per_minute(tokens);
        let bucket = RateLimiter::direct(quota).with_middleware::<StateInformationMiddleware>();
        Self { bucket, unit, limit: u64::from(tokens.get()) * unit }
    }

    /// Takes so many units.
    ///
    /// # Errors
    /// When they are not there; then none are taken.
    pub fn take(&self, amount: u64) -> Result<Budget, Budget> {
        let empty = Budget { limit: self.limit, remaining: 0, reset: Duration::ZERO, retry: None };
        match self.bucket.check_n(tokens(amount.div_ceil(self.unit))) {
            Ok(Ok(state)) => Ok(self.budget(&state)),
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(self.bucket.clock().now());
                Err(Budget { reset: wait, retry: Some(wait), ..empty })
            }
            Err(_) => Err(empty),
        }
    }

    fn budget(&self, state: &StateSnapshot) -> Budget {
        let (quota, remaining) = (state.quota(), state.remaining_burst_capacity());
        let taken = quota.burst_size().get() - remaining.min(quota.burst_size().get());
        Budget {
            limit: self.limit,
            remaining: u64::from(remaining) * self.unit,
            reset: quota.replenish_interval().saturating_mul(taken),
            retry: None,
        }
    }
}

fn tokens(number: u64) -> NonZeroU32 {
    NonZeroU32::new(u32::try_from(number).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_missing_and_comes_back() {
        let limiter = Limiter::per_minute(60);
        let budget = limiter.take(50).unwrap();
        assert_eq!((budget.limit, budget.remaining), (60, 10));
        assert!(budget.reset <= Duration::from_secs(50) && budget.reset > Duration::from_secs(48), "{budget:?}");
        let refused = limiter.take(20).unwrap_err();
        let retry = refused.retry.unwrap();
        assert!(retry <= Duration::from_secs(10) && retry > Duration::from_secs(8), "{refused:?}");
        limiter.take(10).expect("nothing was taken by who was refused");
    }

    #[test]
    fn what_never_fits_is_told_apart() {
        assert_eq!(Limiter::per_minute(60).take(61).unwrap_err().retry, None);
        assert!(Limiter::per_minute(1).take(1).is_ok());
    }

    #[test]
    fn large_limits_are_counted_in_coarser_units() {
        let limiter = Limiter::per_minute(1 << 40);
        assert!(limiter.limit.abs_diff(1 << 40) <= 1 << 9, "{limiter:?}");
        let budget = limiter.take(1 << 39).unwrap();
        assert!(budget.remaining.abs_diff(1 << 39) < 1 << 30, "{budget:?}");
        assert_eq!(limiter.take(u64::MAX).unwrap_err().retry, None);
    }
}
