//! The program without its server.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};

use serde_json::json;
use tempfile::TempDir;
use x0_tests::{Pixels, Server, program, run};

/// The one line that a failed command writes.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "one line, not\n{text}");
    text.trim_end().to_owned()
}

#[tokio::test]
async fn generate_gives_the_bytes_that_the_server_gives() {
    let server = Server::start();
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("boot.png");
    let output = run(&[
        "generate",
        "--model",
        "fashion",
        "--class",
        "ankle boot",
        "--seed",
        "11",
        "--steps",
        "6",
        "--guidance-scale",
        "3",
        "--sampler",
        "euler",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let request = json!({
        "model": "fashion", "class_label": "ankle boot", "seed": 11, "steps": 6, "guidance_scale": 3, "sampler": "euler",
    });
    assert_eq!(fs::read(out).unwrap(), server.picture(&request).await);
}

#[test]
fn several_images_are_numbered() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("bag.png");
    let output =
        run(&["generate", "--class", "bag", "--n", "9", "--steps", "1", "--seed", "5", "--out", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let picture = |name: &str| Pixels::decode(&fs::read(folder.path().join(name)).unwrap());
    assert_ne!(picture("bag-0.png"), picture("bag-1.png"));
    // More than are made together, and each as it is alone.
    let alone = folder.path().join("alone.png");
    run(&["generate", "--class", "bag", "--steps", "1", "--seed", "13", "--out", alone.to_str().unwrap()]);
    assert_eq!(picture("bag-8.png"), picture("alone.png"));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.lines().count() == 9 && told.trim_end().ends_with("seed 13"), "{told}");
}

#[test]
fn wrong_arguments_are_refused_in_one_line() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("x.png");
    let out = out.to_str().unwrap();
    for (arguments, word) in [
        (&["--class", "hovercraft"][..], "class"),
        (&["--class", "bag", "--steps", "0"], "steps"),
        (&["--class", "bag", "--sampler", "guess"], "sampler"),
        (&["--model", "nobody"], "there is no model \"nobody\"; there are emoji, fashion"),
        (&["--class", "bag", "--steps", "1001"], "1000 steps with this model"),
        (&["--class", "bag", "--n", "10001"], "--n: 10001 is more than the 10000 that x0 allows"),
        (&["--class", "bag", "--init-image", "/nowhere.png"], "/nowhere.png"),
        (&["--class", "bag", "--device", "cuda"], "built without CUDA"),
    ] {
        let output = run(&[&["generate", "--out", out], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(complaint(&output).contains(word), "{arguments:?}: {}", complaint(&output));
    }
    assert!(!fs::exists(out).unwrap(), "no file is made of a refused request");
    let nowhere = folder.path().join("nowhere/x.png");
    let output = run(&["generate", "--class", "bag", "--out", nowhere.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("nowhere cannot be written to"), "{}", complaint(&output));
    assert_eq!(run(&["generate", "--wings", "2"]).status.code(), Some(2));
}

#[test]
fn models_lists_what_is_there() {
    let output = run(&["models"]);
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).unwrap();
    let fashion = table.lines().find(|line| line.starts_with("fashion")).expect("fashion is part of the program");
    assert!(fashion.contains("28"), "{fashion}");
}

#[tokio::test(flavor = "multi_thread")]
async fn healthcheck_tells_by_its_exit_code() {
    let server = Server::start();
    let url = server.url("");
    assert_eq!(run(&["healthcheck", "--url", &url]).status.code(), Some(0));
    assert_eq!(server.terminate(std::time::Duration::from_secs(10)).code(), Some(0));
    let output = run(&["healthcheck", "--url", &url]);
    assert_eq!(output.status.code(), Some(1));
    complaint(&output);
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keys.json");
    let keys = |arguments: &[&str]| {
        let (action, rest) = arguments.split_first().unwrap();
        run(&[&["keys", action, "--keys", file.to_str().unwrap()], rest].concat())
    };
    let out = |output: &std::process::Output| String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(keys(&["list"]).status.code(), Some(1), "there is no file yet");
    let made = keys(&["new", "--name", "alice", "--scopes", "read,admin"]);
    let key = out(&made).trim().to_owned();
    assert!(made.status.success() && key.starts_with("x0_") && key.len() == 20 + 43, "{key}");
    keys(&["new", "--name", "bob", "--requests-per-minute", "7"]);
    let kept = fs::read_to_string(&file).unwrap();
    assert!(!kept.contains(&key[20..]) && kept.contains("\"requests_per_minute\": 7"), "{kept}");

    let list = out(&keys(&["list"]));
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("read,admin") && lines[0].ends_with("alice"), "{list}");
    let id = lines[0].split_whitespace().next().unwrap();
    assert_eq!(&key[3..19], id);
    assert_eq!(keys(&["revoke", id]).status.code(), Some(0));
    assert_eq!(keys(&["revoke", id]).status.code(), Some(1), "it is gone");
    assert_eq!(out(&keys(&["list"])).lines().count(), 1);
    for wrong in [["--scopes", "everything"], ["--queue-size", "0"], ["--streams", "0"], ["--requests-per-minute", "0"]]
    {
        assert_eq!(keys(&[&["new", "--name", "eve"][..], &wrong].concat()).status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(keys(&["new", "--name", &"ä".repeat(101)]).status.code(), Some(2));
    assert_eq!(keys(&["new", "--name", &"ä".repeat(100)]).status.code(), Some(0), "characters are counted, not bytes");
}

#[test]
fn nobody_is_served_from_afar_without_being_meant() {
    let output = run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("--insecure-no-auth") && complaint(&output).contains("x0 keys new"));
    let output = run(&["serve", "--listen", "127.0.0.1:0", "--keys", "/nowhere/keys.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("/nowhere/keys.json"), "{}", complaint(&output));
}

#[test]
fn what_the_environment_sets_to_nothing_is_not_set() {
    // The server gets as far as to listen, which it cannot.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(program());
    let names = ["X0_DEFAULT_MODEL", "X0_DATA_DIR", "X0_KEYS", "X0_MODELS", "X0_SHAPE", "X0_IMAGE_URL_HOSTS"];
    command.args(["serve", "--log", "error", "--listen", &address]).envs(names.map(|name| (name, "")));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
    assert!(complaint(&output).contains(&address), "{}", complaint(&output));
}

#[test]
fn a_log_that_nobody_can_mean_is_refused() {
    let output = run(&["serve", "--listen", "127.0.0.1:0", "--log", "inof"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).starts_with("x0: --log: inof is neither a level"), "{}", complaint(&output));
}

#[tokio::test]
async fn a_shape_is_served_instead_of_all_models() {
    let server = Server::start_with(&["--shape", "sd15"]);
    let models = server.json("/v1/models").await;
    assert_eq!(models["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect::<Vec<_>>(), ["sd15"]);
}

#[test]
fn a_device_that_is_not_there_is_not_served_on() {
    let output = run(&["serve", "--listen", "127.0.0.1:0", "--device", "cuda:1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).starts_with("x0: --device: "), "{}", complaint(&output));
}

#[test]
fn help_names_every_setting_and_its_variable() {
    let output = run(&["serve", "--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in ["--listen", "--models", "--shape", "--device", "--data-dir", "--policy", "--keys", "--key-queue-size"]
    {
        assert!(help.contains(flag), "{flag}");
        let variable = format!("X0_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
        assert!(help.contains(&variable), "{variable}");
    }
}
