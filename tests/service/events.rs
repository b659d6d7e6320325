//! Watching a picture being made.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use x0_tests::{Event, Events, Pixels, Server};

fn names<'a>(events: &'a [Event], except: &[&str]) -> Vec<&'a str> {
    events.iter().map(|event| event.name.as_str()).filter(|name| !except.contains(name)).collect()
}

#[tokio::test]
async fn previews_converge_to_the_picture() {
    let server = Server::start();
    let request =
        json!({"model": "fashion", "class_label": "sneaker", "seed": 7, "steps": 25, "preview": {"every": 5}});
    let events = server.follow(&request).await.rest().await;
    let facts = names(&events, &["queued", "step"]);
    assert_eq!(facts[..2], ["snapshot", "started"]);
    assert_eq!(facts[2..], ["preview", "preview", "preview", "preview", "preview", "image", "succeeded"]);

    let image = events.iter().find(|event| event.name == "image").unwrap();
    let file = server.client().get(server.url(image.data["url"].as_str().unwrap())).send().await.unwrap();
    let picture = Pixels::decode(&file.bytes().await.unwrap());

    let previews: Vec<&Event> = events.iter().filter(|event| event.name == "preview").collect();
    let mut distances = Vec::new();
    for (preview, step) in previews.iter().zip([5, 10, 15, 20, 25]) {
        assert_eq!(preview.data["step"], step);
        assert_eq!(preview.data["steps"], 25);
        assert_eq!(preview.data["index"], 0);
        let pixels = Pixels::decode(&BASE64.decode(preview.data["b64"].as_str().unwrap()).unwrap());
        assert_eq!((preview.data["width"].as_u64(), preview.data["height"].as_u64()), (Some(28), Some(28)));
        distances.push(pixels.distance(&picture));
    }
    assert!(distances.is_sorted_by(|a, b| a > b), "each preview is nearer to the picture: {distances:?}");
    assert!(distances[0] > 5.0 && distances[4] < 1.0, "from far away to nearly the same: {distances:?}");
    for label in ["timestep", "sigma"] {
        let values: Vec<f64> = previews.iter().map(|preview| preview.data[label].as_f64().unwrap()).collect();
        assert!(values.is_sorted_by(|a, b| a > b), "{label} falls: {values:?}");
    }
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed() {
    let server = Server::start();
    let mut events = server.follow(&json!({"class_label": "dress", "steps": 8, "on_disconnect": "keep"})).await;
    let before = events.until("started").await;
    drop(events);
    let id = before[0].data["id"].as_str().unwrap();
    let last = before.last().unwrap().id.clone().expect("facts have an id");
    let url = server.url(&format!("/v1/generations/{id}/events"));
    let answer = server.client().get(&url).header("last-event-id", &last).send().await.unwrap();
    let after = Events::of(answer).rest().await;
    let facts = names(&after, &["step", "preview"]);
    assert_eq!(facts, ["snapshot", "image", "succeeded"], "the snapshot, then only what came after {last}");

    let late = Events::of(server.client().get(&url).send().await.unwrap()).rest().await;
    let durable = |events: &[Event]| events.iter().filter(|event| event.id.is_some()).cloned().collect::<Vec<_>>();
    let heard: Vec<Event> = [durable(&before), durable(&after)].concat();
    let ids = |events: Vec<Event>| events.into_iter().map(|event| (event.id, event.name)).collect::<Vec<_>>();
    assert_eq!(ids(heard), ids(durable(&late)), "an interrupted stream and a whole one tell the same facts");
}

#[tokio::test]
async fn a_generation_can_be_cancelled_while_it_runs() {
    let server = Server::start();
    let mut events = server.follow(&json!({"class_label": "coat", "steps": 150, "n": 8})).await;
    let before = events.until("step").await;
    let url = server.url(&format!("/v1/generations/{}", before[0].data["id"].as_str().unwrap()));
    for _ in 0..2 {
        assert!(server.client().delete(&url).send().await.unwrap().status().is_success());
    }
    let after = events.rest().await;
    assert_eq!(after.last().unwrap().name, "cancelled");
    assert!(after.iter().filter(|event| event.name == "step").count() < 150, "the steps left are not done");
    let record: serde_json::Value = server.client().get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(record["state"], "cancelled");
}
