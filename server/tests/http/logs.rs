//! What operators read afterwards.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use clap::Parser;
use reqwest::Method;
use serde_json::{Value, json};
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, set_default};
use tracing_subscriber::fmt::MakeWriter;
use x0_server::config::LogArgs;
use x0_server::telemetry::subscriber;

use crate::harness::{Keys, NO_LIMITS, TestServer, within};

/// What was logged on this thread, line by line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    log: LogArgs,
}

impl Log {
    /// Begins to log. A test's server runs on the test's own thread, but for what blocks.
    fn begin(line: &str) -> (Self, DefaultGuard) {
        // With one subscriber alone, tracing would ask those of threads that have none whether anyone listens, and remember the answer.
        static ANOTHER: OnceLock<Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| Dispatch::new(tracing_subscriber::registry()));
        let log = Self::default();
        let args = Line::parse_from(["x0"].into_iter().chain(line.split(' '))).log;
        let (subscriber, _) = subscriber(&args, log.clone(), false).unwrap();
        (log, set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for a line for which this is true.
    async fn line(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        within(async {
            loop {
                if let Some(line) = self.lines().into_iter().find(|line| wanted(line)) {
                    return line;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_line_for_every_request_says_who_asked_for_what() {
    let keys = Keys::new();
    let key = keys.add("someone", "generate,read");
    let (log, _guard) = Log::begin("--log-format json");
    let server = keys.server(NO_LIMITS).await;
    let post = server.post(&json!({"class_label": 0})).bearer_auth(&key).header("prefer", "wait=30");
    let post = post.header("x-request-id", "mine").header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let answer = within(post.send()).await.unwrap();
    let told = answer.headers()["traceresponse"].to_str().unwrap().to_owned();
    assert!(told.starts_with(&format!("00-{TRACE}-")) && !told.contains("00f067aa0ba902b7"), "{told}");
    let id = answer.json::<Value>().await.unwrap()["id"].clone();

    let line = log.line(|line| line["request_id"] == "mine" && line["msg"] == "answered").await;
    for (field, expected) in [
        ("level", json!("INFO")),
        ("target", json!("x0::access")),
        ("method", json!("POST")),
        ("route", json!("/v1/generations")),
        ("path", json!("/v1/generations")),
        ("status", json!(200)),
        ("trace_id", json!(TRACE)),
        ("key_id", json!(&key[3..19])),
        ("generation", id.clone()),
    ] {
        assert_eq!(line[field], expected, "{field}: {line}");
    }
    assert!(line["ts"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
    assert!(line["duration_seconds"].as_f64().unwrap() >= 0.0 && line.get("error").is_none(), "{line}");

    let end = log.line(|line| line["msg"] == "generation ended").await;
    assert_eq!((&end["generation"], &end["outcome"]), (&id, &json!("succeeded")));
    assert_eq!((&end["request_id"], &end["trace_id"]), (&json!("mine"), &json!(TRACE)), "it leads to its request");
    assert_eq!((&end["key_id"], &end["model"]), (&json!(&key[3..19]), &json!("toy")));
}

#[tokio::test]
async fn lines_say_what_went_wrong() {
    let keys = Keys::new();
    let (log, _guard) = Log::begin("--log-format json");
    let server = keys.server(NO_LIMITS).await;
    server.get("/v1/models").await;
    let refused = log.line(|line| line["route"] == "/v1/models").await;
    assert_eq!((&refused["status"], &refused["error"]), (&json!(401), &json!("unauthorized")));
    assert!(refused.get("key_id").is_none() && refused["trace_id"].as_str().unwrap().len() == 32, "{refused}");

    let key = keys.add("someone", "generate,read");
    server.known(&key).await;
    server.answer(server.post(&json!({"class_label": 0, "steps": 0})).bearer_auth(&key)).await;
    let invalid = log.line(|line| line["route"] == "/v1/generations").await;
    assert_eq!((&invalid["status"], &invalid["error"]), (&json!(422), &json!("out_of_range")));

    let body = json!({"model": "words", "prompt": "nan"});
    server.answer(server.post(&body).bearer_auth(&key).header("prefer", "wait=30")).await;
    let failed = log.line(|line| line["code"] == "nan_output").await;
    assert_eq!((&failed["level"], &failed["msg"]), (&json!("WARN"), &json!("failed")));
    assert!(failed["generation"].is_string() && failed["request_id"].is_string(), "{failed}");
}

#[tokio::test]
async fn prompts_and_keys_are_not_logged() {
    for level in ["info", "trace"] {
        let keys = Keys::new();
        let key = keys.add("someone", "generate,read");
        let (log, guard) = Log::begin(&format!("--log-format json --log off,x0={level},x0_server={level}"));
        let server = keys.server(NO_LIMITS).await;
        let prompt = "a heron\nwith \"secrets\"";
        for body in [
            json!({"model": "words", "prompt": prompt, "negative_prompt": "herons", "width": 64, "height": 64}),
            json!({"model": "words", "prompt": prompt, "steps": 0, "heron": prompt}),
        ] {
            server.answer(server.post(&body).bearer_auth(&key).header("prefer", "wait=30")).await;
        }
        server.answer(server.request(Method::GET, "/v1/models").bearer_auth(format!("{key}x"))).await;
        log.line(|line| line["msg"] == "generation ended").await;
        log.line(|line| line["error"] == "unauthorized").await;
        drop(guard);
        let text = log.text();
        assert!(!text.contains("heron") && !text.contains("secrets"), "{text}");
        assert!(!text.contains(&key[20..]), "{text}");
    }
}

#[tokio::test]
async fn probes_are_not_worth_a_line_and_lines_cannot_be_forged() {
    let (log, _guard) = Log::begin("--log-format json");
    let server = TestServer::start().await;
    server.get("/livez").await;
    server.get("/v1/models/%0a%7b%22level%22:%22ERROR%22%7d%1b[31m").await;
    let line = log.line(|line| line["route"] == "/v1/models/{id}").await;
    assert_eq!(line["level"], "INFO");
    assert!(!log.text().contains("/livez") && log.lines().iter().all(|line| line["level"] != "ERROR"));
}

#[tokio::test]
async fn lines_for_people_name_the_request_too() {
    let (log, _guard) = Log::begin("--log-format text");
    let server = TestServer::start().await;
    within(server.request(Method::GET, "/v1/models").header("x-request-id", "mine").send()).await.unwrap();
    within(async { while !log.text().contains("answered") {} }).await;
    let text = log.text();
    let line = text.lines().find(|line| line.contains("answered")).unwrap();
    assert!(line.contains("request_id=\"mine\"") && line.contains("status=200"), "{line}");
}
