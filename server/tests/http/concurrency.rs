//! Many clients at once.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::harness::TestServer;

/// Requests that differ in everything that may differ.
fn mixed(count: u64) -> Vec<Value> {
    let samplers = ["ddim", "ddpm", "euler", "dpmpp_2m"];
    let scales = [1.0, 2.0, 4.0];
    let request = |i: u64| {
        json!({
            "class_label": i % 3,
            "sampler": samplers[i as usize % samplers.len()],
            "steps": 1 + i % 9,
            "guidance_scale": scales[i as usize % scales.len()],
            "n": 1 + i % 2,
            "seed": i,
        })
    };
    (0..count).map(request).collect()
}

/// The files of all images, in order.
async fn files(server: &TestServer, record: &Value) -> Vec<Vec<u8>> {
    let images = record["images"].as_array().unwrap();
    let urls = images.iter().map(|image| image["url"].as_str().unwrap());
    join_all(urls.map(|url| async { server.get(url).await.bytes().await.unwrap().to_vec() })).await
}

/// Makes a request by one of three ways, and gives its finished record.
async fn make(server: &TestServer, way: usize, request: &Value) -> Value {
    match way % 3 {
        0 => server.finish(request).await,
        1 => server.follow(request).await.rest().await.pop().unwrap().data,
        _ => {
            let id = server.accept(request).await;
            server.events(&id, None).await.rest().await.pop().unwrap().data
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_at_once_are_as_each_alone() {
    let server = TestServer::start().await;
    let requests = mixed(64);
    let together = join_all(requests.iter().enumerate().map(|(way, request)| make(&server, way, request))).await;
    for (request, together) in requests.iter().zip(&together) {
        assert_eq!(together["state"], "succeeded", "{request}");
        let alone = server.finish(request).await;
        assert_eq!(files(&server, together).await, files(&server, &alone).await, "{request}");
    }
    server.metric(r#"x0_jobs_finished_total{model="toy",outcome="succeeded"} 128"#).await;
}
