//! A server of our own.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use x0_engine::Policy;
use x0_model::Shape;

use crate::commands::CommandError;
use crate::config::DeviceChoice;

/// What of the environment a server of ours shall see.
const KEPT: [&str; 2] = ["X0_ISA", "X0_THREADS"];
/// More than any trial has requests waiting.
const QUEUE: &str = "65536";

/// This program, serving on a port of its own choice until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub(super) fn start(
        policy: Policy,
        models: Option<&Path>,
        shape: Option<Shape>,
        device: DeviceChoice,
    ) -> Result<Self, CommandError> {
        let mut command = Command::new(env::current_exe().map_err(CommandError::failed)?);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("X0_") && !KEPT.contains(&&*text) {
                command.env_remove(&name);
            }
        }
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--queue-size", QUEUE, "--policy"]);
        command.arg(policy.to_string()).arg("--device").arg(device.to_string());
        if let Some(models) = models {
            command.arg("--models").arg(models);
        }
        if let Some(shape) = shape {
            command.args(["--shape", shape.name()]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(CommandError::failed)?;
        let mut server = Self { child, url: String::new() };
        let output = server.child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines());
        let listening =
            output.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
        server.url = listening.ok_or_else(|| CommandError::Failed("a server could not be started".to_owned()))?;
        Ok(server)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody waits for its pictures any more. It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
