//! Cancelling, and clients that go away.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, within};

const LONG: u32 = 500;

fn long() -> Value {
    json!({"class_label": 0, "steps": LONG})
}

async fn cancel(server: &TestServer, id: &str) -> (u16, Value) {
    server.answer(server.request(Method::DELETE, &format!("/v1/generations/{id}"))).await
}

/// Steps that a cancelled generation did.
fn steps(record: &Value) -> u64 {
    assert_eq!(record["state"], "cancelled", "{record}");
    record["progress"]["step"].as_u64().unwrap()
}

#[tokio::test]
async fn a_running_generation_ends_at_the_next_step() {
    let server = TestServer::start_held(|_| {}).await;
    let id = server.accept(&long()).await;
    server.gate.let_pass(3);
    server.held().await;
    let cancelling = cancel(&server, &id);
    let opening = async {
        // The answer waits for the step; it must have been asked for before the gate opens.
        server.metric("x0_http_requests_in_flight 2").await;
        server.gate.open();
    };
    let ((status, record), ()) = tokio::join!(cancelling, opening);
    assert_eq!(status, 200);
    assert!(steps(&record) <= 5, "{record}");
    assert_eq!(cancel(&server, &id).await, (200, record), "the same again does no harm");
    server.metric(r#"x0_jobs_finished_total{model="toy",outcome="cancelled"} 1"#).await;
}

#[tokio::test]
async fn a_step_that_takes_long_does_not_hold_up_the_answer() {
    let server = TestServer::start_held(|_| {}).await;
    let id = server.accept(&long()).await;
    server.held().await;
    let (status, record) = cancel(&server, &id).await;
    assert_eq!((status, record["state"].as_str()), (202, Some("running")));
    server.gate.open();
    assert!(steps(&server.state(&id, "cancelled").await) <= 1);
}

#[tokio::test]
async fn what_waits_or_has_ended_can_be_cancelled_too() {
    let server = TestServer::start_held(|_| {}).await;
    let running = server.accept(&long()).await;
    server.held().await;
    let waiting = server.accept(&json!({"prompt": "another model", "steps": 2})).await;
    cancel(&server, &waiting).await;
    cancel(&server, &running).await;
    server.gate.open();
    assert_eq!(steps(&server.state(&waiting, "cancelled").await), 0);
    server.state(&running, "cancelled").await;

    let done = server.finish(&json!({"class_label": 0})).await;
    let (status, record) = cancel(&server, done["id"].as_str().unwrap()).await;
    assert_eq!((status, &record), (200, &done), "what has ended stays as it ended");
    for unknown in ["0193f0c4-7b1e-7d52-8a52-3f2f0c7f4a10", "no-id"] {
        let (status, problem) = cancel(&server, unknown).await;
        assert_eq!((status, problem["code"].as_str()), (404, Some("job_not_found")));
    }
}

/// Lets a client go away in the middle of an answer of the kind `accept`, and gives what became of its generation.
async fn abandoned(accept: &str, mut body: Value, on_disconnect: Option<&str>) -> Value {
    let server = TestServer::start_held(|_| {}).await;
    if let Some(policy) = on_disconnect {
        body["on_disconnect"] = json!(policy);
    }
    let prefer = if accept == "application/json" { "wait=30" } else { "respond-async" };
    let asking = tokio::spawn(server.post(&body).header("accept", accept).header("prefer", prefer).send());
    server.held().await;
    let id = server.json("/v1/generations").await["data"][0]["id"].as_str().unwrap().to_owned();
    server.gate.let_pass(2);
    server.held().await;
    if accept == "text/event-stream" {
        let mut events = crate::harness::Events::new(within(asking).await.unwrap().unwrap());
        events.until("step").await;
        drop(events);
        server.metric("x0_sse_clients 0").await;
    } else {
        asking.abort();
        server.metric(r#"x0_http_requests_total{method="POST",route="/v1/generations",status="499"} 1"#).await;
    }
    server.gate.open();
    server.events(&id, None).await.rest().await.pop().unwrap().data
}

#[tokio::test]
async fn who_goes_away_while_waiting_cancels() {
    for accept in ["application/json", "image/png", "text/event-stream"] {
        assert!(steps(&abandoned(accept, long(), None).await) <= 3, "{accept}");
    }
}

#[tokio::test]
async fn who_wants_it_kept_may_go_away() {
    for accept in ["application/json", "image/png", "text/event-stream"] {
        let record = abandoned(accept, json!({"class_label": 0, "steps": 5}), Some("keep")).await;
        assert_eq!(record["state"], "succeeded", "{accept}");
    }
}

#[tokio::test]
async fn watching_somebody_elses_generation_is_harmless() {
    let server = TestServer::start_held(|_| {}).await;
    let id = server.accept(&json!({"class_label": 0, "on_disconnect": "cancel"})).await;
    let mut events = server.events(&id, None).await;
    events.until("snapshot").await;
    drop(events);
    server.metric("x0_sse_clients 0").await;
    server.gate.open();
    assert_eq!(server.events(&id, None).await.rest().await.last().unwrap().name, "succeeded");
}
