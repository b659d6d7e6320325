//! Every input of the corpora, through the function that it was found for.

use std::fs;
use std::path::Path;

fn replay(corpus: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(corpus);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        if let Err(panic) = std::panic::catch_unwind(|| run(&data)) {
            eprintln!("this input did it: {}", path.display());
            std::panic::resume_unwind(panic);
        }
        inputs += 1;
    }
    assert!(inputs >= 10, "{inputs} inputs in {}", folder.display());
}

#[test]
fn prompts() {
    replay("prompt", x0_fuzz::prompt);
}

#[test]
fn requests() {
    replay("request", x0_fuzz::request);
}

#[test]
fn pictures() {
    replay("picture", x0_fuzz::picture);
}

#[test]
fn infotexts() {
    replay("infotext", x0_fuzz::infotext);
}

#[test]
fn safetensors_files() {
    replay("safetensors", x0_fuzz::safetensors);
}
