//! The end of a server.

use std::time::Duration;

use serde_json::json;
use x0_tests::Server;

/// What a container engine grants at the least before it kills.
const GRACE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_ends_at_once() {
    let server = Server::start();
    server.text("/readyz").await;
    assert_eq!(server.terminate(GRACE).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn open_event_streams_do_not_hold_it_up() {
    let server = Server::start_with(&["--drain-timeout", "1s"]);
    let finished = json!({"class_label": "shirt", "steps": 1});
    server.picture(&finished).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        // Together hours of work on this machine.
        let mut events = server.follow(&json!({"class_label": "shirt", "steps": 150, "n": 8})).await;
        events.until("snapshot").await;
        streams.push(events);
    }
    let reading = tokio::spawn(async move {
        let mut last = Vec::new();
        for events in streams {
            last.push(events.rest().await.pop().map(|event| event.name));
        }
        last
    });
    let status = tokio::task::block_in_place(|| server.terminate(GRACE));
    assert_eq!(status.code(), Some(0));
    for last in reading.await.unwrap() {
        let last = last.expect("every stream is told something");
        assert!(["shutdown", "failed", "cancelled"].contains(&last.as_str()), "the last word was {last}");
    }
}
