//! `x0 bench`: how fast models run on this machine, and how well requests are served.

mod machine;
mod serve;
mod stages;
mod statistics;

use clap::Subcommand;

use super::CommandError;

/// Measures how fast a model's networks run on this machine, against what the machine can do at best.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bench {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    #[command(flatten)]
    stages: stages::Stages,
}

#[derive(Clone, Debug, Subcommand)]
enum BenchCommand {
    Serve(serve::BenchServe),
}

impl Bench {
    /// Measures, and writes what came of it to standard output.
    ///
    /// # Errors
    /// [`CommandError::Usage`] for what cannot be measured, [`CommandError::Failed`] if it cannot be carried out.
    pub fn run(&self) -> Result<(), CommandError> {
        match &self.command {
            None => self.stages.run(),
            Some(BenchCommand::Serve(serve)) => serve.run(),
        }
    }
}
