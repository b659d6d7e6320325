//! Settings: as typed ([`ServeArgs`]), then checked and grouped ([`Config`]). No other file reads the environment.

mod auth;
mod device;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderValue;
use jiff::SignedDuration;
use x0_engine::Policy;
use x0_model::Shape;

pub use auth::{AuthArgs, AuthConfig, KeyLimitArgs};
pub use device::{DeviceArgs, DeviceChoice, UnknownDevice};

use crate::fetch::{FetchLimits, Fetcher, Hosts};
use crate::http::accept::ConnectionLimits;
use crate::http::body::BodyLimits;
use crate::store::MemoryStoreOptions;
use crate::validate::Limits;

/// Serves pictures over HTTP.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Where to listen; port 0 takes any that is free
    #[arg(long, value_name = "ADDR:PORT", env = "X0_LISTEN", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// A folder of models, besides those that are part of the program: each folder in it with a model_index.json, and each .safetensors file
    #[arg(long, value_name = "DIR", env = "X0_MODELS")]
    pub models: Option<PathBuf>,
    /// Instead of all of them a published model's configuration with random weights, to try what a machine can serve: sd15 or sdxl
    #[arg(long, value_name = "NAME", env = "X0_SHAPE", value_parser = shape, conflicts_with = "models")]
    pub shape: Option<Shape>,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// A folder for generations, so that what was accepted is finished by the next process when this one crashes or stops, and what is
    /// finished can still be fetched. It is made if it does not exist, and belongs to one process at a time [default: in memory alone]
    #[arg(long, value_name = "DIR", env = "X0_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// A model for requests that name none; may be given once for each kind of model [default: the embedded ones]
    #[arg(long = "default-model", value_name = "NAME", env = "X0_DEFAULT_MODEL", value_delimiter = ',')]
    pub default_models: Vec<String>,
    /// Hosts from which pictures are fetched that a request names by address, over HTTPS [default: none, such requests are refused]
    #[arg(long, value_name = "HOST", env = "X0_IMAGE_URL_HOSTS", value_delimiter = ',')]
    pub image_url_hosts: Vec<String>,
    #[command(flatten)]
    pub auth: AuthArgs,
    #[command(flatten)]
    pub queue: QueueArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub http: HttpArgs,
    #[command(flatten)]
    pub shutdown: ShutdownArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// What waits, and what is kept.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Queue and memory")]
pub struct QueueArgs {
    /// Generations that may wait and run at once; more are refused with 503
    #[arg(long, value_name = "COUNT", env = "X0_QUEUE_SIZE", default_value_t = 256)]
    pub queue_size: usize,
    /// Which images are stepped next: best-value, or the baselines that it is measured against, first-come and fixed-batch:N
    #[arg(long, value_name = "POLICY", env = "X0_POLICY", default_value_t)]
    pub policy: Policy,
    /// Finished generations that are remembered
    #[arg(long, value_name = "COUNT", env = "X0_KEEP_GENERATIONS", default_value_t = 1000)]
    pub keep_generations: usize,
    /// Megabytes of pictures that are remembered
    #[arg(long, value_name = "MEGABYTES", env = "X0_KEEP_MEGABYTES", default_value_t = 256)]
    pub keep_megabytes: u64,
    /// How long finished generations are remembered
    #[arg(long, value_name = "TIME", env = "X0_KEEP_TIME", default_value = "24h", value_parser = duration)]
    pub keep_time: Duration,
    /// A model call that takes longer hangs; the server is given up when it takes three times as long
    #[arg(long, value_name = "TIME", env = "X0_STEP_TIMEOUT", default_value = "5m", value_parser = duration)]
    pub step_timeout: Duration,
}

/// What a request may ask for.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits of a request")]
pub struct LimitArgs {
    /// Images
    #[arg(long, value_name = "COUNT", env = "X0_MAX_IMAGES", default_value_t = 8)]
    pub max_images: u32,
    /// Steps
    #[arg(long, value_name = "COUNT", env = "X0_MAX_STEPS", default_value_t = 1000)]
    pub max_steps: u32,
    /// Pixels of a side
    #[arg(long, value_name = "PIXELS", env = "X0_MAX_SIDE", default_value_t = 2048)]
    pub max_side: u32,
    /// Pixels of an image
    #[arg(long, value_name = "PIXELS", env = "X0_MAX_PIXELS", default_value_t = 2048 * 2048)]
    pub max_pixels: u64,
    /// Images times pixels times steps
    #[arg(long, value_name = "COUNT", env = "X0_MAX_PIXEL_STEPS", default_value_t = 2_000_000_000)]
    pub max_pixel_steps: u64,
    /// guidance_scale
    #[arg(long, value_name = "SCALE", env = "X0_MAX_GUIDANCE_SCALE", default_value_t = 30.0)]
    pub max_guidance_scale: f64,
    /// Characters of a prompt
    #[arg(long, value_name = "COUNT", env = "X0_MAX_PROMPT_CHARS", default_value_t = 8192)]
    pub max_prompt_chars: usize,
    /// deadline_seconds
    #[arg(long, value_name = "TIME", env = "X0_MAX_DEADLINE", default_value = "1h", value_parser = duration)]
    pub max_deadline: Duration,
}

/// What connections may take.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// Open connections; more are refused
    #[arg(long, value_name = "COUNT", env = "X0_MAX_CONNECTIONS", default_value_t = 4096)]
    pub max_connections: usize,
    /// Open connections from one address; more are refused. To be raised behind a proxy, which is one address
    #[arg(long, value_name = "COUNT", env = "X0_MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 1024)]
    pub max_connections_per_address: usize,
    /// Open event streams; more are refused with 429
    #[arg(long, value_name = "COUNT", env = "X0_MAX_STREAMS", default_value_t = 1024)]
    pub max_streams: usize,
    /// Bytes of a request's body
    #[arg(long, value_name = "BYTES", env = "X0_MAX_BODY_BYTES", default_value_t = 20 << 20)]
    pub max_body_bytes: usize,
    /// For a request's body to arrive
    #[arg(long, value_name = "TIME", env = "X0_BODY_TIMEOUT", default_value = "2m", value_parser = duration)]
    pub body_timeout: Duration,
    /// Bytes per second at which a body must arrive, after some seconds; 0 for any rate
    #[arg(long, value_name = "BYTES", env = "X0_MIN_BODY_RATE", default_value_t = 1024)]
    pub min_body_rate: u64,
    /// For a request's head to arrive, and for an idle connection
    #[arg(long, value_name = "TIME", env = "X0_HEADER_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub header_timeout: Duration,
    /// For a client to read what it is sent
    #[arg(long, value_name = "TIME", env = "X0_WRITE_TIMEOUT", default_value = "20s", value_parser = duration)]
    pub write_timeout: Duration,
    /// How long an answer may wait for its picture
    #[arg(long, value_name = "TIME", env = "X0_MAX_WAIT", default_value = "5m", value_parser = duration)]
    pub max_wait: Duration,
}

/// How the server stops.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Shutdown")]
pub struct ShutdownArgs {
    /// How long work is still taken after SIGTERM, while /readyz says no; for load balancers
    #[arg(long, value_name = "TIME", env = "X0_SHUTDOWN_DELAY", default_value = "0s", value_parser = duration)]
    pub shutdown_delay: Duration,
    /// How long what was accepted may take to finish after that; what has not by then is left to the next process, or without
    /// --data-dir fails
    #[arg(long, value_name = "TIME", env = "X0_DRAIN_TIMEOUT", default_value = "25s", value_parser = duration)]
    pub drain_timeout: Duration,
}

/// What is logged, on standard error.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// The form of a line
    #[arg(long, value_name = "FORM", env = "X0_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What to log: error, warn, info, debug or trace, also by part, as in info,x0::access=warn
    #[arg(long, value_name = "FILTER", env = "X0_LOG", default_value = "info")]
    pub log: String,
    /// Where an OpenTelemetry collector takes spans over HTTP, such as http://localhost:4318
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Settings that can be served with.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub models: Option<PathBuf>,
    pub shape: Option<Shape>,
    pub device: DeviceChoice,
    pub data_dir: Option<PathBuf>,
    pub default_models: Vec<String>,
    /// Of pictures by their address; `None` where they are not fetched.
    pub fetcher: Option<Fetcher>,
    pub auth: AuthConfig,
    pub public_metrics: bool,
    /// In lower case.
    pub cors_origins: Vec<HeaderValue>,
    pub queue_size: usize,
    pub policy: Policy,
    pub step_timeout: Duration,
    pub store: MemoryStoreOptions,
    pub limits: Limits,
    pub connections: ConnectionLimits,
    pub body: BodyLimits,
    pub max_streams: usize,
    pub max_wait: Duration,
    pub shutdown: ShutdownConfig,
}

/// How the server stops.
#[derive(Clone, Copy, Debug)]
pub struct ShutdownConfig {
    pub delay: Duration,
    pub drain: Duration,
    /// How long each of the steps after that may take.
    pub grace: Duration,
}

/// A setting that cannot be served with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: {message}")]
pub struct ConfigError {
    pub flag: &'static str,
    pub message: String,
}

impl ServeArgs {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first that cannot be served with.
    pub fn config(self) -> Result<Config, ConfigError> {
        let QueueArgs { queue_size, policy, keep_generations, keep_megabytes, keep_time, step_timeout } = self.queue;
        let http = self.http;
        for (flag, zero) in [
            ("--queue-size", queue_size == 0),
            ("--step-timeout", step_timeout.is_zero()),
            ("--max-connections", http.max_connections == 0),
            ("--max-connections-per-address", http.max_connections_per_address == 0),
            ("--max-streams", http.max_streams == 0),
            ("--max-body-bytes", http.max_body_bytes == 0),
            ("--body-timeout", http.body_timeout.is_zero()),
            ("--header-timeout", http.header_timeout.is_zero()),
            ("--write-timeout", http.write_timeout.is_zero()),
            ("--max-wait", http.max_wait.is_zero()),
        ] {
            if zero {
                return Err(ConfigError { flag, message: "must not be 0".to_owned() });
            }
        }
        let bytes = keep_megabytes
            .checked_mul(1 << 20)
            .ok_or_else(|| ConfigError { flag: "--keep-megabytes", message: "is too much".to_owned() })?;
        let auth = self.auth.auth(self.listen)?;
        let fetcher = fetcher(&self.image_url_hosts, http.max_body_bytes)?;
        Ok(Config {
            auth,
            public_metrics: self.auth.public_metrics,
            cors_origins: self.auth.cors_origins,
            listen: self.listen,
            models: self.models,
            shape: self.shape,
            device: self.device.device,
            data_dir: self.data_dir,
            default_models: self.default_models,
            fetcher,
            queue_size,
            policy,
            step_timeout,
            store: MemoryStoreOptions { generations: keep_generations, bytes, age: keep_time },
            limits: self.limits.limits()?,
            connections: ConnectionLimits {
                count: http.max_connections,
                per_address: http.max_connections_per_address,
                header_timeout: http.header_timeout,
                write_timeout: http.write_timeout,
            },
            body: BodyLimits {
                bytes: http.max_body_bytes,
                total_bytes: TOTAL_BODY_BYTES,
                time: http.body_timeout,
                rate: http.min_body_rate,
            },
            max_streams: http.max_streams,
            max_wait: http.max_wait,
            shutdown: ShutdownConfig {
                delay: self.shutdown.shutdown_delay,
                drain: self.shutdown.drain_timeout,
                grace: SHUTDOWN_GRACE,
            },
        })
    }
}

/// A fetcher of pictures from these hosts, if there are any. A picture may have as many bytes as a body that it could be in.
fn fetcher(hosts: &[String], max_bytes: usize) -> Result<Option<Fetcher>, ConfigError> {
    let wrong = |message: String| ConfigError { flag: "--image-url-hosts", message };
    // `--image-url-hosts ""` is one empty name.
    let names = hosts.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
    let hosts = Hosts::new(names).map_err(|error| wrong(error.to_string()))?;
    if hosts.is_empty() {
        return Ok(None);
    }
    let fetcher = Fetcher::of_this_machine(hosts, FetchLimits::of_files(max_bytes));
    fetcher.map(Some).map_err(|error| wrong(error.to_string()))
}

impl LimitArgs {
    fn limits(self) -> Result<Limits, ConfigError> {
        for (flag, zero) in [
            ("--max-images", self.max_images == 0),
            ("--max-steps", self.max_steps == 0),
            ("--max-side", self.max_side == 0),
            ("--max-pixels", self.max_pixels == 0),
            ("--max-pixel-steps", self.max_pixel_steps == 0),
            ("--max-prompt-chars", self.max_prompt_chars == 0),
            ("--max-deadline", self.max_deadline.as_secs() == 0),
        ] {
            if zero {
                return Err(ConfigError { flag, message: "must not be 0".to_owned() });
            }
        }
        if !(self.max_guidance_scale.is_finite() && self.max_guidance_scale >= 1.0) {
            return Err(ConfigError { flag: "--max-guidance-scale", message: "must be at least 1".to_owned() });
        }
        Ok(Limits {
            images: self.max_images,
            side: self.max_side,
            pixels: self.max_pixels,
            steps: self.max_steps,
            pixel_steps: self.max_pixel_steps,
            guidance_scale: self.max_guidance_scale,
            prompt_chars: self.max_prompt_chars,
            deadline_seconds: self.max_deadline.as_secs_f64(),
            ..Limits::default()
        })
    }
}

/// The same command line, for which variables of the environment that are set to nothing are not set: so compose files write them.
pub(crate) fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(None::<&'static str>) } else { arg })
        .mut_subcommands(without_empty_variables)
}

/// Reads the name of a published model's configuration.
pub(crate) fn shape(name: &str) -> Result<Shape, String> {
    let names = || Shape::ALL.map(Shape::name).join(", ");
    Shape::ALL.into_iter().find(|shape| shape.name() == name).ok_or_else(|| format!("must be one of {}", names()))
}

/// Reads a time such as `10s`, `2m 30s`, `1h`, or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0);
    let read = match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => text.parse::<SignedDuration>().ok().and_then(|duration| duration.try_into().ok()),
    };
    read.filter(|duration| *duration <= LONGEST).ok_or_else(|| "must be a time such as 10s, 2m or 1h".to_owned())
}

/// How long a model call may go on after the drain, connections may take to close, and the engine's thread to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// Of all large bodies that are being read at once.
const TOTAL_BODY_BYTES: usize = 256 << 20;

/// Ten years: more is a slip, and could not be added to the clock.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn config(line: &str) -> Result<Config, String> {
        let line = Line::try_parse_from(["x0"].into_iter().chain(line.split_whitespace()));
        line.map_err(|error| error.to_string())?.serve.config().map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_parts() {
        let config = config("").unwrap();
        assert_eq!(format!("{:?}", config.limits), format!("{:?}", Limits::default()));
        assert_eq!(format!("{:?}", config.connections), format!("{:?}", ConnectionLimits::default()));
        assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
        assert!(config.fetcher.is_none());
        assert_eq!((config.device, config.shape), (DeviceChoice::Auto, None));
    }

    #[test]
    fn settings_that_cannot_be_served_with_are_refused() {
        for (line, message) in [
            ("--queue-size 0", "--queue-size: must not be 0"),
            ("--header-timeout 0", "--header-timeout: must not be 0"),
            ("--max-guidance-scale NaN", "--max-guidance-scale: must be at least 1"),
            ("--keep-megabytes 18446744073709551615", "--keep-megabytes: is too much"),
            (
                "--image-url-hosts example.com,*.example.com",
                "--image-url-hosts: \"*.example.com\" is not the name of a host, such as images.example.com",
            ),
        ] {
            assert_eq!(config(line).unwrap_err(), message);
        }
        let open = config("--listen 0.0.0.0:80").unwrap_err();
        assert!(open.starts_with("--listen: others can reach 0.0.0.0:80, and there are no keys."), "{open}");
        for line in [
            "--listen nowhere",
            "--max-images -1",
            "--drain-timeout soon",
            "--log-format xml",
            "--device gpu",
            "--shape sd3",
            "--shape sd15 --models folder",
        ] {
            assert!(config(line).is_err(), "{line}");
        }
    }

    #[test]
    fn who_may_use_the_server() {
        let auth = |line| config(line).map(|config| config.auth);
        assert_eq!(auth(""), Ok(AuthConfig::Open { admin: true }));
        assert_eq!(auth("--listen [::]:80 --insecure-no-auth"), Ok(AuthConfig::Open { admin: false }));
        let keys = auth("--listen 0.0.0.0:80 --keys k --key-requests-per-minute 0 --key-pixel-steps-per-minute 7");
        let Ok(AuthConfig::Keys { file, limits }) = keys else { panic!("{keys:?}") };
        assert_eq!((file.to_str(), limits.requests_per_minute), (Some("k"), None));
        assert_eq!((limits.pixel_steps_per_minute, limits.queue_size, limits.streams), (Some(7), Some(64), Some(32)));
        assert!(auth("--keys k --insecure-no-auth").is_err());
    }

    #[test]
    fn times_are_written_as_people_write_them() {
        for (text, millis) in
            [("10s", 10_000), ("2m 30s", 150_000), ("1h", 3_600_000), ("0", 0), ("0.5", 500), ("250ms", 250)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "-1s", "-1", "NaN", "inf", "1e300", "soon", "99999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
