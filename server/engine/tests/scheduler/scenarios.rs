//! Scenarios as text: `tests/scenarios/*.txt`.
//!
//! A file is a list of blocks. A block is comments (`#`), commands, a line `----`, and what came of them, up to an
//! empty line. With `X0_BLESS=1` in the environment what came is written into the files, to be read and committed.
//!
//! ```text
//! options [policy=best-value|first-come|fixed-batch:N] [max-rows=N] [max-slots=N] [cost=OVERHEAD+ROW]
//!         [decode=SECONDS] [memory=ROWS] [known=none|ROWS,...]
//!             a new scheduler and device; seconds of a call = OVERHEAD + ROW * rows; the calls that were measured before
//! submit NAME [steps=N] [rows=N] [images=N] [tenant=N] [priority=low|normal|high] [deadline=SECONDS] [preview=N]
//!         [model=NAME] [size=N] [then=STEPS] [then-size=N]
//! cancel NAME
//! fail NAME/IMAGE at=admit|decode|STEP
//! memory ROWS
//!             a call of more rows runs out of memory
//! advance SECONDS
//! drain SECONDS
//!             from now
//! run [PLANS]
//!             so many, or until nothing is to be done
//! ```

use std::{env, fs};

use crate::script::Scenario;

#[test]
fn scenarios_go_as_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let bless = env::var_os("X0_BLESS").is_some();
    let mut seen = 0;
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        let expected = fs::read_to_string(&path).expect("a scenario is text");
        let actual = replay(&expected);
        seen += 1;
        if bless {
            fs::write(&path, actual).expect("a scenario can be written");
        } else {
            assert!(actual == expected, "{}: expected\n\n{expected}\nbut came\n\n{actual}", path.display());
        }
    }
    assert!(seen > 0);
}

/// The file as it would be if all that it expects came.
fn replay(file: &str) -> String {
    let mut scenario = Scenario::default();
    let blocks = file.trim_end().split("\n\n").map(|block| {
        let commands = block.split("----").next().unwrap_or_default().trim_end();
        let came: String =
            commands.lines().filter(|line| !line.starts_with('#')).map(|line| scenario.command(line)).collect();
        format!("{commands}\n----\n{came}")
    });
    blocks.collect::<Vec<_>>().join("\n")
}
