//! The report for people.

use super::Served;
use super::trial::Trial;
use crate::commands::{CommandError, print, table};

const HEAD: [&str; 9] = ["POLICY", "LOAD", "REQUESTS", "IN TIME", "P50", "P95", "P99", "FIRST PREVIEW", "DIFFERENT"];

pub(super) fn tell(all: &[Served]) -> Result<(), CommandError> {
    let rows = all.iter().flat_map(|served| served.trials.iter().map(|trial| row(&served.policy, trial)));
    table(&[HEAD.map(str::to_owned)].into_iter().chain(rows).collect::<Vec<_>>())?;
    for Served { policy, alone_seconds, goodput, .. } in all {
        if let Some(goodput) = goodput {
            print(format_args!(
                "{policy}: nine in ten in time up to a load of {:.2}, {:.2} requests a second; alone one takes {alone_seconds:.3} s",
                goodput.load, goodput.requests_per_second
            ))?;
        }
    }
    Ok(())
}

fn row(policy: &str, trial: &Trial) -> [String; 9] {
    let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    // Of a stream that was cut off, the quick answers alone are known.
    let [p50, p95, p99, first] = if trial.stopped {
        [None; 4].map(seconds)
    } else {
        [trial.latency.p50, trial.latency.p95, trial.latency.p99, trial.first_preview.p50].map(seconds)
    };
    [
        policy.to_owned(),
        format!("{:.2}", trial.load),
        trial.requests.to_string(),
        format!("{}{:.0} %", if trial.stopped { "< " } else { "" }, 100.0 * trial.in_time),
        p50,
        p95,
        p99,
        first,
        trial.different.to_string(),
    ]
}
