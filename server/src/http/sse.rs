//! A generation's events as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream, Stream};
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use uuid::Uuid;
use x0_openapi::{ErrorCode, Event, ShutdownEvent};

use super::error::ApiError;
use crate::app::AppState;
use crate::auth::{Allowance, Caller, Hold};
use crate::generation::{CancelOnDrop, EventId};
use crate::metrics::{Held, HeldGauge, Metrics};
use crate::shutdown::{Lifecycle, Stage};
use crate::store::{Delivery, Followed};

/// A client that has lost its connection waits this long before it comes back.
const RETRY: Duration = Duration::from_secs(2);
/// The same, when the server stops.
const RETRY_AFTER_SHUTDOWN: Duration = Duration::from_secs(1);
/// When it may be worth asking for a stream again: some other one has to end.
const RETRY_TOO_MANY: Duration = Duration::from_secs(5);
/// A comment is sent when nothing else was for so long, so that both ends notice when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How a surface tells of what happens to a generation.
pub trait Narrator: Send + 'static {
    /// The event that tells of a delivery; `None` for what the surface says nothing of.
    fn tell(&mut self, delivery: &Delivery) -> Option<sse::Event>;

    /// What is said instead of the end when the server stops.
    fn stopping(&mut self) -> Option<sse::Event>;
}

/// Answers with the stream of a generation, from the fact `after` on. `cancel` is dropped when the client goes away.
pub async fn stream(
    (app, caller): (&AppState, &Caller),
    id: Uuid,
    after: Option<EventId>,
    cancel: CancelOnDrop,
    narrator: impl Narrator,
) -> Result<Response, ApiError> {
    let permit = app.streams.clone().try_acquire_owned().map_err(|error| match error {
        TryAcquireError::NoPermits | TryAcquireError::Closed => {
            too_many("as many event streams are open as this server allows")
        }
    })?;
    let share = caller.allowance().map(Allowance::stream).transpose();
    let share = share
        .map_err(|limit| too_many(&format!("as many of this key's event streams are open as it may have ({limit})")))?;
    let followed = app.generations.of(caller).follow(id, after).await?.ok_or_else(ApiError::job_not_found)?;
    let Followed::Stream(deliveries) = followed else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let stream = EventStream {
        narrator,
        deliveries,
        cancel,
        lifecycle: app.lifecycle.clone(),
        metrics: app.metrics.clone(),
        _share: (permit, share),
        _held: app.metrics.hold(HeldGauge::Stream),
    };
    let headers = [
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        // nginx would collect the events before it passes them on.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let events = Sse::new(stream.events()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok((headers, events).into_response())
}

fn too_many(detail: &str) -> ApiError {
    ApiError::new(ErrorCode::TooManyStreams, detail).retry_after(RETRY_TOO_MANY)
}

/// An open stream, and what it holds while it is open.
struct EventStream<N> {
    narrator: N,
    deliveries: BoxStream<'static, Delivery>,
    /// Cancels the generation when the client goes away.
    cancel: CancelOnDrop,
    lifecycle: Lifecycle,
    metrics: Metrics,
    /// This stream's share of the streams that may be open: the server's, and its caller's.
    _share: (OwnedSemaphorePermit, Option<Hold>),
    _held: Held,
}

impl<N: Narrator> EventStream<N> {
    fn events(self) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send + 'static {
        stream::unfold(Some(self), |stream| async {
            let mut stream = stream?;
            loop {
                let (event, last) = stream.next().await?;
                match event {
                    Some(event) => return Some((Ok(event), (!last).then_some(stream))),
                    None if last => return None,
                    None => {}
                }
            }
        })
    }

    /// What is said of the next delivery, and whether it is the last.
    async fn next(&mut self) -> Option<(Option<sse::Event>, bool)> {
        let delivery = tokio::select! {
            // What has happened already goes out before the news that the server stops.
            biased;
            delivery = self.deliveries.next() => delivery?,
            () = self.lifecycle.reached(Stage::Closing) => {
                self.cancel.disarm();
                return Some((self.narrator.stopping(), true));
            }
        };
        let last = matches!(*delivery.event, Event::Succeeded(_) | Event::Failed(_) | Event::Cancelled(_));
        if last {
            self.cancel.disarm();
        }
        let event = self.narrator.tell(&delivery);
        if event.is_some() {
            self.metrics.event_sent(delivery.event.name());
        }
        Some((event, last))
    }
}

/// Tells everything, in our own words.
#[derive(Debug)]
pub struct Native;

impl Narrator for Native {
    fn tell(&mut self, delivery: &Delivery) -> Option<sse::Event> {
        let mut event = written(&delivery.event)?;
        if let Some(id) = delivery.id {
            event = event.id(id.to_string());
        }
        if matches!(*delivery.event, Event::Snapshot(_)) {
            event = event.retry(RETRY);
        }
        Some(event)
    }

    fn stopping(&mut self) -> Option<sse::Event> {
        let event = Event::Shutdown(ShutdownEvent { message: "the server is stopping".to_owned() });
        Some(written(&event)?.retry(RETRY_AFTER_SHUTDOWN))
    }
}

fn written(event: &Event) -> Option<sse::Event> {
    // The wire types have string keys only, so they can always be written as JSON.
    sse::Event::default().event(event.name()).json_data(event).ok()
}
