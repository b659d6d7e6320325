//! The loop that accepts connections. axum's own has neither a header timeout nor a cap.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::header::{self, HeaderValue};
use axum::http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::patience::Patient;
use crate::metrics::{HeldGauge, Metrics};
use crate::shutdown::{Lifecycle, Stage};

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// How many at once.
    pub count: usize,
    /// How many of them from one address; of IPv6, from one network of 64 bits, which is what one customer gets.
    pub per_address: usize,
    /// For a request's head to arrive, and between requests.
    pub header_timeout: Duration,
    /// For a client to take what is written.
    pub write_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            count: 4096,
            per_address: 1024,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(20),
        }
    }
}

/// Bytes that the kernel takes for a client that does not read; by itself it takes megabytes.
const SEND_BUFFER: usize = 256 << 10;
/// Bytes of a request's head.
const MAX_HEAD: usize = 64 << 10;
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// Streams that a client may open and reset before it is sent away (CVE-2023-44487).
const MAX_RESETS: usize = 20;
/// After a failed accept, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For a connection that is over the cap; its client may or may not read it.
const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
    content-type: application/problem+json\r\ncontent-length: 126\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"overloaded\",\"detail\":\"too many connections are open\"}";

/// Accepts connections until the server drains, and returns when all are closed. Idle ones are closed at once; the others finish the
/// request that they are at.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    lifecycle: Lifecycle,
    metrics: Metrics,
) {
    let connections = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(limits.count));
    let addresses = Addresses { most: limits.per_address, open: Arc::default() };
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = lifecycle.reached(Stage::Draining) => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let place =
            permits.clone().try_acquire_owned().ok().and_then(|permit| Some((permit, addresses.enter(peer.ip())?)));
        let Some(place) = place else {
            metrics.connection_refused();
            refuse(stream);
            continue;
        };
        let (router, lifecycle, metrics) = (router.clone(), lifecycle.clone(), metrics.clone());
        let connection = Connection { limits, router, lifecycle, metrics, peer };
        connections.spawn(async move {
            connection.run(stream).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// How many connections each address has open. Addresses without any are not remembered.
#[derive(Clone, Debug)]
struct Addresses {
    most: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of an address, until it is dropped.
#[derive(Debug)]
struct Entered {
    addresses: Addresses,
    network: IpAddr,
}

impl Addresses {
    /// Counts one more connection, unless the address has as many as it may.
    fn enter(&self, address: IpAddr) -> Option<Entered> {
        let network = network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&network).copied().unwrap_or(0);
        (count < self.most).then(|| {
            open.insert(network, count + 1);
            Entered { addresses: self.clone(), network }
        })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = open.entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What of an address tells one client from another.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

/// Says why, if the client takes it at once, and hangs up.
fn refuse(mut stream: TcpStream) {
    tokio::spawn(async move {
        let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(OVERLOADED)).await;
    });
}

struct Connection {
    limits: ConnectionLimits,
    router: Router,
    lifecycle: Lifecycle,
    metrics: Metrics,
    peer: SocketAddr,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        // Events are small, and each is to arrive when it happens.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
        let mut held = self.metrics.hold(HeldGauge::NewConnection);
        let gave_up = Arc::new(AtomicBool::new(false));
        let _slow = Slow { gave_up: gave_up.clone(), metrics: self.metrics.clone() };
        let io = TokioIo::new(Patient::new(stream, self.limits.write_timeout, gave_up));
        let first_request = Arc::new(Notify::new());
        let service = service_fn({
            let (router, peer, first_request) = (self.router, self.peer, first_request.clone());
            let lifecycle = self.lifecycle.clone();
            move |request: Request<Incoming>| {
                first_request.notify_one();
                let (router, lifecycle) = (router.clone(), lifecycle.clone());
                async move {
                    let mut request = request.map(axum::body::Body::new);
                    request.extensions_mut().insert(ConnectInfo(peer));
                    let http_2 = request.version() == Version::HTTP_2;
                    let Ok(mut response) = router.oneshot(request).await;
                    if lifecycle.stage() > Stage::Serving && !http_2 {
                        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(response)
                }
            }
        });
        let builder = builder(self.limits);
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));

        // While it finds out which HTTP is spoken, hyper-util does not watch the time.
        let began = tokio::time::timeout(self.limits.header_timeout, first_request.notified());
        tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            () = self.lifecycle.reached(Stage::Draining) => {}
            began = began => {
                if began.is_err() {
                    tracing::debug!(peer = %self.peer, "no request came in time");
                    return;
                }
                held = self.metrics.hold(HeldGauge::Connection);
            }
        }
        tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            () = self.lifecycle.reached(Stage::Draining) => {}
        }
        connection.as_mut().graceful_shutdown();
        log_end(connection.await);
        drop(held);
    }
}

/// Counts a connection that was given up because its client did not read, when it is over.
struct Slow {
    gave_up: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Drop for Slow {
    fn drop(&mut self) {
        if self.gave_up.load(Ordering::Acquire) {
            self.metrics.slow_client_closed();
        }
    }
}

fn builder(limits: ConnectionLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_header_list_size(MAX_HEAD as u32)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

fn log_end(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use super::{Addresses, OVERLOADED};

    #[test]
    fn an_address_has_so_many_connections_and_no_more() {
        let addresses = Addresses { most: 2, open: Default::default() };
        let enter = |address: &str| addresses.enter(address.parse().unwrap());
        let first = enter("192.0.2.1").unwrap();
        let _second = enter("::ffff:192.0.2.1").expect("it is the same address, written for IPv6");
        assert!(enter("192.0.2.1").is_none());
        let _others = [enter("192.0.2.2").unwrap(), enter("2001:db8::1").unwrap(), enter("2001:db8::ffff:2").unwrap()];
        assert!(enter("2001:db8::3").is_none(), "the network is the same");
        drop(first);
        let third = enter("192.0.2.1").unwrap();
        drop((third, _second, _others));
        assert!(addresses.open.lock().unwrap().is_empty());
    }

    #[test]
    fn the_refusal_has_the_length_that_it_says() {
        let text = std::str::from_utf8(OVERLOADED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let problem: x0_openapi::Problem = serde_json::from_str(body).unwrap();
        assert_eq!(problem.code, x0_openapi::ErrorCode::Overloaded);
    }
}
