//! What the program does besides serving: one file for each command.

use std::io::Write as _;
use std::process::ExitCode;

use x0_model::{LoadError, StepError};

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

use crate::config::DeviceArgs;
use crate::device::Device;

/// Why a command ended without having done what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It cannot be done as it was asked for. Exit code 2, as for arguments that are not understood at all.
    #[error("{0}")]
    Usage(String),
    /// It was asked for rightly, and failed. Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// The device that computes broke down while it was used. Exit code 75, sysexits.h's EX_TEMPFAIL: the same command can succeed when
    /// it is started again, which a supervisor does.
    #[error("{0}")]
    DeviceLost(String),
}

impl CommandError {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// A model that could not compute.
    fn of_step(error: StepError) -> Self {
        match error {
            StepError::DeviceLost(_) => Self::DeviceLost(error.to_string()),
            StepError::NotFinite { .. }
            | StepError::Unfinished { .. }
            | StepError::OutOfMemory
            | StepError::Sampler(_)
            | StepError::Request(_)
            | StepError::Backend(_) => Self::failed(error),
        }
    }

    /// A model that could not be loaded.
    fn of_load(error: LoadError) -> Self {
        error.device_fault().map_or_else(|| Self::failed(error), Self::of_step)
    }

    /// What the process ends with.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::DeviceLost(_) => 75,
        }
    }
}

/// Ends a command: says in one line what went wrong, and gives the exit code.
pub fn conclude(result: Result<(), CommandError>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    // Nothing is left to be done about a closed standard error.
    let _ = writeln!(std::io::stderr().lock(), "x0: {}", error.to_string().replace('\n', " "));
    ExitCode::from(error.exit_code())
}

/// Opens the device that was asked for.
fn open_device(args: DeviceArgs) -> Result<Device, CommandError> {
    Device::open(args.device).map_err(|error| CommandError::Usage(format!("--device: {error}")))
}

/// Opens it, and remarks why it is the CPU where another one was looked for.
fn open_device_and_remark(args: DeviceArgs) -> Result<Device, CommandError> {
    let device = open_device(args)?;
    if let Some(reason) = device.reason() {
        remark(format_args!("computing on the CPU: {reason}"));
    }
    Ok(device)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_command_ended_is_told_by_its_exit_code() {
        let told = "why".to_owned();
        for (error, code) in [
            (CommandError::Failed(told.clone()), 1),
            (CommandError::Usage(told.clone()), 2),
            (CommandError::DeviceLost(told.clone()), 75),
            (CommandError::of_step(StepError::DeviceLost(told.clone())), 75),
            (CommandError::of_step(StepError::OutOfMemory), 1),
        ] {
            assert_eq!(error.exit_code(), code, "{error:?}");
        }
        assert_eq!(CommandError::of_step(StepError::DeviceLost(told)).to_string(), "the device is lost: why");
    }
}
