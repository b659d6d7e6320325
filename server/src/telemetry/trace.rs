//! Which trace a request belongs to, as W3C's Trace Context says it.

use std::fmt;

use axum::http::HeaderMap;
use tokio::task_local;

const TRACEPARENT: &str = "traceparent";

/// A span of a trace, which may lie in another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    /// Whether the trace is being kept somewhere.
    pub sampled: bool,
}

impl TraceParent {
    /// The span that a request says it comes from; none if it says it wrongly.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(TRACEPARENT)?.to_str().ok()?;
        let mut parts = text.split('-');
        let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version] = bytes(version)?;
        // Later versions may have more parts.
        if version == 0xff || version == 0 && parts.next().is_some() {
            return None;
        }
        let [flags] = bytes(flags)?;
        let this = Self { trace_id: bytes(trace_id)?, span_id: bytes(span_id)?, sampled: flags & 1 == 1 };
        (this.trace_id != [0; 16] && this.span_id != [0; 8]).then_some(this)
    }

    /// The first span of a new trace.
    pub fn random() -> Self {
        let mut this = Self { trace_id: [0; 16], span_id: [0; 8], sampled: false };
        // Without random numbers the trace has no name, which is no reason to answer nobody.
        let _ = getrandom::fill(&mut this.trace_id).and_then(|()| getrandom::fill(&mut this.span_id));
        this
    }

    /// A new span of the same trace.
    pub fn child(self) -> Self {
        Self { span_id: Self::random().span_id, ..self }
    }

    pub fn trace_id(&self) -> String {
        hex::encode(self.trace_id)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id(), hex::encode(self.span_id), u8::from(self.sampled))
    }
}

/// Hexadecimal digits of just this many bytes, in lower case.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

/// What leads from a log line to the request that it is about.
#[derive(Clone, Debug)]
pub struct Trail {
    pub request_id: String,
    pub span: TraceParent,
}

task_local! {
    static TRAIL: Trail;
}

impl Trail {
    /// Lets `work` know that it is done for this request.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        TRAIL.scope(self, work).await
    }

    /// That of the request for which the present task works, if it is one.
    pub fn current() -> Option<Self> {
        TRAIL.try_with(Clone::clone).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<TraceParent> {
        TraceParent::of(&HeaderMap::from_iter([(TRACEPARENT.parse().unwrap(), text.parse().unwrap())]))
    }

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn parents_are_read_as_they_are_written() {
        let text = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let parent = read(&text).unwrap();
        assert_eq!((parent.to_string(), parent.trace_id().as_str(), parent.sampled), (text, TRACE, true));
        assert!(read(&format!("01-{TRACE}-00f067aa0ba902b7-00-more")).is_some(), "of a version that is to come");
        let child = parent.child();
        assert!(child.trace_id == parent.trace_id && child.span_id != parent.span_id);
        assert_ne!(TraceParent::random(), TraceParent::random());
    }

    #[test]
    fn what_is_malformed_is_nothing() {
        for wrong in [
            "",
            TRACE,
            &format!("00-{TRACE}-00f067aa0ba902b7"),
            &format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{TRACE}0-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
