//! What the program does besides serving: one file for each command.

use std::io::Write as _;
use std::process::ExitCode;

mod bench;
mod generate;
mod healthcheck;
mod keys;
mod models;
mod serve;

pub use bench::Bench;
pub use generate::Generate;
pub use healthcheck::Healthcheck;
pub use keys::Keys;
pub use models::Models;
pub use serve::serve;

/// Why a command ended without having done what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It cannot be done as it was asked for. Exit code 2, as for arguments that are not understood at all.
    #[error("{0}")]
    Usage(String),
    /// It was asked for rightly, and failed. Exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl CommandError {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Ends a command: says in one line what went wrong, and gives the exit code.
pub fn conclude(result: Result<(), CommandError>) -> ExitCode {
    let (code, error) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(CommandError::Usage(error)) => (2, error),
        Err(CommandError::Failed(error)) => (1, error),
    };
    // Nothing is left to be done about a closed standard error.
    let _ = writeln!(std::io::stderr().lock(), "x0: {}", error.replace('\n', " "));
    ExitCode::from(code)
}

/// Writes a line to standard output. That nobody reads it any more is no error.
fn print(line: impl std::fmt::Display) -> Result<(), CommandError> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CommandError::failed(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes rows of a table, the first of which is its head, with columns as wide as their widest cell.
fn table<const N: usize>(rows: &[[String; N]]) -> Result<(), CommandError> {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        print(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Writes a remark to standard error.
fn remark(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "x0: {line}");
}
