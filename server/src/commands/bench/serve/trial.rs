//! A stream of requests, and how each was served.

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::alone::Alone;
use super::client::{Answer, Client};
use super::load::Arrival;
use crate::commands::CommandError;
use crate::commands::bench::statistics::quantile;

/// A request is in time when it takes no longer than this many times what it takes alone.
const PATIENCE: f64 = 3.0;
/// A load is borne when this share of its requests is in time.
const SHARE: f64 = 0.9;

/// How a load was served.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Trial {
    /// 1 is what one image after the other can bear.
    pub(super) load: f64,
    /// Requests that were followed to their end.
    pub(super) requests: usize,
    /// Whether it ended early, since too many requests were late.
    pub(super) stopped: bool,
    /// The share of requests in time; where it was stopped, at most.
    pub(super) in_time: f64,
    pub(super) latency: Spread,
    pub(super) first_preview: Spread,
    pub(super) failed: usize,
    /// Pictures that are not those of the same requests alone.
    pub(super) different: usize,
}

/// In seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Spread {
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// What is known so far.
#[derive(Debug, Default)]
struct Tally {
    latencies: Vec<f64>,
    first_previews: Vec<f64>,
    late: usize,
    failed: usize,
    different: usize,
}

impl Trial {
    /// Sends each request when its time has come, however many are still waited for. If `may_stop`, it ends as soon as it is clear
    /// that the load is not borne.
    pub(super) async fn make(
        client: &Client,
        alone: &Alone,
        arrivals: Vec<Arrival>,
        load: f64,
        may_stop: bool,
    ) -> Result<Self, CommandError> {
        let (start, count) = (Instant::now(), arrivals.len());
        let mut under_way = JoinSet::new();
        for Arrival { at, request, body } in arrivals {
            let client = client.clone();
            under_way.spawn(async move {
                sleep_until(start + at).await;
                Ok::<_, CommandError>((request, client.follow(&body).await?))
            });
        }
        let mut tally = Tally::default();
        while let Some(ended) = under_way.join_next().await {
            let (request, answer) = ended.map_err(CommandError::failed)??;
            tally.add(&answer, alone.seconds(request), alone.picture(request));
            if may_stop && !is_borne(tally.share_in_time(count)) {
                break;
            }
        }
        let stopped = !under_way.is_empty();
        // Who is not waited for any more is cancelled.
        under_way.shutdown().await;
        Ok(tally.trial(load, count, stopped))
    }

    pub(super) fn is_borne(&self) -> bool {
        is_borne(self.in_time)
    }
}

fn is_borne(in_time: f64) -> bool {
    in_time >= SHARE
}

impl Tally {
    fn add(&mut self, answer: &Answer, alone: f64, expected: &str) {
        self.latencies.push(answer.seconds);
        self.first_previews.extend(answer.first_preview);
        self.failed += usize::from(answer.picture.is_none());
        self.different += usize::from(answer.picture.as_deref().is_some_and(|picture| picture != expected));
        self.late += usize::from(answer.picture.is_none() || answer.seconds > PATIENCE * alone);
    }

    /// If all that are still to come are in time.
    fn share_in_time(&self, count: usize) -> f64 {
        (count - self.late) as f64 / count as f64
    }

    fn trial(&self, load: f64, count: usize, stopped: bool) -> Trial {
        Trial {
            load,
            requests: self.latencies.len(),
            stopped,
            in_time: self.share_in_time(count),
            latency: Spread::of(&self.latencies),
            first_preview: Spread::of(&self.first_previews),
            failed: self.failed,
            different: self.different,
        }
    }
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| quantile(values, share));
        Self { p50, p95, p99 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(seconds: f64, picture: Option<&str>) -> Answer {
        Answer { seconds, first_preview: Some(seconds / 2.0), picture: picture.map(str::to_owned) }
    }

    #[test]
    fn nine_in_ten_within_three_times_are_enough() {
        let mut tally = Tally::default();
        for _ in 0..9 {
            tally.add(&answer(3.0, Some("a")), 1.0, "a");
        }
        tally.add(&answer(3.1, Some("a")), 1.0, "a");
        let trial = tally.trial(0.5, 10, false);
        assert!(trial.is_borne() && trial.in_time == 0.9 && trial.different == 0 && trial.requests == 10);
        assert_eq!((trial.latency.p50, trial.first_preview.p50), (Some(3.0), Some(1.5)));
        tally.add(&answer(0.1, None), 1.0, "a");
        tally.add(&answer(0.1, Some("b")), 1.0, "a");
        let trial = tally.trial(0.5, 12, false);
        assert!(!trial.is_borne(), "one late and one failed of twelve");
        assert_eq!((trial.failed, trial.different), (1, 1));
    }
}
