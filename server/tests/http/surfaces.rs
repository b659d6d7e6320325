//! Generations that were asked for in other APIs' words: what is right, and what all surfaces share.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Event, Events, TestServer, base64_picture, within};

fn images(server: &TestServer, body: &Value) -> RequestBuilder {
    server.request(Method::POST, "/v1/images/generations").json(body)
}

/// A form of fields; those named `image` and `mask` are files, given in base64.
pub(crate) fn form(server: &TestServer, fields: &[(&str, &str)]) -> RequestBuilder {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend_from_slice(format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"").as_bytes());
        if name.starts_with("image") || *name == "mask" {
            body.extend_from_slice(b"; filename=\"a.png\"\r\ncontent-type: image/png\r\n\r\n");
            body.extend_from_slice(&BASE64.decode(value).unwrap());
        } else {
            body.extend_from_slice(b"\r\n\r\n");
            body.extend_from_slice(value.as_bytes());
        }
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--x--\r\n");
    let request = server.request(Method::POST, "/v1/images/edits");
    request.header("content-type", "multipart/form-data; boundary=x").body(body)
}

/// A PNG of one colour, transparent or not, in base64.
fn mask(width: u32, height: u32, alpha: u8) -> String {
    let mut file = std::io::Cursor::new(Vec::new());
    let mask = image::RgbaImage::from_pixel(width, height, image::Rgba([0, 0, 0, alpha]));
    mask.write_to(&mut file, image::ImageFormat::Png).unwrap();
    BASE64.encode(file.into_inner())
}

/// Sends to a server whose gate is shut, and gives all events: what happens before somebody watches is not shown to them.
async fn streamed(server: &TestServer, request: RequestBuilder) -> Vec<Event> {
    let events = Events::new(within(request.send()).await.unwrap());
    server.gate.open();
    let events = events.rest().await;
    server.gate.shut();
    events
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

#[tokio::test]
async fn openai_gets_the_pictures_that_our_own_request_gives() {
    let server = TestServer::start().await;
    let native = server.picture(&json!({"model": "toy", "class_label": "one", "seed": 7})).await;
    for body in [
        json!({"model": "toy", "prompt": "one", "seed": 7}),
        json!({"model": "toy", "prompt": "", "class_label": 1, "seed": 7, "size": "auto", "n": 1, "quality": "auto"}),
        json!({"model": "toy", "prompt": "One", "seed": 7, "size": "8x8", "quality": "medium", "background": "opaque",
            "moderation": "low", "user": "u", "response_format": "b64_json", "output_compression": 100, "style": null}),
    ] {
        let (status, answer) = server.answer(images(&server, &body)).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(BASE64.decode(answer["data"][0]["b64_json"].as_str().unwrap()).unwrap(), native, "{body}");
        assert_eq!((&answer["size"], &answer["data"][0]["seed"]), (&json!("8x8"), &json!(7)));
        assert_eq!((&answer["output_format"], &answer["background"]), (&json!("png"), &json!("opaque")));

        let url = answer["data"][0]["url"].as_str().unwrap();
        let fetched = server.client.get(url).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(fetched, native, "the address leads to the picture");
        let id = answer["generation_id"].as_str().unwrap();
        let record = server.json(&format!("/v1/generations/{id}")).await;
        assert_eq!(record["request"]["class_label"], "one");
        assert_eq!(server.json(&format!("/v1/predictions/{id}")).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn openai_says_what_the_answer_carries() {
    let server = TestServer::start().await;
    let body = json!({"model": "toy", "prompt": "one", "n": 3, "seed": 7, "response_format": "url",
        "output_format": "jpeg", "output_compression": 0, "quality": "hd"});
    let (status, answer) = server.answer(images(&server, &body)).await;
    assert_eq!(status, 200, "{answer}");
    let data = answer["data"].as_array().unwrap();
    let seeds: Vec<_> = data.iter().map(|image| image["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [7, 8, 9]);
    assert!(data.iter().all(|image| image.get("b64_json").is_none() && image["url"].is_string()));
    assert_eq!((&answer["quality"], &answer["output_format"]), (&json!("hd"), &json!("jpeg")));
    let record = server.json(&format!("/v1/generations/{}", answer["generation_id"].as_str().unwrap())).await;
    let request = &record["request"];
    assert_eq!((&request["steps"], &request["output"]["quality"]), (&json!(8), &json!(1)), "hd has twice the steps");
}

#[tokio::test]
async fn openai_streams_as_many_predictions_as_it_is_asked_for() {
    let server = TestServer::start_held(|_| {}).await;
    for (steps, partial_images, shown) in [(9, 3, &[2, 4, 6][..]), (4, 1, &[2]), (3, 3, &[1, 2]), (5, 0, &[])] {
        let body = json!({"model": "toy", "prompt": "one", "seed": 7, "stream": true, "steps": steps,
            "partial_images": partial_images});
        let events = streamed(&server, images(&server, &body)).await;
        let (completed, partial) = events.split_last().unwrap();
        assert_eq!(completed.name, "image_generation.completed");
        let steps: Vec<_> = partial.iter().map(|event| event.data["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, shown, "{body}");
        for (index, event) in partial.iter().enumerate() {
            assert_eq!(
                (event.name.as_str(), &event.data["type"]),
                ("image_generation.partial_image", &json!("image_generation.partial_image"))
            );
            assert_eq!(event.data["partial_image_index"], index);
            assert!(event.data["sigma"].is_number() && event.data["b64_json"].is_string());
            assert_eq!(event.data["generation_id"], completed.data["generation_id"]);
        }
        server.gate.open();
        let native =
            server.picture(&json!({"model": "toy", "class_label": "one", "seed": 7, "steps": body["steps"]})).await;
        server.gate.shut();
        assert_eq!(BASE64.decode(completed.data["b64_json"].as_str().unwrap()).unwrap(), native);
        assert_eq!(completed.data["usage"]["total_tokens"], 0);
    }
    let body = json!({"model": "toy", "prompt": "one", "n": 2, "stream": true, "preview": {"every": 2}, "steps": 4});
    let events = streamed(&server, images(&server, &body)).await;
    let count = |name| names(&events).iter().filter(|other| **other == name).count();
    assert_eq!((count("image_generation.partial_image"), count("image_generation.completed")), (2, 2));
}

#[tokio::test]
async fn openai_edits_where_the_mask_is_transparent() {
    let server = TestServer::start().await;
    let picture = base64_picture(64, 64, 9);
    let (clear, solid) = (mask(64, 64, 0), mask(64, 64, 255));
    let base = [("image", picture.as_str()), ("prompt", "a"), ("seed", "7"), ("strength", "0.5"), ("steps", "4")];
    let whole = form(&server, &base);
    let (status, answer) = server.answer(whole).await;
    assert_eq!((status, &answer["size"]), (200, &json!("64x64")), "{answer}");
    let id = answer["generation_id"].as_str().unwrap();
    let request = server.json(&format!("/v1/generations/{id}")).await["request"].clone();
    assert_eq!((&request["strength"], &request["init_image"]["width"]), (&json!(0.5), &json!(64)));

    let masked =
        |mask| form(&server, &[&base[..], &[("mask", mask), ("stream", "true"), ("partial_images", "1")]].concat());
    server.gate.shut();
    let events = streamed(&server, masked(&clear)).await;
    assert_eq!(names(&events), ["image_edit.partial_image", "image_edit.completed"]);
    let (status, answer) = server.answer(masked(&solid)).await;
    assert_eq!(
        (status, &answer["error"]["param"], &answer["error"]["code"]),
        (400, &json!("mask"), &json!("mask_mismatch"))
    );
}

#[tokio::test]
async fn openai_hears_of_failure_in_its_own_words() {
    let server = TestServer::start().await;
    for (prompt, status, code) in [("nan", 500, "nan_output"), ("panic", 500, "model_error")] {
        let body = json!({"prompt": prompt, "steps": 3});
        let answer = within(images(&server, &body).send()).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-should-retry"]),
            (status, &"false".parse().unwrap())
        );
        assert!(answer.headers().contains_key("x-request-id"));
        let answer: Value = answer.json().await.unwrap();
        assert_eq!((&answer["error"]["code"], &answer["error"]["type"]), (&json!(code), &json!("server_error")));

        let body = json!({"prompt": prompt, "steps": 3, "stream": true});
        let events = Events::new(within(images(&server, &body).send()).await.unwrap()).rest().await;
        let last = events.last().unwrap();
        assert_eq!((last.name.as_str(), &last.data["type"]), ("error", &json!("error")));
        assert_eq!(last.data["error"], answer["error"]);
    }
}

#[tokio::test]
async fn what_a_client_waits_for_is_cancelled_with_it_unless_it_gave_a_key() {
    for (key, state) in [(None, "cancelled"), (Some("k"), "succeeded")] {
        let server = TestServer::start_held(|_| {}).await;
        let body = json!({"model": "toy", "prompt": "one", "seed": 7});
        let keyed = |request: RequestBuilder| match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        let waiting = tokio::spawn(keyed(images(&server, &body)).send());
        server.held().await;
        let id = server.json("/v1/generations").await["data"][0]["id"].as_str().unwrap().to_owned();
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        server.metric("x0_http_requests_in_flight 1").await;
        server.gate.open();
        server.state(&id, state).await;

        let again = within(keyed(images(&server, &body)).send()).await.unwrap();
        assert_eq!(again.headers().contains_key("idempotency-replayed"), key.is_some());
        assert_eq!(again.headers()["x-generation-id"] == id.as_str(), key.is_some());
        assert_eq!(again.status(), 200);
    }
}

#[tokio::test]
async fn a_full_queue_is_worth_a_retry() {
    let server = TestServer::start_held(|config| config.queue_size = 1).await;
    let first = server.accept(&json!({"class_label": 0})).await;
    let busy = within(images(&server, &json!({"model": "toy", "prompt": "one"})).send()).await.unwrap();
    assert_eq!((busy.status().as_u16(), &busy.headers()["x-should-retry"]), (503, &"true".parse().unwrap()));
    assert!(busy.headers().contains_key("retry-after"));
    let busy = within(hugging_face(&server, "toy", &json!({"inputs": "one"})).send()).await.unwrap();
    assert_eq!(busy.status(), 429, "to Hugging Face's client 503 means: again, at once");
    server.gate.open();
    server.state(&first, "succeeded").await;
}

fn hugging_face(server: &TestServer, model: &str, body: &Value) -> RequestBuilder {
    server.request(Method::POST, &format!("/hf/{model}")).json(body)
}

#[tokio::test]
async fn hugging_face_gets_the_picture_itself() {
    let server = TestServer::start().await;
    let native = server.picture(&json!({"model": "toy", "class_label": "one", "seed": 7, "steps": 3})).await;
    let parameters =
        json!({"num_inference_steps": 3, "seed": 7, "scheduler": "DDIMScheduler", "width": 8, "height": 8});
    let body = json!({"inputs": "one", "parameters": parameters, "options": {"use_cache": false}});
    for (accept, media_type) in [("image/png", "image/png"), ("*/*", "image/png"), ("image/jpeg", "image/jpeg")] {
        let answer = within(hugging_face(&server, "toy", &body).header("accept", accept).send()).await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &media_type.parse().unwrap()));
        let id = answer.headers()["x-generation-id"].to_str().unwrap().to_owned();
        assert_eq!(server.json(&format!("/v1/generations/{id}")).await["state"], "succeeded");
        let file = answer.bytes().await.unwrap();
        assert_eq!(file == native, media_type == "image/png");
    }
}

#[tokio::test]
async fn hugging_face_may_start_from_a_picture() {
    let server = TestServer::start().await;
    let picture = base64_picture(64, 64, 9);
    let file = BASE64.decode(&picture).unwrap();
    let parameters = json!({"prompt": "a", "num_inference_steps": 2, "target_size": {"width": 32, "height": 64}});
    for (request, size) in [
        (hugging_face(&server, "words", &json!({"inputs": picture, "parameters": parameters})), (32, 64)),
        (server.request(Method::POST, "/hf/words").header("content-type", "image/png").body(file), (64, 64)),
    ] {
        let answer = within(request.send()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let picture = image::load_from_memory(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), size);
    }
}

fn predict(server: &TestServer, body: &Value) -> RequestBuilder {
    server.request(Method::POST, "/v1/predictions").json(body)
}

#[tokio::test]
async fn replicate_waits_and_gets_addresses() {
    let server = TestServer::start().await;
    let native = server.picture(&json!({"model": "toy", "class_label": "one", "seed": 8})).await;
    let input = json!({"prompt": "one", "seed": 7, "num_outputs": 2, "scheduler": "DDIM", "output_format": "png"});
    for (path, version) in [
        ("/v1/predictions", Some("toy")),
        ("/v1/predictions", Some("x0/toy")),
        ("/v1/predictions", Some("x0/toy:toy")),
        ("/v1/models/x0/toy/predictions", None),
    ] {
        let body = json!({"version": version, "input": input, "stream": false});
        let request = server.request(Method::POST, path).json(&body).header("prefer", "wait");
        let (status, prediction) = server.answer(request).await;
        assert_eq!((status, &prediction["status"]), (201, &json!("succeeded")), "{prediction}");
        assert_eq!((&prediction["model"], &prediction["version"]), (&json!("x0/toy"), &json!("toy")));
        let output = prediction["output"].as_array().unwrap();
        assert_eq!(output.len(), 2);
        let fetched = server.client.get(output[1].as_str().unwrap()).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(fetched, native);
        assert_eq!(prediction["logs"], "100%|##########| 8/8");
        assert!(prediction["metrics"]["predict_time"].is_number());
    }
    let page = server.json("/v1/predictions").await;
    assert_eq!((page["results"].as_array().unwrap().len(), &page["next"]), (5, &json!(null)));
    let id = page["results"][0]["id"].as_str().unwrap();
    let older = server.json(&format!("/v1/predictions?cursor={id}")).await;
    assert_eq!(older["results"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn replicate_asks_again_and_cancels() {
    let server = TestServer::start_held(|_| {}).await;
    let body = json!({"version": "toy", "input": {"prompt": "one", "steps": 500}});
    let (status, prediction) = server.answer(predict(&server, &body)).await;
    assert_eq!((status, &prediction["status"], &prediction["output"]), (201, &json!("starting"), &json!(null)));
    server.held().await;
    let path = |url: &Value| url.as_str().unwrap().strip_prefix(&server.base).unwrap().to_owned();
    assert_eq!(server.json(&path(&prediction["urls"]["get"])).await["status"], "processing");
    let late = server.answer(predict(&server, &body).header("prefer", "wait=1")).await.1;
    assert_eq!(late["status"], "starting", "what has not ended is starting to a client that waited");

    let cancel = server.request(Method::POST, &path(&prediction["urls"]["cancel"]));
    let opening = async {
        server.metric("x0_http_requests_in_flight 2").await;
        server.gate.open();
    };
    let ((status, cancelled), ()) = tokio::join!(server.answer(cancel), opening);
    assert_eq!((status, &cancelled["status"]), (200, &json!("canceled")));
    server.state(prediction["id"].as_str().unwrap(), "cancelled").await;
}

#[tokio::test]
async fn replicate_looks_up_models() {
    let server = TestServer::start().await;
    let model = server.json("/v1/models/x0/toy").await;
    assert_eq!(
        (&model["owner"], &model["name"], &model["visibility"]),
        (&json!("x0"), &json!("toy"), &json!("public"))
    );
    let version = server.json("/v1/models/x0/toy/versions/toy").await;
    assert_eq!(model["latest_version"], version);
    assert_eq!(server.json("/v1/models/x0/toy/versions").await["results"], json!([version]));
    let schemas = &version["openapi_schema"]["components"]["schemas"];
    assert_eq!(schemas["Output"]["type"], "array");
    assert!(schemas["Input"].to_string().contains("num_inference_steps"));
}

#[tokio::test]
async fn replicate_is_told_why_it_failed() {
    let server = TestServer::start().await;
    let body = json!({"version": "words", "input": {"prompt": "nan", "num_inference_steps": 3}});
    let (status, prediction) = server.answer(predict(&server, &body).header("prefer", "wait")).await;
    assert_eq!((status, &prediction["status"], &prediction["output"]), (201, &json!("failed"), &json!(null)));
    assert!(prediction["error"].as_str().unwrap().starts_with("nan_output: "), "{prediction}");
}
