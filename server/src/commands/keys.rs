//! `x0 keys`: makes, lists and revokes the keys that requests come with.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use x0_openapi::{KeyLimits, Named as _, Scope};

use super::{CommandError, print, remark};
use crate::auth::{Key, KeyFile, KeyFileError, KeyId};

/// What a key does not say is the server's to say, and only there 0 is no limit.
const LIMITS: &str = "Limits of the key, at least 1; for none leave it out and start the server with 0 for it";
/// Characters of a key's name.
const LONGEST_NAME: usize = 100;

/// Makes, lists and revokes keys
///
/// A server that was started with the same file follows its changes.
#[derive(Clone, Debug, clap::Args)]
pub struct Keys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    New(New),
    List(List),
    Revoke(Revoke),
}

/// Makes a key and prints it
///
/// The file remembers only a digest of it: it is shown this once.
#[derive(Clone, Debug, clap::Args)]
struct New {
    #[command(flatten)]
    file: FileArgs,
    /// Whose it is; for lists
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it allows
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', default_value = "generate,read", value_parser = scope())]
    scopes: Vec<Scope>,
    /// Requests a minute [default: the server's]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..), help_heading = LIMITS)]
    requests_per_minute: Option<u32>,
    /// Pixels times steps a minute [default: the server's]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..), help_heading = LIMITS)]
    pixel_steps_per_minute: Option<u64>,
    /// Generations that may wait and run at once [default: the server's]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..), help_heading = LIMITS)]
    queue_size: Option<u32>,
    /// Open event streams [default: the server's]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..), help_heading = LIMITS)]
    streams: Option<u32>,
}

/// Lists all keys
#[derive(Clone, Debug, clap::Args)]
struct List {
    #[command(flatten)]
    file: FileArgs,
}

/// Takes a key back
#[derive(Clone, Debug, clap::Args)]
struct Revoke {
    #[command(flatten)]
    file: FileArgs,
    /// The key's id, as the list shows it
    #[arg(value_name = "ID")]
    id: KeyId,
}

#[derive(Clone, Debug, clap::Args)]
struct FileArgs {
    /// The file of keys; it is made with the first key
    #[arg(long, value_name = "FILE", env = "X0_KEYS")]
    keys: PathBuf,
}

fn scope() -> impl clap::builder::TypedValueParser<Value = Scope> {
    let names = Scope::ALL.iter().map(|scope| scope.name());
    // The parser before lets no other word through.
    PossibleValuesParser::new(names).map(|name| Scope::from_name(&name).unwrap_or(Scope::Read))
}

impl Keys {
    /// Does what was asked for.
    ///
    /// # Errors
    /// If the file cannot be read or written, or has no such key.
    pub fn run(self) -> Result<(), CommandError> {
        match self.action {
            Action::New(new) => new.run(),
            Action::List(list) => list.run(),
            Action::Revoke(revoke) => revoke.run(),
        }
    }
}

impl New {
    fn run(self) -> Result<(), CommandError> {
        let length = self.name.chars().count();
        if !(1..=LONGEST_NAME).contains(&length) || self.name.chars().any(char::is_control) {
            let message = format!("--name: must be 1 to {LONGEST_NAME} characters, none of them a control character");
            return Err(CommandError::Usage(message));
        }
        let limits = KeyLimits {
            requests_per_minute: self.requests_per_minute,
            pixel_steps_per_minute: self.pixel_steps_per_minute,
            queue_size: self.queue_size,
            streams: self.streams,
        };
        let (key, token) = Key::random(&self.name, &self.scopes, limits).map_err(CommandError::failed)?;
        let id = key.id;
        KeyFile::change(&self.file.keys, |file| file.keys.push(key)).map_err(failed)?;
        remark(format_args!("made the key {id} for {}; it is shown this once:", self.name));
        print(token.reveal())
    }
}

impl List {
    fn run(self) -> Result<(), CommandError> {
        let file = KeyFile::read(&self.file.keys).map_err(failed)?;
        for Key { id, name, scopes, created_at, .. } in file.keys {
            let scopes: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
            print(format_args!("{id}  {created_at:.0}  {:<20}  {name}", scopes.join(",")))?;
        }
        Ok(())
    }
}

impl Revoke {
    fn run(self) -> Result<(), CommandError> {
        // A file that does not exist is not made for this.
        KeyFile::read(&self.file.keys).map_err(failed)?;
        match KeyFile::revoke(&self.file.keys, self.id).map_err(failed)? {
            true => Ok(()),
            false => Err(CommandError::Failed(format!("there is no key {}", self.id))),
        }
    }
}

fn failed(error: KeyFileError) -> CommandError {
    CommandError::failed(error)
}
