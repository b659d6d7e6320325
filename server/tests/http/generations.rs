//! What comes of a request that is right.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, within};

/// A record without what differs from run to run.
fn redacted(mut record: Value) -> Value {
    record["id"] = json!("ID");
    for field in ["created_at", "started_at", "finished_at", "eta_seconds", "position"] {
        if !record[field].is_null() {
            record[field] = json!("SET");
        }
    }
    for field in ["queued_seconds", "running_seconds"] {
        if !record["timings"][field].is_null() {
            record["timings"][field] = json!("SET");
        }
    }
    for image in record["images"].as_array_mut().unwrap() {
        let url = image["url"].as_str().unwrap().to_owned();
        let (_, index) = url.strip_prefix("/v1/generations/").unwrap().split_once('/').unwrap();
        image["url"] = json!(format!("/v1/generations/ID/{index}"));
    }
    record
}

#[tokio::test]
async fn an_accepted_request_is_answered_with_its_record() {
    let server = TestServer::start_held(|_| {}).await;
    let answer = within(server.post(&json!({"class_label": "ONE", "seed": 7})).send()).await.unwrap();
    assert_eq!(answer.status(), 202);
    let headers = answer.headers().clone();
    let record: Value = answer.json().await.unwrap();
    let id = record["id"].as_str().unwrap();
    assert_eq!(headers["location"], format!("/v1/generations/{id}").as_str());
    assert_eq!(headers["x-generation-id"], id);
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(
        redacted(record.clone()),
        json!({
            "id": "ID",
            "state": "queued",
            "model": "toy",
            "position": "SET",
            "eta_seconds": null,
            "progress": {"step": 0, "steps": 4},
            "request": {
                "model": "toy",
                "class_label": "one",
                "n": 1,
                "seed": 7,
                "width": 8,
                "height": 8,
                "steps": 4,
                "guidance_scale": 2.0,
                "guidance_rescale": 0.0,
                "sampler": "ddim",
                "noise_schedule": "default",
                "eta": 0.0,
                "output": {"format": "png", "metadata": true, "inline": false},
                "priority": "normal",
                "on_disconnect": "keep"
            },
            "images": [],
            "warnings": [],
            "timings": {"queued_seconds": null, "running_seconds": null},
            "created_at": "SET",
            "started_at": null,
            "finished_at": null
        })
    );
    server.stopped().await;
}

#[tokio::test]
async fn a_finished_record_is_the_same_whoever_asks() {
    let server = TestServer::start().await;
    let waited = server.finish(&json!({"class_label": 1, "seed": "18446744073709551614", "n": 2, "steps": 3})).await;
    let id = waited["id"].as_str().unwrap();
    assert_eq!(server.json(&format!("/v1/generations/{id}")).await, waited);
    let last = server.events(id, None).await.rest().await.pop().unwrap();
    assert_eq!((last.name.as_str(), &last.data), ("succeeded", &waited));
    assert_eq!(server.json("/v1/generations").await["data"], json!([waited]));

    let record = redacted(waited);
    assert_eq!(record["state"], "succeeded");
    assert_eq!(record["progress"], json!({"step": 6, "steps": 6}));
    assert_eq!(record["timings"], json!({"queued_seconds": "SET", "running_seconds": "SET"}));
    assert_eq!(record["request"]["on_disconnect"], "cancel");
    let image = |index: u32, seed: &str| {
        let url = format!("/v1/generations/ID/images/{index}");
        json!({"index": index, "seed": seed, "url": url, "width": 8, "height": 8, "format": "png"})
    };
    assert_eq!(record["images"], json!([image(0, "18446744073709551614"), image(1, "18446744073709551615")]));
}

#[tokio::test]
async fn a_picture_is_the_same_by_every_way() {
    let server = TestServer::start().await;
    let request = json!({"class_label": "zero", "seed": 7});
    let answer = within(server.post(&request).header("accept", "image/png").send()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "image/png");
    assert_eq!(answer.headers()["x-seed"], "7");
    let id = answer.headers()["x-generation-id"].to_str().unwrap().to_owned();
    let file = answer.bytes().await.unwrap();

    let answer = server.get(&format!("/v1/generations/{id}/images/0")).await;
    assert_eq!(answer.headers()["content-type"], "image/png");
    assert_eq!(answer.headers()["cache-control"], "private, max-age=31536000, immutable");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert_eq!(answer.bytes().await.unwrap(), file);

    let mut inline = request.clone();
    inline["output"] = json!({"inline": true});
    let record = server.finish(&inline).await;
    let b64 = record["images"][0]["b64"].as_str().unwrap();
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(b64).unwrap();
    assert_eq!(decoded, file, "what is asked for besides the picture does not change its bytes");
    let events = server.events(record["id"].as_str().unwrap(), None).await.rest().await;
    let image = events.iter().find(|event| event.name == "image").unwrap();
    assert_eq!(image.data["b64"], b64);
}

#[tokio::test]
async fn a_png_says_which_request_makes_it_again() {
    let server = TestServer::start().await;
    let record = server.finish(&json!({"class_label": "zero", "seed": 7, "n": 2, "steps": 3})).await;
    let url = record["images"][1]["url"].as_str().unwrap();
    let file = server.get(url).await.bytes().await.unwrap();
    let reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
    let text = reader.info().utf8_text[0].get_text().unwrap();
    let request: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&request["seed"], &request["class_label"]), (&json!(8), &json!("Zero")));
    assert_eq!(server.picture(&request).await, file);

    let plain = server.picture(&json!({"class_label": "zero", "output": {"metadata": false}})).await;
    let reader = png::Decoder::new(std::io::Cursor::new(&plain)).read_info().unwrap();
    assert!(reader.info().utf8_text.is_empty());
}

#[tokio::test]
async fn the_format_is_what_was_asked_for() {
    let server = TestServer::start().await;
    for (accept, output, expected) in [
        ("image/png", json!(null), "image/png"),
        ("image/jpeg", json!(null), "image/jpeg"),
        ("image/webp", json!({}), "image/webp"),
        ("image/*", json!({"format": "webp"}), "image/webp"),
        ("image/webp;q=0.5, image/jpeg", json!({"quality": 50}), "image/jpeg"),
    ] {
        let body = json!({"class_label": 0, "output": output});
        let answer = within(server.post(&body).header("accept", accept).send()).await.unwrap();
        assert_eq!(answer.status(), 200, "{accept}");
        assert_eq!(answer.headers()["content-type"], expected, "{accept}");
        let format = image::guess_format(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!(format.to_mime_type(), expected);
    }
    let body = json!({"class_label": 0, "output": {"format": "webp"}});
    let (status, problem) = server.answer(server.post(&body).header("accept", "image/png")).await;
    assert_eq!((status, problem["code"].as_str()), (406, Some("not_acceptable")));
}

#[tokio::test]
async fn curl_needs_no_content_type() {
    let server = TestServer::start().await;
    for content_type in [None, Some("application/x-www-form-urlencoded"), Some("application/json; charset=utf-8")] {
        let mut request = server.request(Method::POST, "/v1/generations").body(r#"{"class_label": "one"}"#);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let (status, record) = server.answer(request).await;
        assert_eq!(status, 202, "{content_type:?}: {record}");
    }
}

#[tokio::test]
async fn the_model_is_chosen_by_what_is_given() {
    let server = TestServer::start().await;
    for (body, model) in [
        (json!({"class_label": "one"}), "toy"),
        (json!({"prompt": "a sheep"}), "words"),
        (json!({"model": "blobs"}), "blobs"),
        (json!({"class_label": "one", "highres": null}), "toy"),
    ] {
        assert_eq!(server.finish(&body).await["model"], model);
    }
    // What is missing is said of the model that takes what is there.
    let picture = crate::harness::base64_picture(64, 64, 9);
    for body in [json!({"init_image": picture}), json!({"negative_prompt": "a"}), json!({"highres": {}})] {
        let (status, problem) = server.answer(server.post(&body)).await;
        assert_eq!((status, problem["errors"][0]["field"].as_str()), (422, Some("prompt")), "{problem}");
        assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{problem}");
    }
}

#[tokio::test]
async fn a_text_request_is_resolved_whole() {
    let server = TestServer::start().await;
    let picture = crate::harness::base64_picture(72, 64, 9);
    let body = json!({
        "prompt": "x".repeat(101),
        "init_image": format!("data:image/png;base64,{picture}"),
        "mask_image": crate::harness::base64_picture(72, 64, 255),
        "sampler": "DPM++ 2M Karras",
        "preview": {},
        "guidance_scale": 3,
        "deadline_seconds": 60,
        "priority": "high",
    });
    let record = server.finish(&body).await;
    let request = &record["request"];
    assert_eq!(request["negative_prompt"], "");
    assert_eq!((&request["width"], &request["height"]), (&json!(72), &json!(64)));
    assert_eq!(request["init_image"], json!({"width": 72, "height": 64}));
    assert_eq!(request["mask_image"], json!({"width": 72, "height": 64}));
    assert_eq!(request["strength"], 0.8);
    assert_eq!((&request["sampler"], &request["noise_schedule"]), (&json!("dpmpp_2m"), &json!("karras")));
    assert_eq!(request["preview"], json!({"every": 5, "decoder": "linear", "format": "png", "max_size": 512}));
    assert_eq!(record["warnings"], json!(["the prompt is long"]));
}

#[tokio::test]
async fn a_picture_to_start_from_is_scaled_to_the_size_that_is_asked_for() {
    let server = TestServer::start().await;
    let record = server
        .finish(&json!({"prompt": "a", "init_image": crate::harness::base64_picture(100, 50, 9), "width": 128, "height": 64}))
        .await;
    let request = &record["request"];
    assert_eq!((&request["width"], &request["height"]), (&json!(128), &json!(64)));
    assert_eq!(request["init_image"], json!({"width": 100, "height": 50}));
}

#[tokio::test]
async fn who_prefers_to_wait_gets_what_there_is_when_the_wait_is_over() {
    let server = TestServer::start_held(|config| config.max_wait = std::time::Duration::from_secs(1)).await;
    let answer = within(server.post(&json!({"class_label": 0})).header("prefer", "wait=600").send()).await.unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.headers()["preference-applied"], "wait=1");
    let record: Value = answer.json().await.unwrap();
    assert_eq!(record["state"], "running");

    let answer = within(server.post(&json!({"class_label": 0})).header("accept", "image/png").send()).await.unwrap();
    assert_eq!(answer.status(), 504);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "wait_timeout");

    server.gate.open();
    let id = location.strip_prefix("/v1/generations/").unwrap();
    assert_eq!(server.events(id, None).await.rest().await.last().unwrap().name, "succeeded", "it goes on");
}

#[tokio::test]
async fn pages_can_be_turned() {
    let server = TestServer::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(server.finish(&json!({"class_label": 0})).await["id"].clone());
    }
    ids.reverse();
    let page = server.json("/v1/generations?limit=2").await;
    assert_eq!((&page["object"], &page["has_more"]), (&json!("list"), &json!(true)));
    assert_eq!([&page["data"][0]["id"], &page["data"][1]["id"]], [&ids[0], &ids[1]]);
    let page = server.json(&format!("/v1/generations?limit=2&after={}", ids[1].as_str().unwrap())).await;
    assert_eq!((&page["data"][0]["id"], &page["has_more"]), (&ids[2], &json!(false)));
    assert_eq!(server.json("/v1/generations?state=failed").await["data"], json!([]));
    for (query, status, code) in [
        ("limit=0", 422, "out_of_range"),
        ("limit=101", 422, "out_of_range"),
        ("limit=ten", 422, "invalid_type"),
        ("after=me", 422, "invalid_type"),
        ("state=done", 422, "unsupported_value"),
        ("page=2", 400, "unknown_parameter"),
    ] {
        let (got, problem) = server.answer(server.request(Method::GET, &format!("/v1/generations?{query}"))).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{query}");
    }
}
