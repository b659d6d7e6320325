//! Where log lines and spans go, and in which form.

mod json;
mod otlp;
mod trace;

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

pub use otlp::{Exporter, adopt};
pub use trace::{TraceParent, Trail};

use crate::config::{LogArgs, LogFormat};

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("--log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("--otlp-endpoint: {0}")]
    Export(String),
    #[error(transparent)]
    Init(#[from] TryInitError),
}

/// Logs to standard error from now on, and sends spans as long as the exporter lives.
///
/// # Errors
/// If the filter is malformed, spans cannot be exported, or the process logs already.
pub fn init(args: &LogArgs) -> Result<Exporter, TelemetryError> {
    let (subscriber, exporter) = subscriber(args, std::io::stderr, std::io::stderr().is_terminal())?;
    subscriber.try_init()?;
    Ok(exporter)
}

/// What takes log lines and spans; the lines go to `writer`, in colours if `ansi`.
///
/// # Errors
/// If the filter is malformed, or spans cannot be exported.
pub fn subscriber<W>(
    args: &LogArgs,
    writer: W,
    ansi: bool,
) -> Result<(impl Subscriber + Send + Sync + use<W> + 'static, Exporter), TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&args.log)?;
    // They are of different types, and either is there.
    let (text, json) = match args.log_format {
        LogFormat::Text => (Some(fmt::layer().with_writer(writer).with_ansi(ansi)), None),
        LogFormat::Json => {
            let lines = fmt::layer().with_writer(writer).fmt_fields(JsonFields::new());
            (None, Some(lines.event_format(json::JsonLines)))
        }
    };
    let exporter = Exporter::new(args).map_err(TelemetryError::Export)?;
    let registry = tracing_subscriber::registry().with(exporter.layer());
    Ok((registry.with(text).with(json).with(filter), exporter))
}
