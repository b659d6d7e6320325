//! What one process leaves, the next one takes up.

use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use x0_engine::Policy;
use x0_server::auth::Limits;
use x0_server::shutdown::Stopped;

use crate::harness::{Keys, NO_LIMITS, TestServer, base64_picture, within};

/// Stops a server in the middle of a model call.
async fn interrupt(mut server: TestServer) {
    server.held().await;
    server.begin_to_stop();
    server.is_deaf().await;
    // The call under way ends; the next is not made.
    server.gate.let_pass(1);
    assert_eq!(server.has_stopped().await, Stopped::Asked);
}

/// Where a generation's picture is.
fn picture_of(id: &str) -> String {
    format!("/v1/generations/{id}/images/0")
}

#[tokio::test]
async fn what_a_stop_interrupts_is_finished_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder.path()).await;
    let body = json!({"class_label": 1, "steps": 3, "seed": 5});
    let mut events = server.follow(&body).await;
    let id = events.until("snapshot").await.data["id"].as_str().unwrap().to_owned();
    let mut last = events.until("started").await.id;
    assert_eq!(last.as_deref(), Some("1.2"));
    let waits = server.accept(&json!({"model": "words", "prompt": "later"})).await;
    let waiting = tokio::spawn(server.post(&body).header("prefer", "wait=30").send());
    server.metric(r#"x0_jobs_submitted_total{model="toy",priority="normal"} 2"#).await;
    interrupt(server).await;
    // Nothing has failed: who watched is told to come back, and who waited has the record.
    for event in events.rest().await {
        last = event.id.or(last);
        assert_ne!(event.name, "failed");
    }
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status(), 202);
    let waited = answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();

    let server = TestServer::start_in(folder.path()).await;
    server.gate.open();
    let seen: Vec<_> = server.events(&id, last.as_deref()).await.rest().await.into_iter().collect();
    let facts: Vec<_> = seen.iter().filter(|event| event.id.is_some()).map(|event| event.line()).collect();
    assert_eq!(
        facts,
        ["2.1 queued 0", "2.2 started", "2.3 image 0 seed 5", "2.4 succeeded (succeeded, 1 images)"],
        "the stream goes on where it broke off"
    );
    for id in [&waits, &waited] {
        server.state(id, "succeeded").await;
    }
    server.metric(r#"x0_jobs_resumed_total{model="toy"} 2"#).await;
    let picture = server.get(&picture_of(&id)).await.bytes().await.unwrap();
    assert_eq!(picture.to_vec(), server.picture(&body).await, "the picture is the same as ever");
    server.stopped().await;

    // And what is finished stays.
    let server = TestServer::start_in(folder.path()).await;
    assert_eq!(server.get(&picture_of(&id)).await.bytes().await.unwrap(), picture);
    assert_eq!(server.json("/v1/generations").await["data"].as_array().unwrap().len(), 4);
    server.stopped().await;
}

#[tokio::test]
async fn pictures_that_came_with_a_request_are_kept_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder.path()).await;
    let (init_image, mask_image) = (base64_picture(64, 64, 200), base64_picture(64, 64, 255));
    let body = json!({"prompt": "p", "init_image": init_image, "mask_image": mask_image, "seed": 1,
        "inpaint": {"padding": 4, "blur": 2.5}, "output": {"format": "webp"}});
    let (_, before) = server.answer(server.post(&body)).await;
    interrupt(server).await;

    let server = TestServer::start_in(folder.path()).await;
    server.gate.open();
    let record = server.state(before["id"].as_str().unwrap(), "succeeded").await;
    assert_eq!(record["request"], before["request"]);
    server.stopped().await;
}

#[tokio::test]
async fn what_cannot_be_taken_up_fails_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder.path()).await;
    let id = server.accept(&json!({"class_label": 1, "steps": 40})).await;
    interrupt(server).await;
    let server = TestServer::start_with(|config| {
        config.data_dir = Some(folder.path().to_owned());
        config.limits.steps = 20;
    })
    .await;
    let record = server.state(&id, "failed").await;
    assert_eq!(record["error"]["code"], "out_of_range");
    server.metric(r#"x0_jobs_finished_total{model="toy",outcome="failed"} 1"#).await;
    server.stopped().await;
}

/// What a request does not say is within the limits, too: it is said in what is remembered of it.
#[tokio::test]
async fn what_a_limit_shortened_is_taken_up_under_the_same_limit() {
    let folder = tempfile::tempdir().unwrap();
    let limited = async || {
        TestServer::start_held(|config| {
            config.data_dir = Some(folder.path().to_owned());
            config.shutdown.drain = Duration::ZERO;
            (config.limits.steps, config.limits.guidance_scale) = (2, 1.5);
        })
        .await
    };
    let server = limited().await;
    let defaults = server.json("/v1/models/toy").await["defaults"].clone();
    assert_eq!((&defaults["steps"], &defaults["guidance_scale"]), (&json!(2), &json!(1.5)));
    let id = server.accept(&json!({"class_label": 1})).await;
    interrupt(server).await;
    let server = limited().await;
    server.gate.open();
    let record = server.state(&id, "succeeded").await;
    assert_eq!((&record["request"]["steps"], &record["request"]["guidance_scale"]), (&json!(2), &json!(1.5)));
    let hd = json!({"model": "toy", "prompt": "one", "quality": "hd"});
    let (status, answer) = server.answer(server.request(Method::POST, "/v1/images/generations").json(&hd)).await;
    assert_eq!(status, 200, "{answer}");
    server.stopped().await;
}

#[tokio::test]
async fn what_is_taken_up_has_its_place_in_its_keys_part_of_the_queue() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let key = keys.add("someone", "generate,read");
    let start = async || {
        let limits = Limits { queue_size: Some(2), ..NO_LIMITS };
        let server = keys
            .server_with(limits, |config| {
                config.data_dir = Some(folder.path().to_owned());
                config.shutdown.drain = Duration::ZERO;
            })
            .await;
        server.gate.shut();
        server
    };
    let body = json!({"class_label": 1, "steps": 500});
    let post = |server: &TestServer| server.post(&body).bearer_auth(&key);
    let server = start().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(server.answer(post(&server)).await.1["id"].as_str().unwrap().to_owned());
    }
    interrupt(server).await;

    let server = start().await;
    let (status, problem) = server.answer(post(&server)).await;
    assert_eq!((status, &problem["code"]), (429, &json!("queue_quota")));
    let cancel = |id: &str| server.request(Method::DELETE, &format!("/v1/generations/{id}")).bearer_auth(&key);
    for id in &ids {
        within(cancel(id).send()).await.unwrap();
    }
    server.gate.open();
    within(async { while server.answer(post(&server)).await.0 != 202 {} }).await;
    server.stopped().await;
}

/// Two generations are under way when the device is lost, by the first one's fault. Gives their ids, oldest first.
async fn lose_device(folder: &std::path::Path) -> [String; 2] {
    let mut server = TestServer::start_held(|config| {
        config.data_dir = Some(folder.to_owned());
        config.policy = Policy::FixedBatch(NonZeroU32::new(2).unwrap());
    })
    .await;
    // It keeps the engine busy until the others are there, which then begin together.
    server.accept(&json!({"prompt": "p", "steps": 1})).await;
    server.held().await;
    let guilty = server.accept(&json!({"prompt": "device lost"})).await;
    let innocent = server.accept(&json!({"prompt": "p"})).await;
    server.gate.let_pass(1);
    for id in [&guilty, &innocent] {
        server.state(id, "running").await;
    }
    let events = server.events(&innocent, None).await;
    server.gate.open();
    assert_eq!(server.has_stopped().await, Stopped::DeviceLost);
    let events = events.rest().await;
    assert_eq!(events.last().unwrap().name, "shutdown", "the innocent one has not failed");
    [guilty, innocent]
}

#[tokio::test]
async fn what_breaks_the_device_is_tried_three_times_and_takes_nobody_along() {
    let folder = tempfile::tempdir().unwrap();
    let [guilty, innocent] = lose_device(folder.path()).await;
    for _ in 0..2 {
        let mut server = TestServer::start_in(folder.path()).await;
        assert_eq!(server.json(&format!("/v1/generations/{innocent}")).await["state"], "queued");
        server.gate.open();
        assert_eq!(server.has_stopped().await, Stopped::DeviceLost);
    }
    let server = TestServer::start_in(folder.path()).await;
    server.gate.open();
    let record = server.state(&guilty, "failed").await;
    assert_eq!(record["error"]["code"], "too_many_crashes");
    server.state(&innocent, "succeeded").await;
    server.stopped().await;
}

/// Before there is a first step: weights are read there, and texts encoded.
#[tokio::test]
async fn what_breaks_the_device_as_it_begins_is_tried_three_times() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = TestServer::start_in(folder.path()).await;
    let id = server.accept(&json!({"prompt": "device lost at once"})).await;
    assert_eq!(server.has_stopped().await, Stopped::DeviceLost);
    for _ in 0..2 {
        let mut server = TestServer::start_in(folder.path()).await;
        assert_eq!(server.has_stopped().await, Stopped::DeviceLost);
    }
    let server = TestServer::start_in(folder.path()).await;
    assert_eq!(server.state(&id, "failed").await["error"]["code"], "too_many_crashes");
    server.stopped().await;
}

#[tokio::test]
async fn what_was_cancelled_is_not_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = TestServer::start_in(folder.path()).await;
    let id = server.accept(&json!({"prompt": "device lost"})).await;
    server.gate.let_pass(1);
    server.held().await;
    // The step under way does not end before the device is lost in it, so that the cancellation is promised, never done.
    let cancel = server.request(Method::DELETE, &format!("/v1/generations/{id}"));
    let (status, record) = server.answer(cancel).await;
    assert_eq!((status, &record["state"]), (202, &json!("running")));
    server.gate.open();
    assert_eq!(server.has_stopped().await, Stopped::DeviceLost);

    let server = TestServer::start_in(folder.path()).await;
    assert_eq!(server.json(&format!("/v1/generations/{id}")).await["state"], "cancelled");
    server.stopped().await;
}

#[tokio::test]
async fn what_waits_for_its_turn_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let [guilty, innocent] = lose_device(folder.path()).await;
    // The first one stands before the gate; the second waits for its end.
    let server = TestServer::start_in(folder.path()).await;
    server.state(&guilty, "running").await;
    let cancel = server.request(Method::DELETE, &format!("/v1/generations/{innocent}"));
    server.answer(cancel).await;
    server.state(&innocent, "cancelled").await;
    server.metric(r#"x0_jobs_finished_total{model="words",outcome="cancelled"} 1"#).await;
    interrupt(server).await;
}

#[tokio::test]
async fn a_key_finds_what_an_earlier_process_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder.path()).await;
    let ask = |server: &TestServer| server.post(&json!({"class_label": 1})).header("idempotency-key", "k");
    let (_, first) = server.answer(ask(&server)).await;
    interrupt(server).await;
    let server = TestServer::start_in(folder.path()).await;
    let (status, again) = server.answer(ask(&server)).await;
    assert_eq!((status, &again["id"]), (202, &first["id"]));
    server.stopped().await;
}
