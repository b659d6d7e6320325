//! The benchmarks measure; what they find is another matter.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::Value;
use tempfile::TempDir;
use x0_tests::{program, run};

fn json(arguments: &[&str]) -> Value {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it writes JSON")
}

fn positive(value: &Value) -> f64 {
    value.as_f64().filter(|number| *number > 0.0).unwrap_or_else(|| panic!("{value} is not positive"))
}

#[test]
fn a_model_is_measured_against_the_machine() {
    let report = json(&["bench", "--model", "fashion", "--repeat", "2", "--json"]);
    assert_eq!(report["model"], "fashion");
    let peak = positive(&report["peak_gflops"]);
    positive(&report["machine"]["memory_gigabytes_per_second"]);
    let unet = &report["unet"];
    assert_eq!(unet["rows"], 2);
    let seconds: Vec<f64> = unet["seconds"].as_array().unwrap().iter().map(positive).collect();
    assert_eq!(seconds.len(), 2);
    let median = (seconds[0] + seconds[1]) / 2.0;
    let gflops = positive(&unet["gflop"]) / median;
    assert!((positive(&unet["gflops"]) / gflops - 1.0).abs() < 1e-6);
    assert!((positive(&unet["share_of_peak"]) / (gflops / peak) - 1.0).abs() < 1e-6);
    assert!((positive(&unet["rows_per_second"]) * median / 2.0 - 1.0).abs() < 1e-6);
    assert!(report.get("vae_decode").is_none(), "fashion has no autoencoder");
}

#[test]
fn without_json_there_is_a_table() {
    let output = run(&["bench", "--shape", "sd15", "--stage", "text_encoder", "--rows", "1", "--repeat", "1"]);
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).unwrap();
    let row: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(row[..3], ["text_encoder", "1", "13.3"], "{table}");
}

#[test]
fn networks_are_called_with_given_inputs_in_turns_and_their_answers_kept() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (inputs, outputs) = (path("inputs.safetensors"), path("outputs.safetensors"));
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    // One row twice, and another one.
    let rows = [0.0, 0.0, 1.0].map(|row| (0..32 * 32).map(|i| (i as f32 * 0.1 + row).sin()).collect::<Vec<_>>());
    let sample = floats(&rows.concat());
    let timesteps = floats(&[500.0; 3]);
    let labels: Vec<u8> = [7i64; 3].iter().flat_map(|label| label.to_le_bytes()).collect();
    let tensors = [
        ("unet.sample", TensorView::new(Dtype::F32, vec![3, 1, 32, 32], &sample).unwrap()),
        ("unet.timestep", TensorView::new(Dtype::F32, vec![3], &timesteps).unwrap()),
        ("unet.class_labels", TensorView::new(Dtype::I64, vec![3], &labels).unwrap()),
    ];
    serialize_to_file(tensors, None, inputs.as_ref()).unwrap();

    let mut bench = Command::new(program())
        .args(["bench", "--model", "fashion", "--inputs", &inputs, "--outputs", &outputs, "--take-turns"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = bench.stdin.take().unwrap();
    let mut lines = BufReader::new(bench.stdout.take().unwrap()).lines().map(Result::unwrap);
    let about: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(about["rows"], 3);
    positive(&about["gflop"]);
    for _ in 0..2 {
        writeln!(stdin).unwrap();
        assert!(lines.next().unwrap().parse::<f64>().unwrap() > 0.0);
    }
    drop(stdin);
    assert!(bench.wait().unwrap().success());

    let bytes = std::fs::read(outputs).unwrap();
    let answers = SafeTensors::deserialize(&bytes).unwrap();
    let answer = answers.tensor("unet").unwrap();
    assert_eq!(answer.shape(), [3, 1, 32, 32]);
    let [first, second, third] = [0, 1, 2].map(|row| &answer.data()[row * 4096..(row + 1) * 4096]);
    assert_eq!(first, second);
    assert_ne!(first, third);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for (arguments, word) in [
        (&["--model", "nobody"][..], "nobody"),
        (&["--model", "fashion", "--stage", "vae_decode"], "vae_decode"),
        (&["--model", "fashion", "--size", "64"], "28"),
        (&["--shape", "sd15", "--take-turns"], "--stage"),
        (&["--shape", "sd15", "--stage", "vae_decode", "--size", "12"], "12"),
        (&["--inputs", "/nowhere.safetensors"], "/nowhere.safetensors"),
    ] {
        let output = run(&[&["bench"], arguments].concat());
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {complaint}");
        assert!(complaint.contains(word), "{arguments:?}: {complaint}");
    }
}

#[test]
fn serving_is_measured_and_pictures_compared() {
    let report = json(&[
        "bench",
        "serve",
        "--model",
        "fashion",
        "--policy",
        "first-come",
        "--load",
        "0.5",
        "--requests",
        "5",
        "--json",
    ]);
    let served = &report.as_array().unwrap()[..];
    let [served] = served else { panic!("one policy, not {served:?}") };
    assert_eq!(served["policy"], "first-come");
    positive(&served["alone_seconds"]);
    let trial = &served["trials"][0];
    assert_eq!((&trial["requests"], &trial["failed"], &trial["different"]), (&5.into(), &0.into(), &0.into()));
    let [p50, p99] = ["p50", "p99"].map(|share| positive(&trial["latency"][share]));
    assert!(p50 <= p99 && positive(&trial["first_preview"]["p50"]) < p50);
}
