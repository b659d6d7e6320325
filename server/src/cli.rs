//! The command line.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::{Bench, Generate, Healthcheck, Keys, Models, conclude, serve};
use crate::config::{ServeArgs, without_empty_variables};

/// An inference server for Stable Diffusion
///
/// Without a command, x0 serves.
#[derive(Debug, Parser)]
#[command(name = "x0", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves pictures over HTTP; the default
    Serve(Box<ServeArgs>),
    Generate(Box<Generate>),
    Models(Models),
    Keys(Keys),
    Healthcheck(Healthcheck),
    Bench(Box<Bench>),
}

impl Cli {
    /// Reads the command line and the environment. Ends the process where they ask for help, or are not understood.
    pub fn read() -> Self {
        let matches = without_empty_variables(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Carries out the command.
    pub fn run(self) -> ExitCode {
        conclude(match self.command {
            None => serve(self.serve),
            Some(Command::Serve(args)) => serve(*args),
            Some(Command::Generate(generate)) => generate.run(),
            Some(Command::Models(models)) => models.run(),
            Some(Command::Keys(keys)) => keys.run(),
            Some(Command::Healthcheck(healthcheck)) => healthcheck.run(),
            Some(Command::Bench(bench)) => bench.run(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_needs_no_command() {
        for line in ["x0 --listen 127.0.0.1:0", "x0 serve --listen 127.0.0.1:0"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let args = match cli.command {
                None => cli.serve,
                Some(Command::Serve(args)) => *args,
                Some(
                    Command::Generate(_)
                    | Command::Models(_)
                    | Command::Keys(_)
                    | Command::Healthcheck(_)
                    | Command::Bench(_),
                ) => {
                    panic!("{line}")
                }
            };
            assert_eq!(args.listen.port(), 0);
        }
    }
}
