//! What operators and generated clients rely on.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use x0_tests::Server;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[tokio::test]
async fn the_committed_document_is_the_one_that_is_served() {
    let server = Server::start();
    let committed: Value =
        serde_json::from_str(&fs::read_to_string(repository().join("openapi/openapi.json")).unwrap()).unwrap();
    assert_eq!(server.json("/openapi.json").await, committed);
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
    let metrics = server.text("/metrics").await;
    for line in [
        "x0_images_generated_total{model=\"fashion\"} 1",
        "x0_jobs_finished_total{model=\"fashion\",outcome=\"succeeded\"} 1",
        "x0_batch_size_count{model=\"fashion\"} 3",
        "x0_batch_size_sum{model=\"fashion\"} 3",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is not in\n{metrics}");
    }
}
