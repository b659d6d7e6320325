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
    assert!(server.get("/metrics").await.text().await.unwrap().contains("x0_watchdog_trips_total "));
    server.gate.open();
    within(async { while server.get("/livez").await.status() == 503 {} }).await;
}

#[tokio::test]
async fn metrics_tell_of_what_happened() {
    let server = TestServer::start_with(|config| config.queue_size = 2).await;
    let words =
        |prompt: &str| json!({"model": "words", "prompt": prompt, "width": 64, "height": 64, "guidance_scale": 1});
    server.finish(&json!({"class_label": 0, "steps": 3, "n": 2, "guidance_scale": 1})).await;
    server.follow(&json!({"model": "blobs", "preview": {"every": 2}})).await.rest().await;
    for prompt in ["nan", "panic", "out of memory"] {
        server.finish(&words(prompt)).await;
    }
    server.answer(server.post(&json!({"class_label": 0, "steps": 0}))).await;
    server.get("/nowhere").await;

    server.gate.shut();
    let waits = server.accept(&json!({"class_label": 0, "deadline_seconds": 1})).await;
    server.held().await;
    let cancelled = server.accept(&json!({"class_label": 0, "priority": "high"})).await;
    server.answer(server.post(&json!({"class_label": 0}))).await;
    let depth = async |n: u32| {
        within(async {
            loop {
                let text = server.get("/metrics").await.text().await.unwrap();
                let depth = text.lines().filter(|line| line.starts_with("x0_queue_depth{"));
                if depth.filter_map(|line| line.split(' ').next_back()?.parse::<u32>().ok()).sum::<u32>() <= n {
                    break;
                }
            }
        })
        .await;
    };
    depth(2).await;
    server.request(Method::DELETE, &format!("/v1/generations/{cancelled}")).send().await.unwrap();
    server.gate.open();
    server.state(&waits, "failed").await;
    depth(0).await;
    let events = server.request(Method::GET, &format!("/v1/generations/{waits}/events")).header("last-event-id", "?");
    events.send().await.unwrap().bytes().await.unwrap();

    for line in [
        r#"x0_http_requests_total{method="POST",route="/v1/generations",status="200"} 5"#,
        r#"x0_http_requests_total{method="POST",route="/v1/generations",status="422"} 1"#,
        r#"x0_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"x0_http_request_duration_seconds_count{method="POST",route="/v1/generations"} 9"#,
        r#"x0_http_request_body_bytes_count{method="POST"} 9"#,
        "x0_http_requests_in_flight 1",
        r#"x0_connections{state="new"} 0"#,
        r#"x0_jobs_submitted_total{model="toy",priority="normal"} 2"#,
        r#"x0_jobs_submitted_total{model="toy",priority="high"} 1"#,
        r#"x0_jobs_finished_total{model="toy",outcome="succeeded"} 1"#,
        r#"x0_jobs_finished_total{model="toy",outcome="expired"} 1"#,
        r#"x0_jobs_finished_total{model="toy",outcome="cancelled"} 1"#,
        r#"x0_jobs_finished_total{model="words",outcome="failed"} 3"#,
        r#"x0_jobs_rejected_total{reason="queue_full"} 1"#,
        r#"x0_jobs_rejected_total{reason="out_of_range"} 1"#,
        r#"x0_job_duration_seconds_count{model="toy"} 3"#,
        r#"x0_job_queue_wait_seconds_count{model="blobs",priority="normal"} 1"#,
        r#"x0_queue_depth{model="toy",priority="high"} 0"#,
        "x0_queue_oldest_age_seconds 0",
        "x0_queue_capacity 2",
        "x0_jobs_running 0",
        r#"x0_step_duration_seconds_count{model="blobs"} 4"#,
        r#"x0_batch_size_sum{model="toy"} 7"#,
        r#"x0_batch_rows_sum{model="toy"} 8"#,
        r#"x0_stage_duration_seconds_count{model="blobs",stage="begin"} 1"#,
        r#"x0_stage_duration_seconds_count{model="blobs",stage="preview"} 2"#,
        r#"x0_stage_duration_seconds_count{model="blobs",stage="decode"} 1"#,
        r#"x0_stage_duration_seconds_count{model="blobs",stage="encode"} 1"#,
        r#"x0_images_generated_total{model="toy"} 2"#,
        r#"x0_pixel_steps_total{model="toy"} 384"#,
        "x0_nan_outputs_total 1",
        r#"x0_oom_total{device="cpu"} 1"#,
        r#"x0_device_info{device="cpu"} 1"#,
        "x0_worker_panics_total 1",
        "x0_sse_clients 0",
        r#"x0_sse_events_sent_total{type="succeeded"} 1"#,
        r#"x0_sse_resumes_total{result="unknown"} 1"#,
        r#"x0_model_load_duration_seconds{model="toy"} 1.5"#,
        r#"x0_model_loaded{model="toy"} 1"#,
        r#"x0_model_loaded{model="words"} 0"#,
        "x0_engine_up 1",
        "x0_ready 1",
    ] {
        server.metric(line).await;
    }
    let text = server.get("/metrics").await.text().await.unwrap();
    for family in [
        "x0_worker_busy_seconds_total",
        concat!("x0_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\",commit=\""),
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_cpu_seconds_total",
    ] {
        let value = text.lines().find(|line| line.starts_with(family)).and_then(|line| line.split(' ').next_back());
        assert!(value.unwrap_or_else(|| panic!("{family}")).parse::<f64>().unwrap() > 0.0, "{family}");
    }
    // What has not happened is not there yet, but what is there was described.
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let described = [name, family].iter().any(|name| text.contains(&format!("# HELP {name} ")));
        assert!(described, "{name} has no description");
    }
}

#[tokio::test]
async fn strange_requests_make_no_new_series() {
    let server = TestServer::start().await;
    let series = async || server.get("/metrics").await.text().await.unwrap().lines().count();
    server.get("/nowhere").await;
    server.request(Method::from_bytes(b"BREW").unwrap(), "/livez").send().await.unwrap();
    server.answer(server.post(&json!({"model": "m"}))).await;
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

/// A page may have its own name lead to this machine once it is loaded, and is of the same origin then.
#[tokio::test]
async fn a_server_without_keys_has_the_names_of_its_machine_alone() {
    let server = TestServer::start().await;
    let at = |path: &str, host: &str| server.request(Method::GET, path).header("host", host);
    for path in ["/v1/generations", "/", "/livez"] {
        let (status, problem) = server.answer(at(path, "evil.example:8000")).await;
        assert_eq!((status, problem["code"].as_str()), (403, Some("cross_origin")), "{path}");
        assert_eq!(server.answer(at(path, "localhost:8000")).await.0, 200, "{path}");
    }
    let server =
        TestServer::start_with(|config| config.cors_origins = vec!["https://x0.example".parse().unwrap()]).await;
    let proxied = server.request(Method::GET, "/v1/generations").header("host", "x0.example");
    assert_eq!(server.answer(proxied).await.0, 200);
}

#[tokio::test]
async fn an_error_has_one_content_type() {
    let server = TestServer::start().await;
    let answer = server.get("/v1/models/%ff").await;
    let types: Vec<_> = answer.headers().get_all("content-type").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!((answer.status().as_u16(), types), (400, vec!["application/problem+json"]));
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
