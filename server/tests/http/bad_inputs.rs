//! Requests that are wrong: each has its status, its code, and the field that is to blame.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, base64_picture};

/// What is not JSON, or not an object.
const BODIES: &[(&str, u16, &str)] = &[
    ("", 400, "invalid_json"),
    ("{", 400, "invalid_json"),
    ("{\"class_label\":0}x", 400, "invalid_json"),
    ("\u{feff}{}", 400, "invalid_json"),
    ("{\"n\":1,\"n\":1}", 400, "invalid_json"),
    ("{\"preview\":{\"every\":1,\"every\":2}}", 400, "invalid_json"),
    ("{\"guidance_scale\":NaN}", 400, "invalid_json"),
    ("{\"guidance_scale\":Infinity}", 400, "invalid_json"),
    ("{\"guidance_scale\":1e400}", 400, "invalid_json"),
    ("{\"prompt\":\"\\ud800\"}", 400, "invalid_json"),
    ("class_label=0", 400, "invalid_json"),
    ("[]", 400, "invalid_json_type"),
    ("[7.5,1,2,\"x\"]", 400, "invalid_json_type"),
    ("null", 400, "invalid_json_type"),
    ("7", 400, "invalid_json_type"),
    ("\"class_label\"", 400, "invalid_json_type"),
];

/// The request for `toy` with one wrong field: its JSON, the status, the code, the field's name.
const TOY: &[(&str, u16, &str, &str)] = &[
    (r#""colour":"red""#, 400, "unknown_parameter", "colour"),
    (r#""preview":{"colour":1}"#, 400, "unknown_parameter", "preview.colour"),
    (r#""preview":[1]"#, 400, "invalid_json_type", "preview"),
    (r#""output":"png""#, 400, "invalid_json_type", "output"),
    (r#""steps":"5""#, 422, "invalid_type", "steps"),
    (r#""steps":5.0"#, 422, "invalid_type", "steps"),
    (r#""steps":true"#, 422, "invalid_type", "steps"),
    (r#""steps":0"#, 422, "out_of_range", "steps"),
    (r#""steps":-1"#, 422, "out_of_range", "steps"),
    (r#""steps":1001"#, 422, "out_of_range", "steps"),
    (r#""steps":1000000000"#, 422, "out_of_range", "steps"),
    (r#""steps":18446744073709551616"#, 422, "out_of_range", "steps"),
    (r#""steps":999"#, 422, "out_of_range", "steps"),
    (r#""n":0"#, 422, "out_of_range", "n"),
    (r#""n":9"#, 422, "out_of_range", "n"),
    (r#""seed":-1"#, 422, "out_of_range", "seed"),
    (r#""seed":1.5"#, 422, "out_of_range", "seed"),
    (r#""seed":18446744073709551616"#, 422, "out_of_range", "seed"),
    (r#""seed":"seven""#, 422, "invalid_type", "seed"),
    (r#""n":2,"seed":18446744073709551615"#, 422, "out_of_range", "seed"),
    (r#""width":0"#, 422, "invalid_size", "width"),
    (r#""width":-8"#, 422, "invalid_size", "width"),
    (r#""width":16"#, 422, "invalid_size", "width"),
    (r#""height":2147483648"#, 422, "invalid_size", "height"),
    (r#""guidance_scale":-0.1"#, 422, "out_of_range", "guidance_scale"),
    (r#""guidance_scale":31"#, 422, "out_of_range", "guidance_scale"),
    (r#""guidance_scale":1e39"#, 422, "out_of_range", "guidance_scale"),
    (r#""guidance_scale":"2""#, 422, "invalid_type", "guidance_scale"),
    (r#""guidance_rescale":1.1"#, 422, "out_of_range", "guidance_rescale"),
    (r#""eta":2"#, 422, "out_of_range", "eta"),
    (r#""sampler":"guess""#, 422, "unsupported_value", "sampler"),
    (r#""sampler":"""#, 422, "unsupported_value", "sampler"),
    (r#""sampler":7"#, 422, "invalid_type", "sampler"),
    (r#""sampler":"euler","eta":0.5"#, 422, "conflicting_parameters", "eta"),
    (r#""sampler":"ddpm","noise_schedule":"karras""#, 422, "conflicting_parameters", "noise_schedule"),
    (r#""sampler":"dpmpp_2m_karras","noise_schedule":"beta""#, 422, "conflicting_parameters", "noise_schedule"),
    (r#""noise_schedule":"cosine""#, 422, "unsupported_value", "noise_schedule"),
    (r#""timestep_spacing":"even""#, 422, "unsupported_value", "timestep_spacing"),
    (r#""prompt":"a sheep""#, 422, "conflicting_parameters", "prompt"),
    (r#""negative_prompt":"""#, 422, "conflicting_parameters", "negative_prompt"),
    (r#""clip_skip":1"#, 422, "conflicting_parameters", "clip_skip"),
    (r#""init_image":"aGk=""#, 422, "conflicting_parameters", "init_image"),
    (r#""mask_image":"aGk=""#, 422, "conflicting_parameters", "mask_image"),
    (r#""strength":0.5"#, 422, "conflicting_parameters", "strength"),
    (r#""strength":0"#, 422, "out_of_range", "strength"),
    (r#""strength":1.01"#, 422, "out_of_range", "strength"),
    (r#""preview":{"every":0}"#, 422, "out_of_range", "preview.every"),
    (r#""preview":{"every":"1"}"#, 422, "invalid_type", "preview.every"),
    (r#""preview":{"max_size":15}"#, 422, "out_of_range", "preview.max_size"),
    (r#""preview":{"decoder":"linear"}"#, 422, "unsupported_value", "preview.decoder"),
    (r#""preview":{"decoder":"best"}"#, 422, "unsupported_value", "preview.decoder"),
    (r#""preview":{"format":"gif"}"#, 422, "unsupported_value", "preview.format"),
    (r#""output":{"format":"gif"}"#, 422, "unsupported_value", "output.format"),
    (r#""output":{"format":"jpeg","quality":0}"#, 422, "out_of_range", "output.quality"),
    (r#""output":{"quality":90}"#, 422, "conflicting_parameters", "output.quality"),
    (r#""output":{"format":"webp","metadata":true}"#, 422, "conflicting_parameters", "output.metadata"),
    (r#""output":{"inline":"yes"}"#, 422, "invalid_type", "output.inline"),
    (r#""priority":"urgent""#, 422, "unsupported_value", "priority"),
    (r#""deadline_seconds":0"#, 422, "out_of_range", "deadline_seconds"),
    (r#""deadline_seconds":3601"#, 422, "out_of_range", "deadline_seconds"),
    (r#""on_disconnect":"wait""#, 422, "unsupported_value", "on_disconnect"),
];

/// Whole requests with one wrong field.
const REQUESTS: &[(&str, u16, &str, &str)] = &[
    (r#"{}"#, 422, "missing_parameter", "class_label"),
    (r#"{"class_label":null}"#, 422, "missing_parameter", "class_label"),
    (r#"{"class_label":3}"#, 422, "out_of_range", "class_label"),
    (r#"{"class_label":-1}"#, 422, "out_of_range", "class_label"),
    (r#"{"class_label":99999999999999999999}"#, 422, "out_of_range", "class_label"),
    (r#"{"class_label":1.0}"#, 422, "invalid_type", "class_label"),
    (r#"{"class_label":true}"#, 422, "invalid_type", "class_label"),
    (r#"{"class_label":"three"}"#, 422, "unsupported_value", "class_label"),
    (r#"{"model":"nobody"}"#, 404, "model_not_found", "model"),
    (r#"{"model":""}"#, 404, "model_not_found", "model"),
    (r#"{"model":"../../etc/passwd"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"toy\u0000"}"#, 404, "model_not_found", "model"),
    (r#"{"model":7}"#, 422, "invalid_type", "model"),
    (r#"{"model":"blobs","class_label":0}"#, 422, "conflicting_parameters", "class_label"),
    (r#"{"model":"blobs","guidance_scale":2}"#, 422, "conflicting_parameters", "guidance_scale"),
    (r#"{"model":"words"}"#, 422, "empty_prompt", "prompt"),
    (r#"{"prompt":" \t\n"}"#, 422, "empty_prompt", "prompt"),
    (r#"{"prompt":"a\u0000b"}"#, 422, "invalid_prompt", "prompt"),
    (r#"{"prompt":"a\u001bb"}"#, 422, "invalid_prompt", "prompt"),
    (r#"{"prompt":"a","negative_prompt":"\u007f"}"#, 422, "invalid_prompt", "negative_prompt"),
    (r#"{"prompt":"a","class_label":0}"#, 422, "conflicting_parameters", "class_label"),
    (r#"{"prompt":"a","width":65}"#, 422, "invalid_size", "width"),
    (r#"{"prompt":"a","height":2049}"#, 422, "invalid_size", "height"),
    (r#"{"prompt":"a","clip_skip":13}"#, 422, "out_of_range", "clip_skip"),
    (r#"{"prompt":"a","width":2048,"height":2048,"steps":500}"#, 422, "cost_too_high", "steps"),
    (r#"{"prompt":"a","mask_image":"aGk="}"#, 422, "conflicting_parameters", "mask_image"),
    (r#"{"prompt":"a","strength":0.5}"#, 422, "conflicting_parameters", "strength"),
    (r#"{"prompt":"a","init_image":"a"}"#, 422, "invalid_base64", "init_image"),
    (r#"{"prompt":"a","init_image":""}"#, 422, "unsupported_image", "init_image"),
    (r#"{"prompt":"a","init_image":"data:image/gif;base64,aGk="}"#, 422, "invalid_base64", "init_image"),
    (r#"{"prompt":"a","init_image":"http://169.254.169.254/"}"#, 422, "invalid_base64", "init_image"),
    (r#"{"prompt":"a","init_image":"aGk="}"#, 422, "unsupported_image", "init_image"),
    (r#"{"prompt":"a","init_image":"iVBORw0KGgo="}"#, 422, "corrupt_image", "init_image"),
    (r#"{"prompt":"a","preview":{"decoder":"tiny"}}"#, 422, "unsupported_value", "preview.decoder"),
];

async fn check(server: &TestServer, body: String, status: u16, code: &str, field: Option<&str>) {
    let request = server.request(Method::POST, "/v1/generations").body(body.clone());
    let answer = request.header("content-type", "application/json").send().await.unwrap();
    let got = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json", "{body}");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{body}: {problem}");
    assert_eq!(problem["status"], status, "{body}");
    assert!(problem["detail"].as_str().unwrap().len() < 600, "{body}: {problem}");
    if let Some(field) = field {
        let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
        assert_eq!(fields, [field], "{body}: {problem}");
    }
}

#[tokio::test]
async fn every_wrong_request_has_its_status_its_code_and_its_field() {
    let server = TestServer::start().await;
    for (body, status, code) in BODIES {
        check(&server, (*body).to_owned(), *status, code, None).await;
    }
    for (fields, status, code, field) in TOY {
        check(&server, format!("{{\"model\":\"toy\",\"class_label\":0,{fields}}}"), *status, code, Some(field)).await;
    }
    for (body, status, code, field) in REQUESTS {
        check(&server, (*body).to_owned(), *status, code, Some(field)).await;
    }
    let too_long = json!({"prompt": "x".repeat(8193)}).to_string();
    check(&server, too_long, 422, "prompt_too_long", Some("prompt")).await;
    check(&server, "[".repeat(200), 400, "invalid_json", None).await;
    let invalid = server.request(Method::POST, "/v1/generations").body(&b"{\"prompt\":\"\xff\"}"[..]);
    assert_eq!(server.answer(invalid).await.1["code"], "invalid_json");

    server.finish(&json!({"class_label": 0})).await;
    let accepted = server.json("/v1/generations").await["data"].as_array().unwrap().len();
    assert_eq!(accepted, 1, "nothing is left of a wrong request");
}

#[tokio::test]
async fn pictures_that_do_not_fit_are_refused() {
    let server = TestServer::start().await;
    let picture = |width, height, value| json!(base64_picture(width, height, value));
    for (init, mask, more, code, field) in [
        (picture(60, 64, 9), json!(null), json!({}), "invalid_size", "init_image"),
        (picture(60, 64, 9), json!(null), json!({"width": 60}), "invalid_size", "width"),
        (picture(4096, 8, 9), json!(null), json!({}), "invalid_size", "init_image"),
        (picture(64, 64, 9), picture(32, 64, 255), json!({}), "mask_mismatch", "mask_image"),
        (picture(64, 64, 9), picture(64, 64, 0), json!({}), "mask_mismatch", "mask_image"),
        (picture(64, 64, 9), json!("aGk="), json!({}), "unsupported_image", "mask_image"),
        (picture(4097, 1, 9), json!(null), json!({}), "image_too_large", "init_image"),
    ] {
        let mut body = json!({"prompt": "a", "init_image": init, "mask_image": mask});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        check(&server, body.to_string(), 422, code, Some(field)).await;
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let server = TestServer::start().await;
    let body =
        json!({"class_label": "x", "steps": 0, "n": "2", "sampler": "guess", "colour": 1, "output": {"quality": 1}});
    let (status, problem) = server.answer(server.post(&body)).await;
    assert_eq!((status, problem["code"].as_str()), (400, Some("validation_failed")));
    let mut errors: Vec<String> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| format!("{} {}", error["field"].as_str().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    errors.sort_unstable();
    assert_eq!(
        errors,
        [
            "class_label unsupported_value",
            "colour unknown_parameter",
            "n invalid_type",
            "output.quality conflicting_parameters",
            "sampler unsupported_value",
            "steps out_of_range",
        ]
    );
    let message = |field: &str| {
        let errors = problem["errors"].as_array().unwrap();
        errors.iter().find(|error| error["field"] == field).unwrap()["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(message("steps"), "0 is less than 1");
    assert_eq!(message("class_label"), "toy has no class \"x\"; it has Zero, one, two words");
    assert!(message("sampler").contains("dpmpp_2m"));
}

#[tokio::test]
async fn a_size_that_cannot_be_names_those_that_can() {
    let server = TestServer::start().await;
    for (width, message) in [
        (65, "65 is not a multiple of 8; 64 and 72 are"),
        (3, "3 is not a multiple of 8; 8 is"),
        (2047, "2047 is not a multiple of 8; 2040 and 2048 are"),
    ] {
        let (_, problem) = server.answer(server.post(&json!({"prompt": "a", "width": width}))).await;
        assert_eq!(problem["errors"][0]["message"], message);
    }
}

#[tokio::test]
async fn headers_can_be_wrong_too() {
    let server = TestServer::start().await;
    let body = json!({"class_label": 0});
    for (name, value, status, code) in [
        ("content-type", "text/plain", 415, "unsupported_media_type"),
        ("content-type", "multipart/form-data; boundary=x", 415, "unsupported_media_type"),
        ("content-encoding", "gzip", 415, "unsupported_encoding"),
        ("accept", "text/html", 406, "not_acceptable"),
        ("accept", "image/gif", 406, "not_acceptable"),
    ] {
        let request = server.client.post(format!("{}/v1/generations", server.base)).header(name, value);
        let (got, problem) = server.answer(request.body(body.to_string())).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{name}: {value}");
    }
    let two = json!({"class_label": 0, "n": 2});
    let (status, problem) = server.answer(server.post(&two).header("accept", "image/png")).await;
    assert_eq!((status, problem["errors"][0]["field"].as_str()), (422, Some("n")));
}

#[tokio::test]
async fn addresses_can_be_wrong_too() {
    let server = TestServer::start().await;
    let long = format!("/{}", "x".repeat(9000));
    for (method, path, status, code) in [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/", 405, "method_not_allowed"),
        ("PUT", "/v1/generations", 405, "method_not_allowed"),
        ("TRACE", "/v1/models", 405, "method_not_allowed"),
        ("BREW", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/generations/no-id", 404, "job_not_found"),
        ("GET", "/v1/generations/0193f0c4-7b1e-7d52-8a52-3f2f0c7f4a10", 404, "job_not_found"),
        ("GET", "/v1/generations/0193f0c4-7b1e-7d52-8a52-3f2f0c7f4a10/events", 404, "job_not_found"),
        ("GET", "/v1/generations/0193f0c4-7b1e-7d52-8a52-3f2f0c7f4a10/images/0", 404, "job_not_found"),
        ("GET", "/v1/generations/%2e%2e%2f%2e%2e/images/0", 404, "job_not_found"),
        ("GET", "/v1/generations/%ff/images/0", 400, "bad_request"),
        ("GET", "/v1/models/nobody", 404, "model_not_found"),
        ("GET", &long, 414, "uri_too_long"),
    ] {
        let method: Method = method.parse().unwrap();
        let (got, problem) = server.answer(server.request(method, path)).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{path}: {problem}");
    }
    let allow = server.request(Method::PUT, "/v1/generations").send().await.unwrap().headers()["allow"].clone();
    assert_eq!(allow, "POST,GET,HEAD");
    let head = server.request(Method::HEAD, "/v1/models").send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.headers()["content-type"].to_str().unwrap()), (200, "application/json"));

    let record = server.finish(&json!({"class_label": 0})).await;
    for index in ["1", "-1", "x", "99999999999"] {
        let path = format!("/v1/generations/{}/images/{index}", record["id"].as_str().unwrap());
        let (status, problem) = server.answer(server.request(Method::GET, &path)).await;
        assert_eq!((status, problem["code"].as_str()), (404, Some("image_not_found")), "{index}");
    }
}
