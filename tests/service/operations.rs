//! What operators and generated clients rely on.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use x0_tests::Server;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[tokio::test]
async fn the_committed_document_is_the_one_that_is_served() {
    let server = Server::start();
    let committed = fs::read_to_string(repository().join("openapi/openapi.json")).unwrap();
    let served = server.text("/openapi.json").await;
    for (number, (served, committed)) in (1..).zip(served.lines().zip(committed.lines())) {
        assert_eq!(served, committed, "line {number}");
    }
    assert_eq!(served.trim_end().len(), committed.trim_end().len());
}

/// Generated clients send the words of the document, and expect no others.
#[tokio::test]
async fn the_words_of_the_document_are_those_on_the_wire() {
    let server = Server::start();
    let document = server.json("/openapi.json").await;
    let words = |name: &str| document["components"]["schemas"][name]["enum"].as_array().expect("a list").clone();
    let record = json!({"class_label": "bag", "steps": 1});
    let post = server.client().post(server.url("/v1/generations")).header("prefer", "wait=60").json(&record);
    let record: Value = post.send().await.unwrap().json().await.unwrap();
    assert!(words("State").contains(&record["state"]));
    assert!(words("Priority").contains(&record["request"]["priority"]));
    assert!(words("OnDisconnect").contains(&record["request"]["on_disconnect"]));
    assert!(words("ImageFormat").contains(&record["images"][0]["format"]));
    let problem: Value = server.post(&json!({"steps": 0}), "application/json").await.json().await.unwrap();
    assert!(words("ErrorCode").contains(&problem["code"]));
    for model in server.json("/v1/models").await["data"].as_array().unwrap() {
        assert!(words("ModelKind").contains(&model["kind"]));
    }
}

#[tokio::test]
async fn the_documentation_works_without_the_internet() {
    let server = Server::start();
    let page = server.text("/docs/").await;
    assert!(page.contains("swagger-ui"));
    for (path, media_type) in [("/docs/swagger-ui-bundle.js", "text/javascript"), ("/docs/swagger-ui.css", "text/css")]
    {
        let answer = server.client().get(server.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with(media_type), "{path}");
    }
}

#[tokio::test]
async fn probes_models_and_samplers_answer() {
    let server = Server::start();
    assert_eq!(server.json("/livez").await["alive"], true);
    assert_eq!(server.json("/readyz").await["ready"], true);
    let models = server.json("/v1/models").await;
    let fashion = models["data"].as_array().unwrap().iter().find(|model| model["id"] == "fashion").unwrap();
    assert_eq!(fashion["classes"].as_array().unwrap().len(), 10);
    assert_eq!(&server.json("/v1/models/fashion").await, fashion);
    let samplers = server.json("/v1/samplers").await;
    assert!(samplers["data"].as_array().unwrap().iter().any(|sampler| sampler["name"] == "ddim"));
}

/// A metric that is renamed would leave an empty panel behind, and nobody would notice.
#[test]
fn dashboards_name_only_metrics_that_exist() {
    let source = fs::read_to_string(repository().join("server/src/metrics.rs")).unwrap();
    let dashboard = fs::read_to_string(repository().join("docker/monitoring/dashboard.json")).unwrap();
    let words = dashboard.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let metrics: Vec<&str> = words.filter(|word| word.starts_with("x0_") || word.starts_with("process_")).collect();
    assert!(metrics.len() > 20);
    for metric in metrics {
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|suffix| metric.strip_suffix(suffix)).unwrap_or(metric);
        assert!(source.contains(&format!("\"{family}\"")), "{metric}");
    }
}

#[tokio::test]
async fn metrics_tell_of_a_generation() {
    let server = Server::start();
    server.picture(&json!({"class_label": "bag", "steps": 3})).await;
    let expected = [
        "x0_images_generated_total{model=\"fashion\"} 1",
        "x0_jobs_finished_total{model=\"fashion\",outcome=\"succeeded\"} 1",
        "x0_batch_size_count{model=\"fashion\"} 3",
        "x0_batch_size_sum{model=\"fashion\"} 3",
    ];
    // The client may have its picture before the last of it is counted.
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let metrics = server.text("/metrics").await;
        let missing = expected.iter().find(|line| !metrics.lines().any(|l| l == **line));
        let Some(missing) = missing else { break };
        assert!(Instant::now() < patience, "{missing} is not in\n{metrics}");
    }
}
