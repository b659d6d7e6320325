//! Pictures that requests name by their address, from a host on this machine that has a certificate of its own making.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use x0_server::fetch::{FetchLimits, Fetcher, Hosts, Lookup, PublicOnly};

use crate::harness::{TestServer, base64_picture};

const NAME: &str = "pictures.test";
const LIMITS: FetchLimits =
    FetchLimits { bytes: 100_000, connect: Duration::from_secs(20), total: Duration::from_secs(20), at_once: 2 };

/// A host of pictures. It answers one request on each connection.
struct Host {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    connections: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Host {
    async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                // Who does not like the certificate, or has read enough, hangs up.
                tokio::spawn(answer(tls.clone(), stream));
            }
        });
        Self { address, certificate, connections, serving }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A fetcher that trusts this host, and finds it.
    fn fetcher(&self, limits: FetchLimits) -> Fetcher {
        self.fetcher_by(Arc::new(Here(self.address)), limits)
    }

    fn fetcher_by(&self, lookup: Arc<dyn Lookup>, limits: FetchLimits) -> Fetcher {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        Fetcher::new(Hosts::new([NAME, "other.test"]).unwrap(), roots, lookup, limits).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Every host is at this address.
#[derive(Debug)]
struct Here(SocketAddr);

#[async_trait]
impl Lookup for Here {
    async fn addresses(&self, _: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![self.0])
    }
}

/// No host is anywhere.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Lookup for Nowhere {
    async fn addresses(&self, _: &str) -> io::Result<Vec<SocketAddr>> {
        Err(io::Error::other("no such host"))
    }
}

async fn answer(tls: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let mut stream = tls.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.contains("\r\nhost: pictures.test\r\n") && !head.contains("authorization"), "{head}");
    let path = head.split(' ').nth(1).unwrap();
    let file = BASE64.decode(base64_picture(64, 64, 9)).unwrap();
    let whole = |kind: &str, file: &[u8]| {
        [format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", file.len()).as_bytes(), file]
            .concat()
    };
    match path {
        "/a.png?size=1" => stream.write_all(&whole("image/png", &file)).await?,
        "/mask.png" => {
            let mask = BASE64.decode(base64_picture(64, 64, 255)).unwrap();
            stream.write_all(&whole("application/octet-stream", &mask)).await?;
        }
        "/until-closed" => {
            stream.write_all(&[b"HTTP/1.1 200 OK\r\n\r\n", &file[..]].concat()).await?;
        }
        "/moved" => {
            let head =
                b"HTTP/1.1 302 Found\r\nlocation: https://pictures.test/a.png?size=1\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(head).await?;
        }
        "/missing" => stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\nsecret").await?,
        "/large" => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n").await?,
        "/endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            loop {
                stream.write_all(&[b"3e8\r\n", &[b'x'; 1000][..], b"\r\n"].concat()).await?;
            }
        }
        "/page" => stream.write_all(&whole("text/html", b"<html>secret</html>")).await?,
        "/corrupt" => stream.write_all(&whole("image/png", &file[..file.len() / 2])).await?,
        "/cut" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsecret").await?;
        }
        "/no-http" => stream.write_all(b"220 secret ESMTP\r\n\r\n").await?,
        "/long-head" => {
            let header = format!("x: {}\r\n", "y".repeat(1000));
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{}\r\n", header.repeat(100)).as_bytes()).await?;
        }
        "/silent" => std::future::pending().await,
        "/slow" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n\x89PNG").await?;
            std::future::pending().await
        }
        path => panic!("nobody asks for {path}"),
    }
    stream.shutdown().await
}

fn request(init_image: &str) -> Value {
    json!({"prompt": "a", "seed": 7, "steps": 2, "strength": 0.5, "init_image": init_image})
}

/// The code and the message for a picture's address.
async fn refused(server: &TestServer, url: &str) -> (String, String) {
    let (status, problem) = server.answer(server.post(&request(url))).await;
    assert_eq!(status, 422, "{url}: {problem}");
    let [error] = problem["errors"].as_array().unwrap().as_slice() else { panic!("{url}: {problem}") };
    assert_eq!((&error["field"], &error["code"]), (&json!("init_image"), &problem["code"]), "{url}");
    let text = problem.to_string();
    assert!(!text.contains("127.0.0.1") && !text.contains("secret"), "{url}: {text}");
    (problem["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_picture_by_its_address_is_the_picture() {
    let host = Host::start().await;
    let server = TestServer::start_with(|config| config.fetcher = Some(host.fetcher(LIMITS))).await;
    let sent = server.picture(&request(&base64_picture(64, 64, 9))).await;
    for url in [
        "https://pictures.test/a.png?size=1",
        "HTTPS://PICTURES.TEST:443/a.png?size=1#part",
        "https://pictures.test/until-closed",
    ] {
        assert_eq!(server.picture(&request(url)).await, sent, "{url}");
    }
    let mut masked = request("https://pictures.test/a.png?size=1");
    masked["mask_image"] = json!("https://pictures.test/mask.png");
    let record = server.finish(&masked).await;
    assert_eq!(record["request"]["mask_image"], json!({"width": 64, "height": 64}));
    assert_eq!(host.connections(), 5, "one for each picture");

    let init = "https://pictures.test/a.png?size=1";
    for (path, body) in [
        ("/hf/words", json!({"inputs": init, "parameters": {"prompt": "a", "seed": 7, "steps": 2, "strength": 0.5}})),
        (
            "/v1/predictions",
            json!({"version": "words", "input": {"prompt": "a", "image": init, "mask": "https://pictures.test/mask.png"}}),
        ),
        ("/sdapi/v1/img2img", json!({"prompt": "a", "width": 64, "height": 64, "steps": 2, "init_images": [init]})),
    ] {
        let answer = server.request(Method::POST, path).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }
    assert_eq!(host.connections(), 9);
}

#[tokio::test]
async fn what_cannot_be_fetched_is_refused() {
    let host = Host::start().await;
    let server = TestServer::start_with(|config| config.fetcher = Some(host.fetcher(LIMITS))).await;
    for (path, code, message) in [
        ("moved", "fetch_failed", "its host answered 302, not 200"),
        ("missing", "fetch_failed", "its host answered 404, not 200"),
        ("large", "fetch_failed", "is over 100000 bytes"),
        ("endless", "fetch_failed", "is over 100000 bytes"),
        ("cut", "fetch_failed", "its host's answer broke off"),
        ("no-http", "fetch_failed", "its host's answer broke off"),
        ("long-head", "fetch_failed", "its host's answer broke off"),
        ("page", "unsupported_image", "not a PNG, JPEG or WebP file"),
        ("corrupt", "corrupt_image", ""),
    ] {
        let before = host.connections();
        let (found, said) = refused(&server, &format!("https://pictures.test/{path}")).await;
        assert_eq!(found, code, "{path}");
        assert!(said.starts_with(message), "{path}: {said}");
        assert_eq!(host.connections(), before + 1, "{path} is asked for once, and nothing else");
    }
    let before = host.connections();
    for (url, message) in [
        ("https://elsewhere.test/a.png", "names a host from which this server fetches no pictures"),
        ("http://pictures.test/a.png", "must begin with https://"),
        ("https://127.0.0.1/a.png", "must name its host, not give its number"),
        ("file:///etc/passwd", "must begin with https://"),
    ] {
        assert_eq!(refused(&server, url).await, ("url_not_allowed".to_owned(), message.to_owned()), "{url}");
    }
    let (status, problem) =
        server.answer(server.post(&json!({"class_label": 0, "init_image": "https://pictures.test/large"}))).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("conflicting_parameters")), "the model takes none");
    assert_eq!(host.connections(), before, "nobody is asked");
    server.finish(&json!({"class_label": 0})).await;
}

#[tokio::test]
async fn a_slow_host_is_not_waited_for() {
    let host = Host::start().await;
    let limits = FetchLimits { total: Duration::from_millis(300), ..LIMITS };
    let server = TestServer::start_with(|config| config.fetcher = Some(host.fetcher(limits))).await;
    for path in ["silent", "slow"] {
        let expected = ("fetch_failed".to_owned(), "took longer than 0.3 s".to_owned());
        assert_eq!(refused(&server, &format!("https://pictures.test/{path}")).await, expected);
    }
    // More of them than may be fetched at once: those whose turn does not come are told the same.
    let asked = (0..6).map(|_| refused(&server, "https://pictures.test/silent"));
    for (code, _) in futures::future::join_all(asked).await {
        assert_eq!(code, "fetch_failed");
    }
}

#[tokio::test]
async fn a_host_that_is_not_on_the_internet_is_not_connected_to() {
    let host = Host::start().await;
    let unreachable = ("fetch_failed".to_owned(), "its host cannot be reached".to_owned());
    let inside: [IpAddr; 4] = [
        host.address.ip(),
        IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
        "::1".parse().unwrap(),
        "169.254.169.254".parse().unwrap(),
    ];
    for address in inside {
        let lookup = PublicOnly(Here(SocketAddr::new(address, host.address.port())));
        let server =
            TestServer::start_with(|config| config.fetcher = Some(host.fetcher_by(Arc::new(lookup), LIMITS))).await;
        assert_eq!(refused(&server, "https://pictures.test/a.png?size=1").await, unreachable, "{address}");
    }
    assert_eq!(host.connections(), 0);
    // Who is nowhere, who is somebody else, and whom nobody vouches for, look the same.
    let stranger = Host::start().await;
    for (fetcher, url) in [
        (host.fetcher_by(Arc::new(Nowhere), LIMITS), "https://pictures.test/a.png?size=1"),
        (host.fetcher(LIMITS), "https://other.test/a.png?size=1"),
        (host.fetcher_by(Arc::new(Here(stranger.address)), LIMITS), "https://pictures.test/a.png?size=1"),
    ] {
        let server = TestServer::start_with(|config| config.fetcher = Some(fetcher)).await;
        assert_eq!(refused(&server, url).await, unreachable, "{url}");
    }
}

#[tokio::test]
async fn unless_the_operator_says_so_no_address_is_followed() {
    let server = TestServer::start().await;
    let url = "https://example.com/a.png";
    let (code, message) = refused(&server, url).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("url_not_allowed", "pictures are not fetched from their address here; send the file in base64")
    );
    for (path, body, field) in [
        ("/hf/words", json!({"inputs": url}), "inputs: "),
        ("/v1/predictions", json!({"version": "words", "input": {"prompt": "a", "image": url}}), "input.image: "),
        (
            "/v1/predictions",
            json!({"version": "words", "input": {"prompt": "a", "image": base64_picture(64, 64, 9), "mask": url}}),
            "input.mask: ",
        ),
        ("/sdapi/v1/img2img", json!({"prompt": "a", "width": 64, "height": 64, "init_images": [url]}), "init_images: "),
        ("/v1/images/generations", json!({"prompt": "a", "init_image": url}), "init_image: "),
        ("/sdapi/v1/png-info", json!({"image": url}), "image: "),
        ("/v1/pictures/settings", json!({"image": url}), "image: "),
    ] {
        let (status, answer) = server.answer(server.request(Method::POST, path).json(&body)).await;
        assert!(matches!(status, 400 | 422), "{path}: {status}");
        let text = answer.to_string();
        assert!(text.contains(&format!("{field}pictures are not fetched")), "{path}: {text}");
    }
}
