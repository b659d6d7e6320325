//! One line and one count for every request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tracing::Level;
use x0_openapi::Named as _;

use crate::http::error::ApiError;
use crate::metrics::{Held, HeldGauge, Metrics};

/// Asked every few seconds by machines: worth a line only to who looks for it.
const PROBES: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// What nginx logs when the client went away before the answer.
const CLIENT_GONE: u16 = 499;

/// Logs and counts a request when its answer begins, or when the client goes away before.
pub async fn access_log(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let mut line = Line::new(metrics, &request);
    let request = counted(request, line.received.clone());
    let response = next.run(request).await;
    line.status = response.status().as_u16();
    line.error = response.extensions().get::<ApiError>().map(|error| error.code.name());
    response
}

/// Counts the bytes of a request's body as they are read.
fn counted(request: Request, received: Arc<AtomicU64>) -> Request {
    request.map(|body| {
        let count = move |frame: Frame<Bytes>| {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            received.fetch_add(bytes, Ordering::Relaxed);
            frame
        };
        Body::new(body.map_frame(count))
    })
}

/// Written when it is dropped.
struct Line {
    metrics: Metrics,
    _in_flight: Held,
    start: Instant,
    method: &'static str,
    route: String,
    path: String,
    /// Bytes of the body.
    received: Arc<AtomicU64>,
    peer: Option<SocketAddr>,
    status: u16,
    /// The code of what went wrong.
    error: Option<&'static str>,
}

impl Line {
    fn new(metrics: Metrics, request: &Request) -> Self {
        let extensions = request.extensions();
        Self {
            _in_flight: metrics.hold(HeldGauge::Request),
            metrics,
            start: Instant::now(),
            method: known(request.method()),
            route: extensions.get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned(),
            path: request.uri().path().chars().take(200).collect(),
            received: Arc::default(),
            peer: extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0),
            status: CLIENT_GONE,
            error: None,
        }
    }
}

/// tracing wants the level of a line to be constant.
macro_rules! answered {
    ($level:path, $line:expr, $duration:expr) => {
        tracing::event!(
            target: "x0::access",
            $level,
            method = $line.method,
            path = $line.path,
            route = $line.route,
            status = $line.status,
            error = $line.error,
            duration_seconds = $duration.as_secs_f64(),
            peer = $line.peer.map(tracing::field::display),
            "answered",
        )
    };
}

impl Line {
    fn write(&self, duration: Duration) {
        if PROBES.contains(&self.route.as_str()) {
            answered!(Level::DEBUG, self, duration);
        } else {
            answered!(Level::INFO, self, duration);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let duration = self.start.elapsed();
        self.metrics.http_request(self.method, &self.route, self.status, duration);
        self.metrics.request_body(self.method, self.received.load(Ordering::Relaxed));
        self.write(duration);
    }
}

/// The method as a label; what nobody defined is all the same.
pub(super) fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
