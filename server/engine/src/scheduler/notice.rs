//! What those who wait are told: their place, and when they may expect to be done.

use std::time::{Duration, Instant};

use super::plan::Transition;

/// Nobody is told more often.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// A finish that moved by less than this, or by less than [`MATERIAL_PART`] of the wait, is no news.
const MATERIAL_SECONDS: f64 = 1.0;
const MATERIAL_PART: f64 = 0.25;

/// What a job was told last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Notice {
    position: u32,
    eta: Duration,
    at: Instant,
}

impl Notice {
    /// Tells a job its place and its expected wait, if that is news to it.
    pub(super) fn tell(last: &mut Option<Notice>, position: usize, eta: f64, now: Instant) -> Option<Transition> {
        let notice = Notice {
            position: u32::try_from(position).unwrap_or(u32::MAX),
            eta: Duration::try_from_secs_f64(eta).unwrap_or(Duration::MAX),
            at: now,
        };
        if last.is_some_and(|last| !notice.is_news_after(&last)) {
            return None;
        }
        *last = Some(notice);
        Some(Transition::Queued { position: notice.position, eta: notice.eta })
    }

    fn is_news_after(&self, last: &Notice) -> bool {
        let passed = self.at.saturating_duration_since(last.at);
        let eta = self.eta.as_secs_f64();
        // A finish that comes nearer as time passes is what was said.
        let moved = (passed.as_secs_f64() + eta - last.eta.as_secs_f64()).abs();
        let material = self.position != last.position || moved > (MATERIAL_PART * eta).max(MATERIAL_SECONDS);
        passed >= INTERVAL && material
    }
}
