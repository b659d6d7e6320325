//! Spans as a collector gets them. Only with the feature: `cargo test --release -p x0-server --features otlp --test otlp`
#![cfg(feature = "otlp")]

#[allow(dead_code)]
#[path = "http/harness.rs"]
mod harness;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use clap::Parser;
use serde_json::json;
use x0_server::config::LogArgs;
use x0_server::telemetry;

use harness::{TestServer, within};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    log: LogArgs,
}

/// A collector that keeps what it is sent: the heads and the bodies of all requests.
fn collector() -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            while !whole(&request) {
                match stream.read(&mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&chunk[..read]),
                }
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (address, received)
}

/// Whether a request has its whole body.
fn whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// In protocol buffers, names and ids are written as they are.
#[tokio::test(flavor = "multi_thread")]
async fn the_spans_of_a_generation_are_of_its_requests_trace() {
    let (address, received) = collector();
    let args = Line::parse_from(["x0", "--otlp-endpoint", &address, "--log", "error"]).log;
    let exporter = telemetry::init(&args).unwrap();
    let server = TestServer::start().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let post = server.post(&json!({"class_label": 0})).header("prefer", "wait=30");
    let answer = within(post.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01")).send()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let told = answer.headers()["traceresponse"].to_str().unwrap().to_owned();
    let [_, told_trace, told_span, flags] = told.split('-').collect::<Vec<_>>()[..] else { panic!("{told}") };
    assert_eq!((told_trace, flags), (trace, "01"));
    let untraced = server.get("/v1/models").await.headers()["traceresponse"].to_str().unwrap().to_owned();
    server.stopped().await;
    tokio::task::spawn_blocking(move || drop(exporter)).await.unwrap();

    let sent: Vec<u8> = received.try_iter().flatten().collect();
    assert!(holds(&sent, b"POST /v1/traces HTTP/1.1"));
    assert!(holds(&sent, &hex::decode(trace).unwrap()), "the trace that the request named");
    assert!(holds(&sent, &hex::decode("00f067aa0ba902b7").unwrap()), "the span from which it came");
    assert!(holds(&sent, &hex::decode(told_span).unwrap()), "the span that the client was told");
    assert!(holds(&sent, &hex::decode(&untraced[3..35]).unwrap()), "a trace of our own");
    for name in ["POST /v1/generations", "GET /v1/models", "image_generation", "queue", "denoise", "service.name"] {
        assert!(holds(&sent, name.as_bytes()), "{name}");
    }
}
