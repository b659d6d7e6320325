//! What comes of a request that was right, and could not be served.

use serde_json::json;

use crate::harness::TestServer;

#[tokio::test]
async fn a_failure_is_told_by_every_way() {
    for (prompt, status, code) in
        [("nan", 500, "nan_output"), ("panic", 500, "model_error"), ("out of memory", 503, "out_of_memory")]
    {
        let server = TestServer::start().await;
        let body = json!({"prompt": prompt, "steps": 3});
        let record = server.finish(&body).await;
        assert_eq!((record["state"].as_str(), record["error"]["code"].as_str()), (Some("failed"), Some(code)));

        let last = server.follow(&body).await.rest().await.pop().unwrap();
        assert_eq!((last.name.as_str(), &last.data["error"]), ("failed", &record["error"]));

        let (got, problem) = server.answer(server.post(&body).header("accept", "image/png")).await;
        assert_eq!(
            (got, problem["code"].as_str(), &problem["detail"]),
            (status, Some(code), &record["error"]["message"])
        );

        let fine = server.finish(&json!({"prompt": "a sheep"})).await;
        assert_eq!(fine["state"], "succeeded", "the server goes on after {prompt}");
        server.metric(r#"x0_jobs_finished_total{model="words",outcome="failed"} 3"#).await;
    }
}

#[tokio::test]
async fn what_has_no_memory_together_is_made_by_fewer_at_once() {
    let body = |n: u32| json!({"class_label": 0, "steps": 9, "n": n, "seed": 5, "guidance_scale": 1});
    let server = TestServer::start_with_memory_for(1).await;
    let record = server.finish(&body(2)).await;
    assert_eq!((&record["state"], &record["images"][1]["index"]), (&json!("succeeded"), &json!(1)));
    server.metric(r#"x0_batches_out_of_memory_total{model="toy"} 1"#).await;
    server.metric(r#"x0_batch_rows_bucket{model="toy",le="1"} 18"#).await;
    server.metric(r#"x0_batch_rows_count{model="toy"} 18"#).await;

    let guided = json!({"class_label": 0, "guidance_scale": 2});
    let (status, problem) = server.answer(server.post(&guided).header("accept", "image/png")).await;
    assert_eq!((status, &problem["code"]), (503, &json!("out_of_memory")), "alone it has two rows");
    server.metric(r#"x0_oom_total{device="cpu"} 1"#).await;
    assert_eq!(server.finish(&body(1)).await["state"], "succeeded");
}

#[tokio::test]
async fn one_image_that_fails_fails_all() {
    let server = TestServer::start().await;
    let record = server.finish(&json!({"prompt": "no decoding", "n": 3, "steps": 2})).await;
    assert_eq!((record["state"].as_str(), record["error"]["code"].as_str()), (Some("failed"), Some("model_error")));
    assert!(record["images"].as_array().unwrap().len() < 3);
}

#[tokio::test]
async fn a_deadline_is_kept() {
    let server = TestServer::start_held(|_| {}).await;
    let id = server.accept(&json!({"class_label": 0, "steps": 1000, "deadline_seconds": 1})).await;
    let events = server.events(&id, None).await;
    // One call a turn, so that the time passes while the generation runs.
    let gate = server.gate.clone();
    let passing = tokio::spawn(async move {
        let mut interval = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            interval.tick().await;
            gate.let_pass(1);
        }
    });
    let last = events.rest().await.pop().unwrap();
    passing.abort();
    assert_eq!((last.name.as_str(), last.data["error"]["code"].as_str()), ("failed", Some("deadline_exceeded")));
    server.stopped().await;
}
