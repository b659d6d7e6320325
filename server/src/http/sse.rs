//! A generation's events as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::header;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream, Stream};
use tokio::sync::OwnedSemaphorePermit;
use x0_openapi::{Event, ShutdownEvent};

use crate::generation::CancelOnDrop;
use crate::metrics::{Held, Metrics};
use crate::shutdown::{Lifecycle, Stage};
use crate::store::Delivery;

/// A client that has lost its connection waits this long before it comes back.
const RETRY: Duration = Duration::from_secs(2);
/// The same, when the server stops.
const RETRY_AFTER_SHUTDOWN: Duration = Duration::from_secs(1);
/// A comment is sent when nothing else was for so long, so that both ends notice when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An open stream, and what it holds while it is open.
pub struct EventStream {
    pub deliveries: BoxStream<'static, Delivery>,
    /// Cancels the generation when the client goes away.
    pub cancel: CancelOnDrop,
    pub lifecycle: Lifecycle,
    pub metrics: Metrics,
    /// This stream's share of the streams that may be open.
    pub permit: OwnedSemaphorePermit,
    pub held: Held,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        let headers = [
            (header::CACHE_CONTROL, "no-cache, no-transform"),
            // nginx would collect the events before it passes them on.
            (header::HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        let events = Sse::new(self.events()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
        (headers, events).into_response()
    }
}

impl EventStream {
    fn events(self) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send + 'static {
        stream::unfold(Some(self), |stream| async {
            let mut stream = stream?;
            let (event, last) = stream.next().await?;
            Some((Ok(event), (!last).then_some(stream)))
        })
    }

    /// The next event, and whether it is the last.
    async fn next(&mut self) -> Option<(sse::Event, bool)> {
        let delivery = tokio::select! {
            // What has happened already goes out before the news that the server stops.
            biased;
            delivery = self.deliveries.next() => delivery?,
            () = self.lifecycle.reached(Stage::Closing) => {
                self.cancel.disarm();
                let event = Event::Shutdown(ShutdownEvent { message: "the server is stopping".to_owned() });
                return Some((self.written(&event)?.retry(RETRY_AFTER_SHUTDOWN), true));
            }
        };
        let last = matches!(*delivery.event, Event::Succeeded(_) | Event::Failed(_) | Event::Cancelled(_));
        if last {
            self.cancel.disarm();
        }
        let mut event = self.written(&delivery.event)?;
        if let Some(id) = delivery.id {
            event = event.id(id.to_string());
        }
        if matches!(*delivery.event, Event::Snapshot(_)) {
            event = event.retry(RETRY);
        }
        Some((event, last))
    }

    fn written(&self, event: &Event) -> Option<sse::Event> {
        self.metrics.event_sent(event.name());
        // The wire types have string keys only, so they can always be written as JSON.
        sse::Event::default().event(event.name()).json_data(event).ok()
    }
}
