//! Many generations at once.

use futures::future::join_all;
use serde_json::{Value, json};
use x0_tests::Server;

const CLASSES: [&str; 5] = ["sneaker", "bag", "dress", "ankle boot", "trouser"];
const GUIDANCE: [f64; 3] = [1.0, 2.0, 4.0];
const SAMPLERS: [&str; 4] = ["ddim", "ddpm", "euler", "dpmpp_2m"];

/// Requests that differ in everything that may differ within a batch.
fn mixed(count: u64) -> Vec<Value> {
    let request = |i: u64| {
        json!({
            "model": "fashion",
            "class_label": CLASSES[i as usize % CLASSES.len()],
            "sampler": SAMPLERS[i as usize % SAMPLERS.len()],
            "steps": 4 + i % 7,
            "guidance_scale": GUIDANCE[i as usize % GUIDANCE.len()],
            "seed": 1000 + i,
        })
    };
    (0..count).map(request).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_at_once_are_as_each_alone() {
    let server = Server::start();
    let requests = mixed(64);
    let mut alone = Vec::new();
    for request in &requests {
        alone.push(server.picture(request).await);
    }
    let (calls, shared) = calls(&server.text("/metrics").await);
    assert_eq!(shared, 0.0, "one after another, nobody shares a call");

    let together = join_all(requests.iter().map(|request| server.picture(request))).await;
    for ((request, alone), together) in requests.iter().zip(&alone).zip(&together) {
        assert!(alone == together, "{request} differs in company");
    }
    let (calls_after, shared_after) = self::calls(&server.text("/metrics").await);
    assert!(shared_after > 0.0, "some calls were shared");
    assert!(calls_after - calls < calls, "together they take fewer calls: {} instead of {calls}", calls_after - calls);
}

/// Model calls so far, and those of them that more than one image shared.
fn calls(metrics: &str) -> (f64, f64) {
    let value = |start: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let all = value("x0_batch_size_count{model=\"fashion\"}");
    (all, all - value("x0_batch_size_bucket{model=\"fashion\",le=\"1\"}"))
}
