//! How the server stops.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use x0_server::shutdown::Stopped;

use crate::harness::{TestServer, within};

#[tokio::test]
async fn an_idle_server_stops_at_once_whatever_is_open() {
    let mut server = TestServer::start().await;
    server.json("/readyz").await;
    server.begin_to_stop();
    assert_eq!(server.has_stopped().await, Stopped::Asked);
    assert!(server.request(Method::GET, "/livez").send().await.is_err(), "nobody listens");
}

#[tokio::test]
async fn what_was_accepted_is_finished() {
    let mut server = TestServer::start_held(|_| {}).await;
    let body = json!({"class_label": 0, "steps": 3});
    let mut events = server.follow(&body).await;
    events.until("started").await;
    let waiting = tokio::spawn(server.post(&body).header("prefer", "wait=30").send());
    let picture = tokio::spawn(server.post(&body).header("accept", "image/png").send());
    server.metric(r#"x0_jobs_submitted_total{model="toy",priority="normal"} 3"#).await;

    server.begin_to_stop();
    server.gate.open();
    assert_eq!(events.rest().await.last().unwrap().name, "succeeded");
    let record: serde_json::Value = within(waiting).await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(record["state"], "succeeded");
    assert_eq!(within(picture).await.unwrap().unwrap().status(), 200);
    server.has_stopped().await;
}

#[tokio::test]
async fn what_is_not_done_in_time_fails() {
    let mut server = TestServer::start_held(|config| config.shutdown.drain = Duration::ZERO).await;
    let mut events = server.follow(&json!({"class_label": 0, "steps": 1000})).await;
    events.until("started").await;
    server.held().await;
    server.begin_to_stop();
    server.is_deaf().await;
    // The call under way ends; the next is not made.
    server.gate.let_pass(1);
    let last = events.rest().await.pop().unwrap();
    assert_eq!((last.name.as_str(), last.data["error"]["code"].as_str()), ("failed", Some("shutting_down")));
    server.has_stopped().await;
}

#[tokio::test]
async fn a_model_call_that_hangs_holds_up_neither_streams_nor_the_end() {
    let mut server = TestServer::start_held(|config| {
        config.shutdown.drain = Duration::from_millis(50);
        config.shutdown.grace = Duration::from_millis(50);
    })
    .await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut events = server.follow(&json!({"class_label": 0})).await;
        events.until("snapshot").await;
        streams.push(events);
    }
    server.held().await;
    let waiting = tokio::spawn(server.post(&json!({"class_label": 0})).header("prefer", "wait=30").send());
    server.metric(r#"x0_jobs_submitted_total{model="toy",priority="normal"} 21"#).await;
    server.begin_to_stop();
    for events in streams {
        let last = events.rest().await.pop().unwrap();
        assert_eq!(last.name, "shutdown");
    }
    assert_eq!(within(waiting).await.unwrap().unwrap().status(), 202);
    server.has_stopped().await;
    server.gate.open();
}

#[tokio::test]
async fn a_lost_device_fails_what_was_accepted_and_ends_the_server() {
    // Long times, which nobody waits for here: what cannot be finished is not waited for.
    let mut server = TestServer::start_held(|config| {
        config.shutdown.delay = Duration::from_secs(3600);
        config.shutdown.drain = Duration::from_secs(3600);
    })
    .await;
    // The shortest, and of the others' model: the next call has it, whoever else is in it.
    let lost = server.accept(&json!({"prompt": "device lost", "steps": 2})).await;
    let mut events = server.events(&lost, None).await;
    events.until("started").await;
    let other = json!({"prompt": "p", "steps": 900});
    let waiting = server.follow(&other).await;
    let answered = tokio::spawn(server.post(&other).header("prefer", "wait=30").send());
    let picture = tokio::spawn(server.post(&other).header("accept", "image/png").send());
    let openai = json!({"model": "words", "prompt": "p"});
    let openai = tokio::spawn(server.request(Method::POST, "/v1/images/generations").json(&openai).send());
    server.metric(r#"x0_jobs_submitted_total{model="words",priority="normal"} 5"#).await;
    server.gate.open();

    for events in [events, waiting] {
        let last = events.rest().await.pop().unwrap();
        assert_eq!((last.name.as_str(), &last.data["error"]["code"]), ("failed", &json!("device_lost")));
    }
    // From then on it is not ready, and takes nothing, as long as it answers at all.
    for request in [server.request(Method::GET, "/readyz"), server.post(&other)] {
        if let Ok(answer) = within(request.send()).await {
            assert_eq!(answer.status(), 503);
        }
    }
    let record: serde_json::Value = within(answered).await.unwrap().unwrap().json().await.unwrap();
    assert_eq!((&record["state"], &record["error"]["code"]), (&json!("failed"), &json!("device_lost")));
    let picture = within(picture).await.unwrap().unwrap();
    assert_eq!((picture.status().as_u16(), &picture.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    assert_eq!(picture.json::<serde_json::Value>().await.unwrap()["code"], "device_lost");
    let openai = within(openai).await.unwrap().unwrap();
    assert_eq!((openai.status().as_u16(), &openai.headers()["x-should-retry"]), (503, &"true".parse().unwrap()));
    assert_eq!(server.has_stopped().await, Stopped::DeviceLost);
}

#[tokio::test]
async fn a_server_that_leaves_says_so_and_still_serves() {
    let mut server = TestServer::start_with(|config| config.shutdown.delay = Duration::from_secs(3)).await;
    assert_eq!(server.get("/readyz").await.status(), 200);
    server.begin_to_stop();
    let readiness = within(async {
        loop {
            let answer = server.get("/readyz").await;
            if answer.status() == 503 {
                assert_eq!(answer.headers()["connection"], "close");
                return answer.json::<serde_json::Value>().await.unwrap();
            }
        }
    })
    .await;
    assert_eq!((&readiness["ready"], &readiness["reasons"][0]), (&json!(false), &json!("the server is shutting down")));
    assert_eq!(server.get("/livez").await.status(), 200);
    assert_eq!(server.finish(&json!({"class_label": 0})).await["state"], "succeeded");
    server.has_stopped().await;
}
