//! A process that is killed: what it had accepted is finished by the next one.

use serde_json::{Value, json};
use x0_tests::{Event, Server};

/// A generation whose first process was killed while it was watched.
struct Watched {
    id: String,
    request: Value,
    /// What was seen of it, as one client sees it that comes back after each crash.
    seen: Vec<Event>,
}

impl Watched {
    /// The id of the last fact that was seen.
    fn last(&self) -> Option<&str> {
        self.seen.iter().rev().find_map(|event| event.id.as_deref())
    }

    fn has_ended(&self) -> bool {
        self.seen.iter().any(|event| event.name == "succeeded")
    }

    fn facts(&self) -> Vec<(&str, &str)> {
        self.seen.iter().filter_map(|event| Some((event.id.as_deref()?, event.name.as_str()))).collect()
    }
}

fn request(seed: u64) -> Value {
    json!({"class_label": "bag", "seed": seed, "steps": 6, "n": 2, "on_disconnect": "keep"})
}

/// Twice killed at another place each time, from before anything is known of a generation to after its end.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_accepted_is_lost() {
    let mut server = Server::start();
    let mut all: Vec<Watched> = Vec::new();
    for round in 0..6 {
        let mut watched = Vec::new();
        for k in 0..3 {
            let request = request(10 * round + k);
            let answer = server.post(&request, "application/json").await;
            assert_eq!(answer.status(), 202);
            let record: Value = answer.json().await.unwrap();
            watched.push(Watched { id: record["id"].as_str().unwrap().to_owned(), request, seen: Vec::new() });
        }
        for kill in 0..2 {
            for (k, one) in watched.iter_mut().enumerate().filter(|(_, one)| !one.has_ended()) {
                // Of each another number of events is seen.
                let mut events = server.events(&one.id, one.last()).await;
                for _ in 0..(round * 5 + kill * 7 + k as u64 * 3) % 17 {
                    match events.next().await {
                        Some(event) => one.seen.push(event),
                        None => break,
                    }
                }
            }
            server = server.killed_and_started_again();
        }
        for one in &mut watched {
            if !one.has_ended() {
                one.seen.extend(server.events(&one.id, one.last()).await.rest().await);
            }
            // Who came back saw each fact once, in order, and one end; so does who comes only now.
            let whole = server.events(&one.id, None).await.rest().await;
            let expected: Vec<_> =
                whole.iter().filter_map(|event| Some((event.id.as_deref()?, event.name.as_str()))).collect();
            assert_eq!(one.facts(), expected);
            let count = |name| expected.iter().filter(|(_, other)| *other == name).count();
            assert_eq!((count("image"), count("succeeded"), count("failed")), (2, 1, 0), "{expected:?}");
        }
        all.extend(watched);
    }
    // The pictures are those that are made without a crash.
    let calm = Server::start();
    for one in &all {
        let mut first = one.request.clone();
        first["n"] = json!(1);
        let ours =
            server.client().get(server.url(&format!("/v1/generations/{}/images/0", one.id))).send().await.unwrap();
        assert!(ours.bytes().await.unwrap() == calm.picture(&first).await, "{}", one.request);
    }
}

/// A generation that no process here has the time for, and the id of the last fact that was seen of it.
struct Long {
    id: String,
    last: Option<String>,
}

impl Long {
    async fn begin(server: &Server) -> Self {
        let long = json!({"class_label": "bag", "steps": 150, "n": 8});
        let record: Value = server.post(&long, "application/json").await.json().await.unwrap();
        Self { id: record["id"].as_str().unwrap().to_owned(), last: None }
    }

    /// Waits until it is begun once more.
    async fn started(&mut self, server: &Server) {
        let mut events = server.events(&self.id, self.last.as_deref()).await;
        self.last = events.until("started").await.pop().and_then(|event| event.id);
    }
}

/// What kills every process that works on it must not go on for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_is_there_at_three_crashes_is_given_up() {
    let mut server = Server::start();
    let mut long = Long::begin(&server).await;
    for _ in 0..3 {
        long.started(&server).await;
        server = server.killed_and_started_again();
    }
    let end = server.events(&long.id, long.last.as_deref()).await.rest().await.pop().unwrap();
    assert_eq!((end.name.as_str(), &end.data["error"]["code"]), ("failed", &json!("too_many_crashes")));
}

/// As when a container engine's patience ends before the generation does.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_cut_short_is_no_crash() {
    let mut server = Server::start();
    let mut long = Long::begin(&server).await;
    for _ in 0..4 {
        long.started(&server).await;
        server = server.interrupted_and_started_again();
    }
    long.started(&server).await;
}
