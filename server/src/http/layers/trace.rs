//! The span of a request: what every line of the log that is about it has in common.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, error_span};

use super::RequestId;
use crate::telemetry::{TraceParent, Trail, adopt};

/// As the second level of W3C's Trace Context has it.
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// Opens a span around the request, of the trace that `traceparent` names or of a new one, and sends back which it is.
pub async fn trace(request: Request, next: Next) -> Response {
    let given = TraceParent::of(request.headers());
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    // Of the highest level, so that it is there whatever is filtered.
    let span = error_span!(
        "request",
        request_id,
        trace_id = Empty,
        key_id = Empty,
        generation = Empty,
        otel.name = Empty,
        otel.kind = Empty
    );
    if cfg!(feature = "otlp") {
        // Before it is adopted: with that it begins, and what it is called is settled.
        let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
        span.record("otel.name", format!("{} {route}", super::access_log::known(request.method())));
        span.record("otel.kind", "server");
    }
    let own = adopt(&span, given).unwrap_or_else(|| given.map_or_else(TraceParent::random, TraceParent::child));
    span.record("trace_id", display(own.trace_id()));
    let trail = Trail { request_id, span: own };
    let mut response = trail.scope(next.run(request)).instrument(span).await;
    if let Ok(value) = HeaderValue::try_from(own.to_string()) {
        response.headers_mut().insert(TRACERESPONSE, value);
    }
    response
}
