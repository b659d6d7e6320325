//! HTTP below the level of requests: raw bytes on a socket.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::harness::{TestServer, within};

async fn connect(server: &TestServer) -> TcpStream {
    within(TcpStream::connect(server.base.strip_prefix("http://").unwrap())).await.unwrap()
}

/// Sends bytes and reads until the server hangs up.
async fn exchange(server: &TestServer, bytes: &[u8]) -> String {
    let mut stream = connect(server).await;
    stream.write_all(bytes).await.unwrap();
    until_closed(&mut stream).await
}

async fn until_closed(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is as good an end as any.
    let _ = within(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of an answer; 0 if there is none.
fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
}

#[tokio::test]
async fn malformed_requests_are_refused_and_harm_nobody() {
    let server = TestServer::start().await;
    let post = "POST /v1/generations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let many_headers: String = (0..200).map(|i| format!("x-{i}: 1\r\n")).collect();
    let long_header = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(1 << 17));
    for (name, request, expected) in [
        ("no HTTP", "hello\r\n\r\n".to_owned(), 400),
        ("an unknown version", "GET / HTTP/9.9\r\n\r\n".to_owned(), 400),
        ("two lengths", format!("{post}content-length: 1\r\ncontent-length: 2\r\n\r\n{{}}"), 400),
        ("a length that is no number", format!("{post}content-length: two\r\n\r\n{{}}"), 400),
        ("a chunk that is none", format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n"), 400),
        ("an unknown transfer coding", format!("{post}transfer-encoding: gzip\r\n\r\n{{}}"), 400),
        ("a folded header", "GET /livez HTTP/1.1\r\nhost: localhost\r\nx: a\r\n b\r\n\r\n".to_owned(), 400),
        ("a length with a sign", format!("{post}content-length: +2\r\n\r\n{{}}"), 400),
        ("a length below zero", format!("{post}content-length: -1\r\n\r\n{{}}"), 400),
        ("a length beyond numbers", format!("{post}content-length: 99999999999999999999\r\n\r\n{{}}"), 400),
        ("a length and chunks", format!("{post}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        ("chunks that are not last", format!("{post}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"), 400),
        (
            "a chunk's length that is too long",
            format!("{post}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
            400,
        ),
        ("a space before the colon", "GET /livez HTTP/1.1\r\nhost: localhost\r\nx : a\r\n\r\n".to_owned(), 400),
        ("a header without a name", "GET /livez HTTP/1.1\r\nhost: localhost\r\n: a\r\n\r\n".to_owned(), 400),
        ("NUL in a header", "GET /livez HTTP/1.1\r\nhost: localhost\r\nx: a\0b\r\n\r\n".to_owned(), 400),
        ("a bare CR in a header", "GET /livez HTTP/1.1\r\nhost: localhost\r\nx: a\rb\r\n\r\n".to_owned(), 400),
        ("no host", "GET /livez HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("two hosts", "GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: y\r\n\r\n".to_owned(), 400),
        ("a host that is none", "GET /livez HTTP/1.1\r\nhost: a b\r\n\r\n".to_owned(), 400),
        ("a space in the address", "GET /live z HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), 400),
        (
            "a tunnel",
            "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\nconnection: close\r\n\r\n".to_owned(),
            405,
        ),
        ("an echo", "TRACE / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(), 405),
        ("the server as a whole", "OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(), 404),
        ("an old version", "GET /livez HTTP/1.0\r\n\r\n".to_owned(), 200),
        (
            "the address of a proxy",
            "GET http://localhost/livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
            200,
        ),
        ("too many headers", format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{many_headers}\r\n"), 431),
        ("too long a header", long_header, 431),
    ] {
        assert_eq!(status(&exchange(&server, request.as_bytes()).await), expected, "{name}");
    }
    server.finish(&json!({"class_label": 0})).await;
}

/// Sends a request with a second one hidden in its body, and counts the answers.
#[tokio::test]
async fn a_request_cannot_hide_in_another() {
    let server = TestServer::start().await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let post = "POST /v1/generations HTTP/1.1\r\nhost: localhost\r\n";
    for head in [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "Transfer-Encoding: Chunked",
    ] {
        let answer = exchange(&server, format!("{post}{head}\r\n\r\n0\r\n\r\n{hidden}").as_bytes()).await;
        assert_eq!(status(&answer), 400, "{head}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{head}: {answer}");
        assert!(answer.contains("connection: close"), "{head}: {answer}");
    }
    for head in ["transfer-encoding: xchunked", "transfer-encoding:\x0bchunked", "transfer-encoding: chunked;x=y"] {
        let answer = exchange(&server, format!("{post}{head}\r\n\r\n0\r\n\r\n{hidden}").as_bytes()).await;
        assert_eq!(status(&answer), 400, "{head}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{head}: {answer}");
    }
}

#[tokio::test]
async fn who_breaks_off_leaves_nothing_behind() {
    let server = TestServer::start().await;
    for _ in 0..100 {
        let mut stream = connect(&server).await;
        let head = "POST /v1/generations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{\"class_label\":";
        stream.write_all(head.as_bytes()).await.unwrap();
    }
    server.metric("x0_connections{state=\"open\"} 1").await;
    server.metric("x0_http_requests_in_flight 1").await;
    server.finish(&json!({"class_label": 0})).await;
}

#[tokio::test]
async fn who_does_not_read_is_hung_up_on() {
    let server = TestServer::start_with(|config| config.connections.write_timeout = Duration::from_millis(100)).await;
    let mut stream = connect(&server).await;
    // More answers than the sockets' buffers hold; they are asked for until the server has had enough.
    let ask = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    within(async { while stream.write_all(ask.as_bytes()).await.is_ok() {} }).await;
    drop(stream);
    server.metric("x0_connections{state=\"open\"} 1").await;
    server.finish(&json!({"class_label": 0})).await;
}

#[tokio::test]
async fn slow_heads_are_not_waited_for() {
    let server = TestServer::start_with(|config| config.connections.header_timeout = Duration::from_millis(100)).await;
    for begun in ["", "P", "PRI * HTTP/2.0", "GET /livez HTTP/1.1\r\nhost: localhost\r\nx: "] {
        let mut stream = connect(&server).await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        let answer = until_closed(&mut stream).await;
        assert!(matches!(status(&answer), 0 | 408), "{begun}: {answer}");
    }
    let mut idle = connect(&server).await;
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(status(&until_closed(&mut idle).await), 200, "an idle connection is closed after its answer");
    server.metric("x0_connections{state=\"open\"} 1").await;
}

#[tokio::test]
async fn slow_bodies_are_not_waited_for() {
    let server = TestServer::start_with(|config| config.body.time = Duration::from_millis(100)).await;
    let head = "POST /v1/generations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{";
    let answer = exchange(&server, head.as_bytes()).await;
    assert_eq!(status(&answer), 408, "{answer}");
    assert!(answer.contains("connection: close") && answer.contains("\"request_timeout\""), "{answer}");
}

#[tokio::test]
async fn long_bodies_are_refused() {
    let server = TestServer::start_with(|config| config.body.bytes = 1000).await;
    let post = "POST /v1/generations HTTP/1.1\r\nhost: localhost\r\n";
    let declared = format!("{post}content-length: 1001\r\nexpect: 100-continue\r\n\r\n");
    let answer = exchange(&server, declared.as_bytes()).await;
    assert_eq!(status(&answer), 413, "before the body is sent: {answer}");

    let chunk = format!("3e9\r\n{}\r\n", " ".repeat(1001));
    let chunked = format!("{post}transfer-encoding: chunked\r\n\r\n{chunk}");
    let answer = exchange(&server, chunked.as_bytes()).await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert!(answer.contains("\"payload_too_large\""));

    let just = json!({"class_label": 0}).to_string();
    let fits = server.request(Method::POST, "/v1/generations").body(format!("{just}{}", " ".repeat(1000 - just.len())));
    assert_eq!(server.answer(fits).await.0, 202);
}

#[tokio::test]
async fn the_memory_of_bodies_is_bounded() {
    let server =
        TestServer::start_with(|config| (config.body.bytes, config.body.total_bytes) = (1 << 20, 1 << 20)).await;
    let head = "POST /v1/generations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n";
    let mut slow = connect(&server).await;
    slow.write_all(head.as_bytes()).await.unwrap();
    server.metric("x0_http_requests_in_flight 2").await;
    let answer = exchange(&server, head.as_bytes()).await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("\"overloaded\"") && answer.contains("retry-after: 1"));
    server.finish(&json!({"class_label": 0})).await;
    drop(slow);
    server.metric("x0_http_requests_in_flight 1").await;
    let mut again = connect(&server).await;
    again.write_all(format!("{head}{}", " ".repeat(1_000_000)).as_bytes()).await.unwrap();
    let mut start = [0; 12];
    within(again.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 400");
}

/// So many connections, each of which has had an answer and is still open.
async fn served(server: &TestServer, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        let mut stream = connect(server).await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        within(stream.read_exact(&mut [0])).await.unwrap();
        open.push(stream);
    }
    open
}

#[tokio::test]
async fn connections_are_capped() {
    let server = TestServer::start_with(|config| config.connections.count = 3).await;
    let open = served(&server, 3).await;
    let answer = until_closed(&mut connect(&server).await).await;
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("\"overloaded\"") && answer.contains("retry-after: 1"), "{answer}");
    drop(open);
    server.metric("x0_connections{state=\"open\"} 1").await;
}

#[tokio::test]
async fn connections_of_one_address_are_capped() {
    let server = TestServer::start_with(|config| config.connections.per_address = 2).await;
    let open = served(&server, 2).await;
    let answer = until_closed(&mut connect(&server).await).await;
    assert_eq!(status(&answer), 503);
    drop(open);
    server.metric("x0_connections{state=\"open\"} 1").await;
}

#[tokio::test]
async fn http_2_is_spoken_too() {
    let server = TestServer::start().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = within(client.get(format!("{}/v1/models", server.base)).send()).await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
}

/// An HTTP/2 connection, driven by a task of its own that says in the end how the connection ended.
async fn http_2(server: &TestServer) -> (h2::client::SendRequest<bytes::Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let (client, connection) = within(h2::client::handshake(connect(server).await)).await.unwrap();
    (client, tokio::spawn(connection))
}

fn livez() -> hyper::Request<()> {
    hyper::Request::get("http://localhost/livez").body(()).unwrap()
}

#[tokio::test]
async fn an_http_2_connection_has_a_hundred_streams() {
    let server = TestServer::start().await;
    let (client, connection) = http_2(&server).await;
    let mut ready = within(client.clone().ready()).await.unwrap();
    let (answer, _) = ready.send_request(livez(), true).unwrap();
    assert_eq!(within(answer).await.unwrap().status(), 200);
    assert_eq!(ready.current_max_send_streams(), 100, "the server's settings came before its answer");
    drop((client, ready));
    within(connection).await.unwrap().unwrap();
}

/// CVE-2023-44487: requests that are taken back as soon as they are sent cost their client nothing, and the server much.
#[tokio::test]
async fn who_takes_back_requests_all_the_time_is_sent_away() {
    const GOAWAY: u8 = 7;
    const ENHANCE_YOUR_CALM: [u8; 4] = 11_u32.to_be_bytes();
    let server = TestServer::start().await;
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, &[]));
    for stream in (1..4000).step_by(2) {
        // GET http://x/ as HPACK's static table has it; the headers end here, the request does not.
        sent.extend(frame(1, 4, stream, &[0x82, 0x86, 0x84, 0x41, 1, b'x']));
        sent.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut stream = connect(&server).await;
    // The server may hang up before it has read everything.
    let _ = within(stream.write_all(&sent)).await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;

    let mut frames = &answer[..];
    let mut reason = None;
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = frames {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if *kind == GOAWAY {
            reason = rest.get(4..8).map(<[u8]>::to_vec);
        }
        frames = rest.get(length..).unwrap_or_default();
    }
    assert_eq!(reason.as_deref(), Some(&ENHANCE_YOUR_CALM[..]), "{answer:?}");
    assert_eq!(server.get("/livez").await.status(), 200, "others are served as before");
}
