//! Our record as Replicate's prediction.

use x0_openapi::{GenerationRecord, Named as _, Progress, ReplicateMetrics, ReplicatePrediction, ReplicateUrls, State};

use super::OWNER;
use crate::http::address::Address;

/// How many characters a bar of progress has.
const BAR: u32 = 10;

pub(super) fn prediction(record: GenerationRecord, address: &Address) -> ReplicatePrediction {
    let id = record.id;
    let images = record.images.iter().map(|image| address.of(&image.url)).collect();
    let seconds = |from: Option<f64>, more: Option<f64>| Some(from.unwrap_or(0.0) + more?);
    ReplicatePrediction {
        id,
        model: format!("{OWNER}/{}", record.model),
        version: record.model,
        output: (record.state == State::Succeeded).then_some(images),
        logs: bar(record.progress),
        error: record.error.map(|error| format!("{}: {}", error.code.name(), error.message)),
        status: record.state.into(),
        urls: ReplicateUrls {
            get: address.of(&format!("/v1/predictions/{id}")),
            cancel: address.of(&format!("/v1/predictions/{id}/cancel")),
        },
        metrics: ReplicateMetrics {
            predict_time: record.timings.running_seconds,
            total_time: seconds(record.timings.queued_seconds, record.timings.running_seconds),
        },
        input: record.request,
        created_at: record.created_at,
        started_at: record.started_at,
        completed_at: record.finished_at,
        data_removed: false,
    }
}

/// A line such as tqdm writes it, which Replicate's Python client reads the progress from.
fn bar(Progress { step, steps }: Progress) -> String {
    let of = |whole: u32| (u64::from(step) * u64::from(whole) / u64::from(steps.max(1))) as usize;
    let (percent, full) = (of(100), of(BAR));
    format!("{percent:3}%|{:width$}| {step}/{steps}", "#".repeat(full), width = BAR as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_bar() {
        assert_eq!(bar(Progress { step: 12, steps: 25 }), " 48%|####      | 12/25");
        assert_eq!(bar(Progress { step: 25, steps: 25 }), "100%|##########| 25/25");
        assert_eq!(bar(Progress { step: 0, steps: 0 }), "  0%|          | 0/0");
    }
}
