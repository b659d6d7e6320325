//! Where log lines go, and in which form.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::util::TryInitError;

use crate::config::{LogArgs, LogFormat};

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("--log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error(transparent)]
    Init(#[from] TryInitError),
}

/// Logs to standard error from now on.
///
/// # Errors
/// If the filter is malformed, or if the process logs already.
pub fn init(args: &LogArgs) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&args.log)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).finish().try_init()?,
        LogFormat::Json => subscriber.json().flatten_event(true).with_current_span(false).finish().try_init()?,
    }
    Ok(())
}
