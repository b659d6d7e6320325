//! How much of the server one key may use.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use x0_server::auth::Limits;

use crate::harness::{Keys, NO_LIMITS, TestServer, within};

/// Posts with a key; the status, the headers and the body.
async fn post(server: &TestServer, key: &str, body: &Value) -> (u16, HeaderMap, Value) {
    let answer = within(server.post(body).bearer_auth(key).send()).await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.json().await.unwrap())
}

fn number(headers: &HeaderMap, name: &str) -> u64 {
    headers[name].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_key() {
    let keys = Keys::new();
    let (hasty, calm) = (keys.add("hasty", "read"), keys.add("calm", "read"));
    let server = keys.server(Limits { requests_per_minute: Some(3), ..NO_LIMITS }).await;
    let get =
        async |key: &str| within(server.request(Method::GET, "/v1/models").bearer_auth(key).send()).await.unwrap();
    for left in [2, 1, 0] {
        let answer = get(&hasty).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(number(answer.headers(), "ratelimit-limit"), 3);
        assert_eq!(number(answer.headers(), "ratelimit-remaining"), left);
        assert!((1..=60).contains(&number(answer.headers(), "ratelimit-reset")));
        assert_eq!(answer.headers()["ratelimit-policy"], "\"requests\";q=3;w=60");
    }
    let refused = get(&hasty).await;
    assert_eq!(refused.status(), 429);
    assert!((1..=20).contains(&number(refused.headers(), "retry-after")));
    assert_eq!(number(refused.headers(), "ratelimit-remaining"), 0);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "rate_limited");
    assert_eq!(get(&calm).await.status(), 200, "the other has its own");
    assert_eq!(server.get("/v1/models").await.status(), 401, "who is not known is not counted");
}

#[tokio::test]
async fn pixels_times_steps_are_counted_by_key() {
    let keys = Keys::new();
    let key = keys.add("someone", "generate,read");
    // Pictures of the toy have 64 pixels.
    let server = keys.server(Limits { pixel_steps_per_minute: Some(64 * 10), ..NO_LIMITS }).await;
    let body = |steps: u32, n: u32| json!({"class_label": 0, "steps": steps, "n": n});
    assert_eq!(post(&server, &key, &body(2, 3)).await.0, 202);
    let (status, headers, problem) = post(&server, &key, &body(5, 1)).await;
    assert_eq!((status, &problem["code"]), (429, &json!("cost_quota")));
    assert_eq!((number(&headers, "ratelimit-limit"), number(&headers, "ratelimit-remaining")), (640, 0));
    assert_eq!(headers["ratelimit-policy"], "\"pixel-steps\";q=640;w=60");
    assert!((1..=10).contains(&number(&headers, "retry-after")), "{headers:?}");
    let (status, headers, problem) = post(&server, &key, &body(11, 1)).await;
    assert_eq!((status, &problem["code"]), (422, &json!("cost_too_high")), "what can never be had");
    assert!(problem["detail"].as_str().unwrap().contains("more than all 640 pixel-steps"), "{problem}");
    assert!(!headers.contains_key("retry-after"));
    assert_eq!(post(&server, &key, &body(4, 1)).await.0, 202, "who was refused has paid nothing");
    server.metric_as(&key, r#"x0_jobs_rejected_total{reason="cost_quota"} 1"#).await;
}

#[tokio::test]
async fn one_key_cannot_fill_the_queue() {
    let keys = Keys::new();
    let (greedy, modest) = (keys.add("greedy", "generate,read"), keys.add("modest", "generate,read"));
    let server = keys.server_with(Limits { queue_size: Some(2), ..NO_LIMITS }, |config| config.queue_size = 3).await;
    server.gate.shut();
    let body = json!({"class_label": 0});
    let keyed = |body: &Value| server.post(body).bearer_auth(&greedy).header("idempotency-key", "k");
    let (_, first) = server.answer(keyed(&body)).await;
    post(&server, &greedy, &body).await;
    let (status, headers, problem) = post(&server, &greedy, &body).await;
    assert_eq!((status, &problem["code"]), (429, &json!("queue_quota")));
    assert!(number(&headers, "retry-after") >= 1);
    let (status, again) = server.answer(keyed(&body)).await;
    assert_eq!((status, &again["id"]), (202, &first["id"]), "what was accepted is found again");
    assert_eq!(post(&server, &modest, &body).await.0, 202);
    let (status, _, problem) = post(&server, &modest, &body).await;
    assert_eq!((status, &problem["code"]), (503, &json!("queue_full")), "now the whole queue is full");
    server.gate.open();
    within(async { while post(&server, &greedy, &body).await.0 != 202 {} }).await;
}

#[tokio::test]
async fn one_key_cannot_open_every_stream() {
    let keys = Keys::new();
    let (greedy, modest) = (keys.add("greedy", "generate,read"), keys.add("modest", "generate,read"));
    let server = keys.server(Limits { streams: Some(1), ..NO_LIMITS }).await;
    server.gate.shut();
    let stream = |key: &str| {
        let post = server.post(&json!({"class_label": 0})).header("accept", "text/event-stream").bearer_auth(key);
        async { within(post.send()).await.unwrap() }
    };
    let open = stream(&greedy).await;
    assert_eq!(open.status(), 200);
    let refused = stream(&greedy).await;
    assert_eq!(refused.status(), 429);
    assert!(number(refused.headers(), "retry-after") >= 1);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "too_many_streams");
    assert_eq!(stream(&modest).await.status(), 200);
    drop(open);
    within(async { while stream(&greedy).await.status() == 429 {} }).await;
    server.gate.open();
}

#[tokio::test]
async fn one_key_does_not_hold_up_the_others() {
    let keys = Keys::new();
    let (flood, drop) = (keys.add("flood", "generate,read"), keys.add("drop", "generate,read"));
    let server = keys.server(NO_LIMITS).await;
    server.gate.shut();
    // Other sizes cannot share a model call.
    let body =
        |height: u32| json!({"model": "words", "prompt": "x", "steps": 4, "height": height, "guidance_scale": 1});
    for i in 0..60 {
        assert_eq!(post(&server, &flood, &body(64 + 8 * i)).await.0, 202);
    }
    let (_, _, record) = post(&server, &drop, &body(1024)).await;
    let path = format!("/v1/generations/{}", record["id"].as_str().unwrap());
    // The flood needs 240 model calls, the drop 4.
    server.gate.let_pass(60);
    within(async {
        loop {
            let answer = server.request(Method::GET, &path).bearer_auth(&drop).send().await.unwrap();
            if answer.json::<Value>().await.unwrap()["state"] == "succeeded" {
                break;
            }
        }
    })
    .await;
    let done = server.request(Method::GET, "/v1/generations?state=succeeded&limit=100").bearer_auth(&flood);
    let (_, done) = server.answer(done).await;
    server.gate.open();
    assert!(done["data"].as_array().unwrap().len() < 16, "a quarter of the flood is not done yet: {}", done["data"]);
}
