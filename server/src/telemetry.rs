//! Where log lines and spans go, and in which form.

mod json;
mod otlp;
mod trace;

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
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
    #[error("--log: {0} is neither a level (error, warn, info, debug, trace, off) nor PART=LEVEL")]
    Word(String),
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
    let filter = filter(&args.log)?;
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

/// What is logged. A word alone that is no level names a part of which everything is logged, and nothing of the others: a slip would
/// turn the log off, so it has to be a part of this program.
fn filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    let is_word = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "_-:.".contains(c));
    let is_ours = |word: &str| word == "x0" || word.starts_with("x0_") || word.starts_with("x0::");
    let mut words = text.split(',').map(str::trim).filter(is_word);
    match words.find(|word| word.parse::<LevelFilter>().is_err() && !is_ours(word)) {
        Some(word) => Err(TelemetryError::Word(word.to_owned())),
        None => Ok(EnvFilter::try_new(text)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_does_not_turn_the_log_off() {
        for good in
            ["info", "OFF", "3", "info,x0::access=warn", "warn,x0_server", "x0", "hyper=debug,info", "x0[job]=trace"]
        {
            assert!(filter(good).is_ok(), "{good}");
        }
        for wrong in ["inof", "info,hyper", "x0=inof", "x0ish", "6"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
        let told = filter("inof").unwrap_err().to_string();
        assert_eq!(told, "--log: inof is neither a level (error, warn, info, debug, trace, off) nor PART=LEVEL");
    }
}
