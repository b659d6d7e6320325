//! A thousand clients that send their heads slowly, and a thousand that do not read: the others are to notice nothing of them.
//!
//! This process has no other test, as its files and its memory are looked at. It says what it measured:
//! `cargo test --release -p x0-server --test slow_clients -- --nocapture`

#[allow(dead_code)]
#[path = "http/harness.rs"]
mod harness;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use x0_server::metrics::Process;

use harness::{TestServer, within};

/// Clients of each kind.
const CLIENTS: usize = 1000;
/// Each connection has two ends in this process, and there are other files.
const FILES: u64 = 4 * CLIENTS as u64 + 500;
/// How long the server waits for heads and for readers. Long enough for every client to be there before the first is sent away.
const PATIENCE: Duration = Duration::from_secs(40);
const REQUESTS: usize = 300;
/// On a machine that does other things too, and with both ends in one process: far from what is measured, which is printed.
const SANE: Duration = Duration::from_secs(5);

async fn connect(server: &TestServer) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // What the kernel takes in the place of the client is little, so that the server soon has nowhere to write to.
    socket.set_recv_buffer_size(4096).unwrap();
    let address = server.base.strip_prefix("http://").unwrap().parse().unwrap();
    within(socket.connect(address)).await.unwrap()
}

/// Connects so many clients, each of which sends this and nothing more.
async fn clients(server: &TestServer, sent: &str) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = connect(server).await;
        within(stream.write_all(sent.as_bytes())).await.unwrap();
        streams.push(stream);
    }
    streams
}

async fn gauge(server: &TestServer, name: &str) -> f64 {
    let metrics = server.get("/metrics").await.text().await.unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

/// Waits until a gauge is what it should be; a test that is too slow for that fails by the clock.
async fn until(server: &TestServer, name: &str, right: impl Fn(f64) -> bool) {
    let waiting = async { while !right(gauge(server, name).await) {} };
    tokio::time::timeout(PATIENCE * 4, waiting).await.unwrap_or_else(|_| panic!("{name} is not as it should be"));
}

/// The time that most of the usual requests take: to make a picture and get it.
async fn quantiles(server: &TestServer) -> [Duration; 3] {
    let mut times = Vec::new();
    for _ in 0..REQUESTS {
        let start = Instant::now();
        server.picture(&json!({"class_label": 0})).await;
        times.push(start.elapsed());
    }
    times.sort();
    [REQUESTS / 2, REQUESTS * 99 / 100, REQUESTS - 1].map(|at| times[at])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_hold_up_nobody_else() {
    let files = rlimit::increase_nofile_limit(FILES).unwrap();
    assert!(files >= FILES, "this test needs {FILES} open files; `ulimit -Hn` allows {files}");
    let server = TestServer::start_with(|config| {
        config.limits.images = 16;
        config.connections.per_address = usize::MAX;
        config.connections.header_timeout = PATIENCE;
        config.connections.write_timeout = PATIENCE;
    })
    .await;
    // Pictures that are hard to compress, in every stream: more than the kernel takes for a client that does not read.
    let big = json!({"model": "words", "prompt": "x", "n": 16, "steps": 1, "width": 512, "height": 512,
        "output": {"format": "jpeg", "quality": 100, "inline": true}});
    let record = server.finish(&big).await;
    let bytes: usize =
        record["images"].as_array().unwrap().iter().map(|image| image["b64"].as_str().unwrap().len()).sum();
    assert!(bytes > 800_000, "{bytes} bytes do not fill a connection");
    let alone = quantiles(&server).await;
    let before = Process::read().unwrap();

    let id = record["id"].as_str().unwrap();
    let slow = clients(&server, "GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await;
    let deaf = clients(&server, &format!("GET /v1/generations/{id}/events HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    until(&server, "x0_sse_clients", |streams| streams == CLIENTS as f64).await;
    until(&server, "x0_connections{state=\"new\"}", |new| new >= CLIENTS as f64).await;
    let crowded = quantiles(&server).await;
    let during = Process::read().unwrap();
    let still = gauge(&server, "x0_sse_clients").await;

    // Nobody closed anything: the server lets them go by itself.
    until(&server, "x0_sse_clients", |streams| streams == 0.0).await;
    until(&server, "x0_connections{state=\"new\"}", |new| new < 5.0).await;
    until(&server, "x0_sse_slow_clients_closed_total", |closed| closed == CLIENTS as f64).await;
    drop((slow, deaf));
    let settled = async {
        while Process::read().unwrap().open_files > before.open_files + 10 {
            tokio::task::yield_now().await;
        }
    };
    within(settled).await;
    let after = Process::read().unwrap();
    assert_eq!(server.request(Method::GET, "/readyz").send().await.unwrap().status(), 200);

    let more = during.resident_bytes.saturating_sub(before.resident_bytes);
    eprintln!("alone:   p50 {:?}, p99 {:?}, longest {:?}", alone[0], alone[1], alone[2]);
    eprintln!("crowded: p50 {:?}, p99 {:?}, longest {:?}", crowded[0], crowded[1], crowded[2]);
    eprintln!("{still} of {CLIENTS} streams were open when the measurement ended");
    eprintln!("files: {} before, {} crowded, {} after", before.open_files, during.open_files, after.open_files);
    eprintln!("memory: {} MiB more for {} connections", more >> 20, 2 * CLIENTS);
    assert!(crowded[1] < SANE, "a usual request took {:?}", crowded[1]);
    assert!(more < 512 << 20, "{} MiB are too much", more >> 20);
}
