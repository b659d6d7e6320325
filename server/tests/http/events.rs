//! Event streams.

use serde_json::json;

use crate::harness::{Event, TestServer};

fn lines(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::line).collect()
}

#[tokio::test]
async fn a_whole_stream_is_told_in_order() {
    let server = TestServer::start_held(|_| {}).await;
    let body = json!({"class_label": 0, "seed": 7, "steps": 4, "preview": {"every": 2}});
    let mut events = server.follow(&body).await;
    let first = events.next().await.unwrap();
    assert_eq!(first.name, "snapshot");
    server.gate.open();
    let rest = events.rest().await;
    assert_eq!(
        lines(&rest),
        [
            "1.1 queued 0",
            "1.2 started",
            "step 0: 1 of 4",
            "step 0: 2 of 4",
            "preview 0: 2 of 4",
            "step 0: 3 of 4",
            "step 0: 4 of 4",
            "preview 0: 4 of 4",
            "1.3 image 0 seed 7",
            "1.4 succeeded (succeeded, 1 images)",
        ]
    );
    let preview = &rest[4].data;
    assert_eq!((&preview["decoder"], &preview["format"]), (&json!("full"), &json!("png")));
    assert_eq!((&preview["width"], &preview["height"]), (&json!(8), &json!(8)));
    assert_eq!((preview["timestep"].as_f64(), preview["sigma"].is_number()), (Some(499.5), true));
    use base64::Engine as _;
    let file = base64::engine::general_purpose::STANDARD.decode(preview["b64"].as_str().unwrap()).unwrap();
    assert_eq!(image::load_from_memory(&file).unwrap().width(), 8);
}

#[tokio::test]
async fn a_stream_can_be_resumed_at_every_point() {
    let server = TestServer::start().await;
    let body = json!({"class_label": 0, "seed": 1, "n": 3, "steps": 2});
    let whole = server.follow(&body).await.rest().await;
    let id = whole[0].data["id"].as_str().unwrap().to_owned();
    let facts: Vec<Event> = whole.into_iter().filter(|event| event.id.is_some()).collect();
    assert_eq!(facts.len(), 6, "{facts:?}");
    for cut in 0..facts.len() {
        let after = format!("1.{cut}");
        let resumed = server.events(&id, Some(&after)).await.rest().await;
        assert_eq!(resumed[0].name, "snapshot");
        assert_eq!(resumed[1..], facts[cut..], "after {after}");
    }
    for unknown in ["", "garbage", "1.99", "2.1", "\u{fc}"] {
        let resumed = server.events(&id, Some(unknown)).await.rest().await;
        assert_eq!(resumed[1..], facts[..], "{unknown} is as good as none");
    }
    let last = facts.last().unwrap().id.as_deref().unwrap();
    let path = format!("/v1/generations/{id}/events");
    let after_the_end = server.request(reqwest::Method::GET, &path).header("last-event-id", last);
    assert_eq!(server.answer(after_the_end).await.0, 204);
}

#[tokio::test]
async fn a_stream_can_be_resumed_while_the_generation_runs() {
    let server = TestServer::start_held(|_| {}).await;
    let id = server.accept(&json!({"class_label": 0, "steps": 3, "preview": {"every": 1}})).await;
    let mut first = server.events(&id, None).await;
    server.gate.let_pass(2);
    let started = first.until("started").await;
    for step in 1..=2 {
        assert_eq!(first.until("preview").await.data["step"], step);
    }
    drop(first);

    let second = server.events(&id, started.id.as_deref()).await;
    server.held().await;
    server.gate.open();
    let lines = lines(&second.rest().await);
    assert_eq!(lines[..2], ["snapshot (running, 0 images)", "preview 0: 2 of 3"], "the latest preview is shown again");
    assert_eq!(
        lines[2..],
        ["step 0: 3 of 3", "preview 0: 3 of 3", "1.3 image 0 seed", "1.4 succeeded (succeeded, 1 images)"]
            .map(|line| lines.iter().find(|l| l.starts_with(line)).unwrap().as_str())
    );
}

#[tokio::test]
async fn streams_are_counted_and_capped() {
    let server = TestServer::start_held(|config| config.max_streams = 2).await;
    let id = server.accept(&json!({"class_label": 0})).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut events = server.events(&id, None).await;
        assert_eq!(events.next().await.unwrap().name, "snapshot");
        open.push(events);
    }
    let path = format!("/v1/generations/{id}/events");
    let (status, problem) = server.answer(server.request(reqwest::Method::GET, &path)).await;
    assert_eq!((status, problem["code"].as_str()), (429, Some("too_many_streams")));
    server.metric("x0_sse_clients 2").await;
    drop(open.pop());
    server.metric("x0_sse_clients 1").await;
    drop(server.events(&id, None).await);
    server.stopped().await;
}

#[tokio::test]
async fn a_stream_says_how_to_come_back() {
    let server = TestServer::start().await;
    let id = server.accept(&json!({"class_label": 0})).await;
    let answer = server.get(&format!("/v1/generations/{id}/events")).await;
    assert_eq!(answer.headers()["x-accel-buffering"], "no");
    let text = answer.text().await.unwrap();
    let first = text.split("\n\n").next().unwrap();
    assert!(first.starts_with("event: snapshot\n") && first.contains("\nretry: 2000"), "{first}");
    assert!(!first.contains("\nid:"), "a snapshot is no fact");
}
