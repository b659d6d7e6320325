//! One line and one count for every request.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Level;

use super::RequestId;
use crate::metrics::{Held, HeldGauge, Metrics};

/// Asked every few seconds by machines: worth a line only to who looks for it.
const PROBES: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// What nginx logs when the client went away before the answer.
const CLIENT_GONE: u16 = 499;

/// Logs and counts a request when its answer begins, or when the client goes away before.
pub async fn access_log(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let mut line = Line::new(metrics, &request);
    let response = next.run(request).await;
    line.status = response.status().as_u16();
    response
}

/// Written when it is dropped.
struct Line {
    metrics: Metrics,
    _in_flight: Held,
    start: Instant,
    method: &'static str,
    route: String,
    path: String,
    request_id: String,
    peer: Option<SocketAddr>,
    status: u16,
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
            request_id: extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
            peer: extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0),
            status: CLIENT_GONE,
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
            duration_seconds = $duration.as_secs_f64(),
            request_id = $line.request_id,
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
        self.write(duration);
    }
}

/// The method as a label; what nobody defined is all the same.
fn known(method: &Method) -> &'static str {
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
