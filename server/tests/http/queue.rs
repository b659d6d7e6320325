//! Accepting: how much, and how often the same.

use std::time::Duration;

use serde_json::json;

use crate::harness::{TestServer, within};

#[tokio::test]
async fn a_full_queue_refuses_and_says_when_to_come_back() {
    let server = TestServer::start_held(|config| config.queue_size = 2).await;
    let body = json!({"class_label": 0});
    let first = server.accept(&body).await;
    server.accept(&body).await;
    let answer = within(server.post(&body).send()).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "queue_full");
    assert_eq!(server.json("/v1/generations").await["data"].as_array().unwrap().len(), 2, "nothing is left of it");
    server.metric(r#"x0_jobs_rejected_total{reason="queue_full"} 1"#).await;
    server.metric("x0_queue_capacity 2").await;
    assert_eq!(server.json("/readyz").await["queue"]["capacity"], 2);

    server.gate.open();
    server.state(&first, "succeeded").await;
    server.finish(&body).await;
}

#[tokio::test]
async fn a_key_makes_one_generation() {
    let server = TestServer::start().await;
    let post = |body: &serde_json::Value, key: &str| server.post(body).header("idempotency-key", key);
    let body = json!({"class_label": 0, "n": 2});
    let first = within(post(&body, "a").send()).await.unwrap();
    assert_eq!((first.status().as_u16(), first.headers().contains_key("idempotency-replayed")), (202, false));
    let id = first.json::<serde_json::Value>().await.unwrap()["id"].clone();

    let again = within(post(&json!({"n": 2, "class_label": 0}), "a").header("prefer", "wait=30").send()).await.unwrap();
    assert_eq!((again.status().as_u16(), &again.headers()["idempotency-replayed"]), (200, &"true".parse().unwrap()));
    assert_eq!(again.json::<serde_json::Value>().await.unwrap()["id"], id);

    let (status, problem) = server.answer(post(&json!({"class_label": 1}), "a")).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("idempotency_mismatch")));
    let picture = json!({"class_label": 0});
    for (accept, status) in [("image/png", 200), ("image/jpeg", 406), ("image/*", 200)] {
        let again = server.post(&picture).header("idempotency-key", "p").header("accept", accept);
        let answer = within(again.send()).await.unwrap();
        assert_eq!(answer.status(), status, "{accept}, when it was made as PNG");
    }
    let (_, other) = server.answer(post(&body, "b")).await;
    assert_ne!(other["id"], id);
    for key in ["", "\u{fc}", &"k".repeat(256)] {
        let (status, problem) = server.answer(post(&body, key)).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("invalid_idempotency_key")), "{key}");
    }
}

#[tokio::test]
async fn finished_generations_are_forgotten_in_the_end() {
    let server = TestServer::start_with(|config| {
        config.store.generations = 2;
        config.store.age = Duration::from_secs(3600);
    })
    .await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(server.finish(&json!({"class_label": 0})).await["id"].as_str().unwrap().to_owned());
    }
    let known = server.json("/v1/generations").await["data"].as_array().unwrap().len();
    assert_eq!(known, 2);
    for path in ["", "/events", "/images/0"] {
        assert_eq!(server.get(&format!("/v1/generations/{}{path}", ids[0])).await.status(), 404);
        assert_eq!(server.get(&format!("/v1/generations/{}{path}", ids[3])).await.status(), 200);
    }
}
