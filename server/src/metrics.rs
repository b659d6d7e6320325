//! Every metric of the server: its name, its labels, and where it is counted.
//!
//! Base units, `_total` for counters, the prefix `x0_` but for what Prometheus itself names `process_`. A label's values are always a closed set or the names of known models.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use x0_engine::{FailureCode, Stage};
use x0_openapi::{ErrorCode, Named as _, Priority};

const METADATA: Metadata<'static> = Metadata::new("x0", Level::INFO, None);

/// The commit that the program was built from, if whoever built it said so in the environment.
const COMMIT: &str = match option_env!("X0_COMMIT") {
    Some(commit) if !commit.is_empty() => commit,
    Some(_) | None => "unknown",
};

const REQUEST_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
const WAIT_SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
const STEP_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const BYTES: &[f64] = &[256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0];
const BATCH: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// Histograms: name, unit, help, upper bounds of the buckets.
const HISTOGRAMS: &[(&str, Unit, &str, &[f64])] = &[
    (
        "x0_http_request_duration_seconds",
        Unit::Seconds,
        "From the request's head to the answer's head.",
        REQUEST_SECONDS,
    ),
    ("x0_http_request_body_bytes", Unit::Bytes, "Bytes of a request's body, as far as they were read.", BYTES),
    ("x0_job_queue_wait_seconds", Unit::Seconds, "From accepted to begun.", WAIT_SECONDS),
    ("x0_job_duration_seconds", Unit::Seconds, "From accepted to the terminal state.", WAIT_SECONDS),
    ("x0_step_duration_seconds", Unit::Seconds, "One model call.", STEP_SECONDS),
    (
        "x0_stage_duration_seconds",
        Unit::Seconds,
        "One stage of making a picture besides model calls: begin (text, noise, start image), preview, decode, encode.",
        STEP_SECONDS,
    ),
    ("x0_batch_size", Unit::Count, "Images that shared a model call.", BATCH),
    ("x0_batch_rows", Unit::Count, "Rows of a model call; an image under guidance has two.", BATCH),
];

const COUNTERS: &[(&str, &str)] = &[
    ("x0_http_requests_total", "Requests answered; status 499 is a client that went away before."),
    ("x0_connections_refused_total", "Connections over the cap."),
    ("x0_jobs_submitted_total", "Generations accepted."),
    ("x0_jobs_rejected_total", "Generations refused, by the error's code."),
    ("x0_jobs_finished_total", "Generations that reached a terminal state, by that state."),
    ("x0_images_generated_total", "Images finished."),
    ("x0_pixel_steps_total", "Pixels times model calls of finished images."),
    ("x0_nan_outputs_total", "Generations that failed because the model's numbers became infinite or undefined."),
    ("x0_oom_total", "Generations that failed for want of memory, by device."),
    (
        "x0_batches_out_of_memory_total",
        "Model calls that there was no memory for; those of several images were made again with fewer.",
    ),
    ("x0_worker_panics_total", "Panics of the model."),
    ("x0_watchdog_trips_total", "Times that the engine was found to hang, or gone."),
    ("x0_previews_dropped_total", "Steps and previews that were not recorded because the recorder was behind."),
    ("x0_sse_events_sent_total", "Events sent, by their name."),
    ("x0_auth_failures_total", "Requests refused for want of a key or of its scope: no_key, unknown_key or scope."),
    (
        "x0_key_reloads_total",
        "Times that the key file was read again: ok after a change, error when it could not be read.",
    ),
    ("x0_sse_slow_clients_closed_total", "Connections that were closed because the client did not read."),
    ("x0_sse_resumes_total", "Streams opened with Last-Event-ID: exact, or unknown to the generation."),
];

const GAUGES: &[(&str, &str)] = &[
    ("x0_build_info", "Always 1."),
    ("x0_device_info", "Always 1. What computes: cpu, or a CUDA device by its number and name."),
    ("x0_http_requests_in_flight", "Requests whose answer has not begun."),
    ("x0_connections", "Open connections: new before their first request, then open."),
    ("x0_sse_clients", "Open event streams."),
    ("x0_queue_depth", "Generations that wait."),
    ("x0_queue_oldest_age_seconds", "How long the one that has waited longest has waited."),
    ("x0_model_load_duration_seconds", "How long reading a model's weights took, the last time."),
    ("x0_worker_busy_seconds_total", "Time in which the engine's thread worked."),
    ("x0_queue_capacity", "Generations that may wait and run."),
    ("x0_jobs_running", "Generations that were begun."),
    ("x0_engine_up", "Whether the engine's thread lives."),
    ("x0_ready", "Whether the server takes work."),
    ("x0_model_loaded", "Whether a model's weights are in memory."),
    ("process_resident_memory_bytes", "Resident memory."),
    ("process_open_fds", "Open file descriptors."),
    ("process_cpu_seconds_total", "Processor time used."),
];

/// Counters of seconds. The library's counters are whole numbers, so that it has to take these for gauges; they only grow nevertheless.
const SECONDS_COUNTERS: [&str; 2] = ["x0_worker_busy_seconds_total", "process_cpu_seconds_total"];

/// Counts. Clones count into the same place.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    /// What computes.
    device: Arc<str>,
    /// Whether the engine worked when it was last looked at.
    worked: Arc<AtomicBool>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// A place of its own, not the process's: two servers in one process count apart. `device` names what computes.
    pub fn new(device: &str) -> Result<Self, BuildError> {
        let mut builder = PrometheusBuilder::new();
        for (name, _, _, buckets) in HISTOGRAMS {
            builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)?;
        }
        let recorder = builder.build_recorder();
        for (name, unit, help, _) in HISTOGRAMS {
            recorder.describe_histogram(KeyName::from_const_str(name), Some(*unit), (*help).into());
        }
        for (name, help) in COUNTERS {
            recorder.describe_counter(KeyName::from_const_str(name), None, (*help).into());
        }
        for (name, help) in GAUGES {
            recorder.describe_gauge(KeyName::from_const_str(name), None, (*help).into());
        }
        let metrics = Self {
            handle: recorder.handle(),
            recorder: Arc::new(recorder),
            device: device.into(),
            worked: Arc::new(AtomicBool::new(true)),
        };
        let labels = vec![
            Label::new("version", env!("CARGO_PKG_VERSION")),
            Label::new("commit", COMMIT),
            Label::new("features", features()),
        ];
        metrics.gauge("x0_build_info", labels).set(1.0);
        metrics.gauge("x0_device_info", vec![metrics.device_label()]).set(1.0);
        Ok(metrics)
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self) -> String {
        let of_type = |name: &str, kind: &str| format!("# TYPE {name} {kind}\n");
        SECONDS_COUNTERS.iter().fold(self.handle.render(), |text, name| {
            text.replacen(&of_type(name, "gauge"), &of_type(name, "counter"), 1)
        })
    }

    /// What computes: `cpu`, or a CUDA device by its number and name.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Folds what the histograms have collected; to be called every few seconds, so that they do not grow between two scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// `method` and `route` must come from closed sets.
    pub fn http_request(&self, method: &'static str, route: &str, status: u16, duration: Duration) {
        let labels = vec![Label::new("method", method), Label::new("route", route.to_owned())];
        self.histogram("x0_http_request_duration_seconds", labels.clone()).record(duration);
        let mut labels = labels;
        labels.push(Label::new("status", status.to_string()));
        self.counter("x0_http_requests_total", labels).increment(1);
    }

    /// Counts one more of what is there as long as the guard lives.
    pub fn hold(&self, gauge: HeldGauge) -> Held {
        let (name, state) = gauge.name();
        self.held(name, state.map(|state| Label::new("state", state)).into_iter().collect())
    }

    /// Counts one more generation that waits, as long as the guard lives.
    pub fn job_waits(&self, model: &str, priority: Priority) -> Held {
        self.held("x0_queue_depth", vec![model_label(model), Label::new("priority", priority.name())])
    }

    fn held(&self, name: &'static str, labels: Vec<Label>) -> Held {
        let gauge = self.gauge(name, labels);
        gauge.increment(1.0);
        Held(gauge)
    }

    /// `method` must come from a closed set.
    pub fn request_body(&self, method: &'static str, bytes: u64) {
        if bytes > 0 {
            self.histogram("x0_http_request_body_bytes", vec![Label::new("method", method)]).record(bytes as f64);
        }
    }

    pub fn slow_client_closed(&self) {
        self.counter("x0_sse_slow_clients_closed_total", Vec::new()).increment(1);
    }

    pub fn connection_refused(&self) {
        self.counter("x0_connections_refused_total", Vec::new()).increment(1);
    }

    pub fn auth_failed(&self, reason: AuthFailure) {
        self.counter("x0_auth_failures_total", vec![Label::new("reason", reason.name())]).increment(1);
    }

    pub fn keys_read(&self, ok: bool) {
        let result = if ok { "ok" } else { "error" };
        self.counter("x0_key_reloads_total", vec![Label::new("result", result)]).increment(1);
    }

    pub fn job_submitted(&self, model: &str, priority: Priority) {
        let labels = vec![model_label(model), Label::new("priority", priority.name())];
        self.counter("x0_jobs_submitted_total", labels).increment(1);
    }

    /// A generation that an earlier process left unfinished was taken up again.
    pub fn job_resumed(&self, model: &str) {
        self.counter("x0_jobs_resumed_total", vec![model_label(model)]).increment(1);
    }

    pub fn job_rejected(&self, reason: ErrorCode) {
        self.counter("x0_jobs_rejected_total", vec![Label::new("reason", reason.name())]).increment(1);
    }

    pub fn job_started(&self, model: &str, priority: Priority, waited: Duration) {
        let labels = vec![model_label(model), Label::new("priority", priority.name())];
        self.histogram("x0_job_queue_wait_seconds", labels).record(waited);
    }

    pub fn job_finished(&self, model: &str, outcome: Outcome, duration: Duration) {
        let labels = vec![model_label(model), Label::new("outcome", outcome.name())];
        self.counter("x0_jobs_finished_total", labels).increment(1);
        self.histogram("x0_job_duration_seconds", vec![model_label(model)]).record(duration);
    }

    /// Why a generation failed, where that is worth counting apart.
    pub fn job_failed(&self, code: FailureCode) {
        match code {
            FailureCode::NanOutput => self.counter("x0_nan_outputs_total", Vec::new()).increment(1),
            FailureCode::OutOfMemory => {
                self.counter("x0_oom_total", vec![self.device_label()]).increment(1);
            }
            FailureCode::ModelError
            | FailureCode::DeviceLost
            | FailureCode::DeadlineExceeded
            | FailureCode::ShuttingDown => {}
        }
    }

    pub fn image_finished(&self, model: &str, pixel_steps: u64, encoding: Duration) {
        self.counter("x0_images_generated_total", vec![model_label(model)]).increment(1);
        self.counter("x0_pixel_steps_total", vec![model_label(model)]).increment(pixel_steps);
        self.stage(model, "encode", encoding);
    }

    /// A stage of the engine's thread.
    pub fn engine_stage(&self, model: &str, stage: Stage, duration: Duration) {
        let name = match stage {
            Stage::Begin => "begin",
            Stage::Preview => "preview",
            Stage::Decode => "decode",
        };
        self.stage(model, name, duration);
        self.gauge("x0_worker_busy_seconds_total", Vec::new()).increment(duration.as_secs_f64());
    }

    fn stage(&self, model: &str, stage: &'static str, duration: Duration) {
        let labels = vec![model_label(model), Label::new("stage", stage)];
        self.histogram("x0_stage_duration_seconds", labels).record(duration);
    }

    pub fn engine_panicked(&self) {
        self.counter("x0_worker_panics_total", Vec::new()).increment(1);
    }

    /// Whether the engine was found to work, counting how often it was found not to any more.
    pub fn watch(&self, works: bool) {
        if self.worked.swap(works, Ordering::AcqRel) && !works {
            self.counter("x0_watchdog_trips_total", Vec::new()).increment(1);
        }
    }

    pub fn glimpse_dropped(&self) {
        self.counter("x0_previews_dropped_total", Vec::new()).increment(1);
    }

    pub fn batch(&self, model: &str, images: u32, rows: u32, duration: Duration) {
        self.histogram("x0_batch_size", vec![model_label(model)]).record(f64::from(images));
        self.histogram("x0_batch_rows", vec![model_label(model)]).record(f64::from(rows));
        self.histogram("x0_step_duration_seconds", vec![model_label(model)]).record(duration);
        self.gauge("x0_worker_busy_seconds_total", Vec::new()).increment(duration.as_secs_f64());
    }

    pub fn batch_out_of_memory(&self, model: &str, duration: Duration) {
        self.counter("x0_batches_out_of_memory_total", vec![model_label(model)]).increment(1);
        self.gauge("x0_worker_busy_seconds_total", Vec::new()).increment(duration.as_secs_f64());
    }

    pub fn event_sent(&self, name: &'static str) {
        self.counter("x0_sse_events_sent_total", vec![Label::new("type", name)]).increment(1);
    }

    pub fn stream_resumed(&self, exact: bool) {
        let result = if exact { "exact" } else { "unknown" };
        self.counter("x0_sse_resumes_total", vec![Label::new("result", result)]).increment(1);
    }

    pub fn queue(&self, oldest: Duration, running: u32, capacity: u32) {
        self.gauge("x0_queue_oldest_age_seconds", Vec::new()).set(oldest.as_secs_f64());
        self.gauge("x0_jobs_running", Vec::new()).set(f64::from(running));
        self.gauge("x0_queue_capacity", Vec::new()).set(f64::from(capacity));
    }

    pub fn health(&self, engine_up: bool, ready: bool) {
        self.gauge("x0_engine_up", Vec::new()).set(f64::from(u8::from(engine_up)));
        self.gauge("x0_ready", Vec::new()).set(f64::from(u8::from(ready)));
    }

    pub fn model_loaded(&self, model: &str, loaded: bool) {
        self.gauge("x0_model_loaded", vec![model_label(model)]).set(f64::from(u8::from(loaded)));
    }

    pub fn model_load(&self, model: &str, duration: Duration) {
        self.gauge("x0_model_load_duration_seconds", vec![model_label(model)]).set(duration.as_secs_f64());
    }

    pub fn process(&self, process: Process) {
        self.gauge("process_resident_memory_bytes", Vec::new()).set(process.resident_bytes as f64);
        self.gauge("process_open_fds", Vec::new()).set(process.open_files as f64);
        self.gauge("process_cpu_seconds_total", Vec::new()).set(process.cpu_seconds);
    }

    fn device_label(&self) -> Label {
        Label::new("device", self.device.to_string())
    }

    fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, labels: Vec<Label>) -> Histogram {
        self.recorder.register_histogram(&Key::from_parts(name, labels), &METADATA)
    }
}

/// What was chosen when the program was built.
fn features() -> String {
    let all = [("cuda", cfg!(feature = "cuda")), ("otlp", cfg!(feature = "otlp"))];
    let chosen: Vec<&str> = all.into_iter().filter_map(|(name, chosen)| chosen.then_some(name)).collect();
    chosen.join(",")
}

fn model_label(model: &str) -> Label {
    Label::new("model", model.to_owned())
}

/// How a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    Failed,
    Cancelled,
    /// Its deadline passed before it was done.
    Expired,
    /// It was not finished, and waits for the next process.
    HandedBack,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::Expired => "expired",
            Outcome::HandedBack => "handed_back",
        }
    }
}

/// Why a request was refused at the door.
#[derive(Clone, Copy, Debug)]
pub enum AuthFailure {
    NoKey,
    UnknownKey,
    Scope,
}

impl AuthFailure {
    fn name(self) -> &'static str {
        match self {
            AuthFailure::NoKey => "no_key",
            AuthFailure::UnknownKey => "unknown_key",
            AuthFailure::Scope => "scope",
        }
    }
}

/// What is counted while it is there.
#[derive(Clone, Copy, Debug)]
pub enum HeldGauge {
    /// A connection on which no request came yet.
    NewConnection,
    Connection,
    Request,
    Stream,
}

impl HeldGauge {
    /// The metric, and the state by which it is divided.
    fn name(self) -> (&'static str, Option<&'static str>) {
        match self {
            HeldGauge::NewConnection => ("x0_connections", Some("new")),
            HeldGauge::Connection => ("x0_connections", Some("open")),
            HeldGauge::Request => ("x0_http_requests_in_flight", None),
            HeldGauge::Stream => ("x0_sse_clients", None),
        }
    }
}

/// Counts one less when it is dropped.
pub struct Held(Gauge);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held(..)")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// What the process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    pub resident_bytes: u64,
    pub open_files: u64,
    pub cpu_seconds: f64,
}

impl Process {
    /// Reads it from `/proc`; `None` where there is none.
    pub fn read() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
        let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        // After the process's name in parentheses, fields 14 and 15 of stat are the time in user and in system mode, in
        // hundredths of a second: the kernel's USER_HZ, which is the same on every architecture that we build for.
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Self { resident_bytes: kilobytes * 1024, open_files, cpu_seconds: ticks as f64 / 100.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::new("cuda:0 NVIDIA H100").unwrap();
        metrics.http_request("GET", "/livez", 200, Duration::from_millis(7));
        metrics.batch("toy", 5, 10, Duration::from_millis(30));
        let held = metrics.hold(HeldGauge::Stream);
        let text = metrics.render();
        for line in [
            r#"x0_http_requests_total{method="GET",route="/livez",status="200"} 1"#,
            r#"x0_http_request_duration_seconds_bucket{method="GET",route="/livez",le="0.005"} 0"#,
            r#"x0_http_request_duration_seconds_bucket{method="GET",route="/livez",le="0.01"} 1"#,
            r#"x0_batch_size_bucket{model="toy",le="4"} 0"#,
            r#"x0_batch_size_bucket{model="toy",le="8"} 1"#,
            "x0_sse_clients 1",
            r#"x0_device_info{device="cuda:0 NVIDIA H100"} 1"#,
            &format!(
                r#"x0_build_info{{version="{}",commit="{COMMIT}",features="{}"}} 1"#,
                env!("CARGO_PKG_VERSION"),
                features()
            ),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        drop(held);
        assert!(metrics.render().contains("x0_sse_clients 0\n"));
    }

    #[test]
    fn seconds_are_counted_with_their_fractions() {
        let metrics = Metrics::new(crate::device::CPU).unwrap();
        metrics.process(Process { cpu_seconds: 0.25, ..Process::default() });
        metrics.engine_stage("toy", Stage::Begin, Duration::from_millis(500));
        let text = metrics.render();
        for line in [
            "# TYPE process_cpu_seconds_total counter",
            "process_cpu_seconds_total 0.25",
            "# TYPE x0_worker_busy_seconds_total counter",
            "x0_worker_busy_seconds_total 0.5",
            "# TYPE process_open_fds gauge",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        // What is called a total is a counter, everywhere.
        let wrong = |line: &&str| line.starts_with("# TYPE ") && line.ends_with("_total gauge");
        assert_eq!(text.lines().find(wrong), None);
    }

    #[test]
    fn the_process_has_memory_and_files() {
        let process = Process::read().unwrap();
        assert!(process.resident_bytes > 1 << 20 && process.open_files >= 3);
    }
}
