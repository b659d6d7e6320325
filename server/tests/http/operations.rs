//! What operators and browsers ask.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, within};

#[tokio::test]
async fn models_and_samplers_are_described() {
    let server = TestServer::start().await;
    let models = server.json("/v1/models").await;
    let toy = &models["data"][0];
    assert_eq!((&toy["id"], &toy["object"], &toy["owned_by"]), (&json!("toy"), &json!("model"), &json!("x0")));
    assert_eq!(
        (&toy["kind"], &toy["default"], &toy["loaded"]),
        (&json!("class_conditional"), &json!(true), &json!(true))
    );
    assert_eq!(toy["classes"], json!(["Zero", "one", "two words"]));
    assert_eq!(toy["size"], json!({"default_width": 8, "default_height": 8, "multiple": 1, "fixed": true}));
    assert_eq!(toy["preview_decoders"], json!(["full"]));
    assert_eq!(&server.json("/v1/models/toy").await, toy);
    let (status, problem) = server.answer(server.request(Method::GET, "/v1/models/..%2f..%2fetc%2fpasswd")).await;
    assert_eq!((status, problem["code"].as_str()), (404, Some("model_not_found")));

    let samplers = server.json("/v1/samplers").await;
    let ddim = samplers["data"].as_array().unwrap().iter().find(|sampler| sampler["name"] == "ddim").unwrap();
    assert!(ddim["options"].as_array().unwrap().iter().any(|option| option["name"] == "eta"), "{ddim}");
    for sampler in samplers["data"].as_array().unwrap() {
        let record = server.finish(&json!({"class_label": 0, "sampler": sampler["label"]})).await;
        assert_eq!(record["request"]["sampler"], sampler["name"]);
    }
}

#[tokio::test]
async fn probes_answer() {
    let server = TestServer::start().await;
    assert_eq!(server.json("/livez").await, json!({"alive": true, "version": env!("CARGO_PKG_VERSION")}));
    let ready = json!({"ready": true, "reasons": [], "queue": {"waiting": 0, "running": 0, "capacity": 256}});
    assert_eq!(server.json("/readyz").await, ready);
}

#[tokio::test]
async fn a_hanging_model_call_is_noticed() {
    let server = TestServer::start_held(|config| config.step_timeout = std::time::Duration::from_millis(1)).await;
    assert_eq!(server.get("/livez").await.status(), 200, "an idle engine is alive");
    server.accept(&json!({"class_label": 0})).await;
    within(async { while server.get("/livez").await.status() == 200 {} }).await;
    server.gate.open();
    within(async { while server.get("/livez").await.status() == 503 {} }).await;
}

#[tokio::test]
async fn metrics_tell_of_a_generation() {
    let server = TestServer::start().await;
    server.finish(&json!({"class_label": 0, "steps": 3, "n": 2})).await;
    for line in [
        r#"x0_jobs_submitted_total{model="toy",priority="normal"} 1"#,
        r#"x0_jobs_finished_total{model="toy",outcome="succeeded"} 1"#,
        r#"x0_images_generated_total{model="toy"} 2"#,
        r#"x0_batch_size_sum{model="toy"} 6"#,
        r#"x0_job_queue_wait_seconds_count{model="toy",priority="normal"} 1"#,
        r#"x0_http_requests_total{method="POST",route="/v1/generations",status="200"} 1"#,
        r#"x0_model_loaded{model="words"} 0"#,
        "x0_engine_up 1",
        "x0_ready 1",
    ] {
        server.metric(line).await;
    }
}

#[tokio::test]
async fn strange_requests_make_no_new_series() {
    let server = TestServer::start().await;
    let series = async || server.get("/metrics").await.text().await.unwrap().lines().count();
    server.get("/nowhere").await;
    server.request(Method::from_bytes(b"BREW").unwrap(), "/livez").send().await.unwrap();
    series().await;
    let before = series().await;
    for i in 0..200 {
        server.get(&format!("/nowhere/{i}")).await;
        let method = Method::from_bytes(format!("BREW{i}").as_bytes()).unwrap();
        server.request(method, "/livez").send().await.unwrap();
        server.answer(server.post(&json!({"model": format!("m{i}")}))).await;
    }
    assert!(series().await <= before + 25, "{before} series before");
}

#[tokio::test]
async fn every_answer_has_the_requests_name() {
    let server = TestServer::start().await;
    let answer = server.get("/livez").await;
    assert_eq!(answer.headers()["x-request-id"].len(), 36);
    let named = server.request(Method::GET, "/v1/generations/x").header("x-request-id", "mine-1").send().await.unwrap();
    assert_eq!(named.headers()["x-request-id"], "mine-1");
    assert_eq!(named.json::<Value>().await.unwrap()["request_id"], "mine-1");
    let long = "x".repeat(200);
    let unnamed = server.request(Method::GET, "/livez").header("x-request-id", long).send().await.unwrap();
    assert_eq!(unnamed.headers()["x-request-id"].len(), 36);
}

#[tokio::test]
async fn pages_of_other_origins_are_not_served() {
    let server = TestServer::start().await;
    let body = json!({"class_label": 0});
    let (status, problem) = server.answer(server.post(&body).header("origin", "http://evil.example")).await;
    assert_eq!((status, problem["code"].as_str()), (403, Some("cross_origin")));
    let (status, _) = server.answer(server.post(&body).header("origin", &server.base)).await;
    assert_eq!(status, 202);
    let read = server.request(Method::GET, "/v1/models").header("origin", "http://evil.example").send().await.unwrap();
    assert_eq!(read.status(), 200);
    assert!(!read.headers().contains_key("access-control-allow-origin"), "which no such page can read");
}

#[tokio::test]
async fn the_documentation_is_part_of_the_program() {
    let server = TestServer::start().await;
    let page = server.get("/docs/").await;
    assert_eq!(page.status(), 200);
    let script = server.get("/docs/swagger-initializer.js").await.text().await.unwrap();
    assert!(script.contains("/openapi.json"), "{script}");
    for file in ["swagger-ui-bundle.js", "swagger-ui.css"] {
        assert_eq!(server.get(&format!("/docs/{file}")).await.status(), 200);
    }
}
