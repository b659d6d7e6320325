//! The program under test.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The program `x0`: the one that `X0_TEST_PROGRAM` names, otherwise compiled from the present sources in the profile of the
/// tests.
///
/// # Panics
/// When it cannot be compiled.
pub fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| env::var_os("X0_TEST_PROGRAM").map_or_else(compiled, PathBuf::from))
}

fn compiled() -> PathBuf {
    // The test itself lies in `target/<profile>/deps`.
    let test = env::current_exe().expect("a running test has a path");
    let folder = test.ancestors().nth(2).expect("cargo puts tests into deps").to_owned();
    let target = folder.parent().expect("a profile's folder lies in the target folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "x0-server", "--bin", "x0", "--target-dir"]).arg(target);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo can be started");
    assert!(status.success(), "x0 cannot be compiled");
    folder.join("x0")
}

/// Runs `x0` with `arguments` to its end. The environment holds nothing that it would read.
pub fn run(arguments: &[&str]) -> Output {
    command().args(arguments).output().expect("x0 can be started")
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(program());
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("X0_")) {
        command.env_remove(name);
    }
    command
}
