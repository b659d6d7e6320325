//! Requests that are wrong, in other APIs' words: each has its status, its code, and the field that is to blame.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, base64_picture};
use crate::surfaces::form;

/// The request for `toy` to OpenAI's route, with one wrong field: its JSON, the status, the code, the field's name.
const OPENAI: &[(&str, u16, &str, &str)] = &[
    (r#""colour":"red""#, 400, "unknown_parameter", "colour"),
    (r#""n":0"#, 400, "out_of_range", "n"),
    (r#""n":"1""#, 400, "invalid_type", "n"),
    (r#""n":9"#, 400, "out_of_range", "n"),
    (r#""size":"large""#, 400, "invalid_size", "size"),
    (r#""size":"8x""#, 400, "invalid_size", "size"),
    (r#""size":"-8x8""#, 400, "invalid_size", "size"),
    (r#""size":"8x8x8""#, 400, "invalid_size", "size"),
    (r#""size":"99999999999x8""#, 400, "invalid_size", "size"),
    (r#""size":"1024x8""#, 400, "invalid_size", "size"),
    (r#""size":8"#, 400, "invalid_type", "size"),
    (r#""size":"8x8","width":8"#, 400, "conflicting_parameters", "size"),
    (r#""quality":"ultra""#, 400, "unsupported_value", "quality"),
    (r#""quality":"low","steps":3"#, 400, "conflicting_parameters", "quality"),
    (r#""style":"vivid""#, 400, "unsupported_value", "style"),
    (r#""style":"natural""#, 400, "unsupported_value", "style"),
    (r#""background":"transparent""#, 400, "unsupported_value", "background"),
    (r#""background":"red""#, 400, "unsupported_value", "background"),
    (r#""moderation":"none""#, 400, "unsupported_value", "moderation"),
    (r#""user":7"#, 400, "invalid_type", "user"),
    (r#""response_format":"png""#, 400, "unsupported_value", "response_format"),
    (r#""output_format":"gif""#, 400, "unsupported_value", "output_format"),
    (r#""output_format":"png","output":{"format":"webp"}"#, 400, "conflicting_parameters", "output_format"),
    (r#""output_compression":50"#, 400, "conflicting_parameters", "output_compression"),
    (r#""output_format":"webp","output_compression":50"#, 400, "conflicting_parameters", "output_compression"),
    (r#""output_format":"jpeg","output_compression":101"#, 400, "out_of_range", "output_compression"),
    (r#""output_format":"jpeg","output_compression":-1"#, 400, "out_of_range", "output_compression"),
    (r#""stream":"true""#, 400, "invalid_type", "stream"),
    (r#""stream":true,"partial_images":4"#, 400, "out_of_range", "partial_images"),
    (r#""stream":true,"partial_images":-1"#, 400, "out_of_range", "partial_images"),
    (r#""stream":true,"partial_images":1,"preview":{"every":1}"#, 400, "conflicting_parameters", "partial_images"),
    (r#""partial_images":1"#, 400, "conflicting_parameters", "partial_images"),
    (r#""seed":-1"#, 400, "out_of_range", "seed"),
    (r#""steps":0"#, 400, "out_of_range", "steps"),
    (r#""sampler":"guess""#, 400, "unsupported_value", "sampler"),
    (r#""negative_prompt":"two""#, 400, "conflicting_parameters", "negative_prompt"),
    (r#""class_label":1"#, 400, "conflicting_parameters", "prompt"),
];

/// Whole requests to OpenAI's route.
const OPENAI_REQUESTS: &[(&str, u16, &str, Option<&str>)] = &[
    ("", 400, "invalid_json", None),
    ("[]", 400, "invalid_json_type", None),
    (r#"{"model":"toy"}"#, 400, "missing_parameter", Some("prompt")),
    (r#"{"model":"toy","prompt":"three"}"#, 400, "unsupported_value", Some("prompt")),
    (r#"{"model":"toy","prompt":7}"#, 400, "invalid_type", Some("prompt")),
    (r#"{"model":"dall-e-3","prompt":"one"}"#, 404, "model_not_found", Some("model")),
    (r#"{"model":"words","prompt":" "}"#, 400, "empty_prompt", Some("prompt")),
    (r#"{"model":"blobs","prompt":"one"}"#, 400, "conflicting_parameters", Some("prompt")),
    (r#"{"prompt":"a","size":"60x64"}"#, 400, "invalid_size", Some("size")),
];

/// The request for `toy` to Hugging Face's route: its parameters, the status, the error's type, how the message begins.
const HUGGING_FACE: &[(&str, u16, &str, &str)] = &[
    (r#"{"num_inference_steps":0}"#, 422, "out_of_range", "parameters.num_inference_steps: "),
    (r#"{"num_inference_steps":"5"}"#, 422, "invalid_type", "parameters.num_inference_steps: "),
    (r#"{"num_inference_steps":3,"steps":3}"#, 422, "conflicting_parameters", "parameters.num_inference_steps: "),
    (r#"{"steps":0}"#, 422, "out_of_range", "parameters.steps: "),
    (r#"{"scheduler":"GuessScheduler"}"#, 422, "unsupported_value", "parameters.scheduler: "),
    (r#"{"target_size":{"width":9}}"#, 422, "invalid_size", "parameters.target_size.width: "),
    (r#"{"target_size":[8,8]}"#, 400, "invalid_json_type", "parameters.target_size: "),
    (r#"{"width":9}"#, 422, "invalid_size", "parameters.width: "),
    (r#"{"n":2}"#, 422, "conflicting_parameters", "parameters.n: "),
    (r#"{"model":"words"}"#, 422, "unsupported_value", "parameters.model: "),
    (r#"{"prompt":"one"}"#, 422, "conflicting_parameters", "inputs: "),
    (r#"{"colour":1}"#, 400, "unknown_parameter", "parameters.colour: "),
    (r#"[]"#, 400, "invalid_json_type", "parameters: "),
];

/// The request for `toy` to Replicate's route: its input, the status, the code, the field.
const REPLICATE: &[(&str, u16, &str, &str)] = &[
    (r#"{"prompt":"three"}"#, 422, "unsupported_value", "input.prompt"),
    (r#"{}"#, 422, "missing_parameter", "input.prompt"),
    (r#"{"prompt":"one","num_outputs":9}"#, 422, "out_of_range", "input.num_outputs"),
    (r#"{"prompt":"one","num_outputs":1,"n":1}"#, 422, "conflicting_parameters", "input.num_outputs"),
    (r#"{"prompt":"one","num_inference_steps":0}"#, 422, "out_of_range", "input.num_inference_steps"),
    (r#"{"prompt":"one","scheduler":"guess"}"#, 422, "unsupported_value", "input.scheduler"),
    (r#"{"prompt":"one","image":"aGk="}"#, 422, "conflicting_parameters", "input.image"),
    (r#"{"prompt":"one","prompt_strength":2}"#, 422, "out_of_range", "input.prompt_strength"),
    (r#"{"prompt":"one","output_format":"gif"}"#, 422, "unsupported_value", "input.output_format"),
    (r#"{"prompt":"one","output_quality":90}"#, 422, "conflicting_parameters", "input.output_quality"),
    (r#"{"prompt":"one","model":"toy"}"#, 422, "unsupported_value", "input.model"),
    (r#"{"prompt":"one","colour":1}"#, 400, "unknown_parameter", "input.colour"),
    (r#"[]"#, 400, "invalid_json_type", "input"),
];

async fn post(server: &TestServer, path: &str, body: &str) -> (u16, String, Value) {
    let request = server.request(Method::POST, path).header("content-type", "application/json").body(body.to_owned());
    let answer = request.send().await.unwrap();
    let media_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(answer.headers().contains_key("x-request-id"));
    (answer.status().as_u16(), media_type, answer.json().await.unwrap())
}

async fn openai(server: &TestServer, body: &str, status: u16, code: &str, param: Option<&str>) {
    let (got, media_type, answer) = post(server, "/v1/images/generations", body).await;
    assert_eq!((got, media_type.as_str()), (status, "application/json"), "{body}: {answer}");
    let error = &answer["error"];
    let expected = (&json!(code), &json!(param), &json!("invalid_request_error"));
    assert_eq!((&error["code"], &error["param"], &error["type"]), expected, "{body}: {answer}");
    assert!(error["message"].as_str().unwrap().len() < 600, "{body}: {answer}");
}

#[tokio::test]
async fn openais_errors_have_their_status_their_code_and_their_field() {
    let server = TestServer::start().await;
    for (fields, status, code, param) in OPENAI {
        let body = format!("{{\"model\":\"toy\",\"prompt\":\"one\",{fields}}}");
        openai(&server, &body, *status, code, Some(param)).await;
    }
    for (body, status, code, param) in OPENAI_REQUESTS {
        openai(&server, body, *status, code, *param).await;
    }
    assert!(server.json("/v1/generations").await["data"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn openais_error_is_this_to_the_letter() {
    let server = TestServer::start().await;
    let body = r#"{"model":"toy","prompt":"three","steps":0}"#;
    let (_, _, answer) = post(&server, "/v1/images/generations", body).await;
    let message = "steps: 0 is less than 1; prompt: toy has no class \"three\"; it has Zero, one, two words";
    let error =
        json!({"message": message, "type": "invalid_request_error", "param": "steps", "code": "validation_failed"});
    assert_eq!(answer, json!({"error": error}));
    for (method, path, status, code) in [
        (Method::GET, "/v1/images/generations", 405, "method_not_allowed"),
        (Method::POST, "/v1/images/variations", 404, "not_found"),
    ] {
        let (got, answer) = server.answer(server.request(method, path)).await;
        assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)));
    }
}

#[tokio::test]
async fn forms_can_be_wrong_too() {
    let server = TestServer::start().await;
    let picture = base64_picture(64, 64, 9);
    let image = ("image", picture.as_str());
    let small = base64_picture(32, 64, 9);
    for (fields, code, param) in [
        (&[("prompt", "a")][..], "missing_parameter", "image"),
        (&[image, ("image[]", &picture), ("prompt", "a")], "unsupported_value", "image"),
        (&[("image", "aGk="), ("prompt", "a")], "unsupported_image", "image"),
        (&[image, ("prompt", "a"), ("mask", &small)], "mask_mismatch", "mask"),
        (&[image, ("prompt", "a"), ("prompt", "b")], "unsupported_value", "prompt"),
        (&[image, ("prompt", "a"), ("steps", "many")], "invalid_type", "steps"),
        (&[image, ("prompt", "a"), ("input_fidelity", "high")], "unsupported_value", "input_fidelity"),
        (&[image, ("prompt", "a"), ("init_image", "aGk=")], "conflicting_parameters", "image"),
        (&[image, ("prompt", "a"), ("mask_where", "white")], "conflicting_parameters", "mask_where"),
        (&[image, ("prompt", "one"), ("model", "toy")], "conflicting_parameters", "image"),
        (&[image, ("prompt", "a"), ("size", "60x64")], "invalid_size", "size"),
        (&[image, ("prompt", "a"), ("colour[red]", "1")], "unknown_parameter", "colour"),
    ] {
        let (status, answer) = server.answer(form(&server, fields)).await;
        let error = &answer["error"];
        assert_eq!(
            (status, &error["code"], &error["param"]),
            (400, &json!(code), &json!(param)),
            "{fields:?}: {answer}"
        );
    }
    for (media_type, body, status, code) in [
        ("application/json", "{}", 415, "unsupported_media_type"),
        ("multipart/form-data", "", 415, "unsupported_media_type"),
        ("multipart/form-data; boundary=x", "prompt=a", 400, "invalid_multipart"),
    ] {
        let request = server.request(Method::POST, "/v1/images/edits").header("content-type", media_type).body(body);
        let (got, answer) = server.answer(request).await;
        assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{media_type}");
    }
}

#[tokio::test]
async fn hugging_faces_errors_have_their_status_and_their_words() {
    let server = TestServer::start().await;
    for (parameters, status, kind, message) in HUGGING_FACE {
        let body = format!("{{\"inputs\":\"one\",\"parameters\":{parameters}}}");
        let (got, media_type, answer) = post(&server, "/hf/toy", &body).await;
        assert_eq!((got, media_type.as_str()), (*status, "application/json"), "{body}: {answer}");
        assert_eq!(answer["error_type"], *kind, "{body}: {answer}");
        assert!(answer["error"].as_str().unwrap().starts_with(message), "{body}: {answer}");
    }
    for (path, body, status, kind) in [
        ("/hf/toy", "{}", 422, "missing_parameter"),
        ("/hf/toy", r#"{"inputs":7}"#, 422, "invalid_type"),
        ("/hf/toy", "[]", 400, "invalid_json_type"),
        ("/hf/toy", r#"{"inputs":"one","colour":1}"#, 400, "unknown_parameter"),
        ("/hf/toy", r#"{"inputs":"iVBORw0KGgo="}"#, 422, "validation_failed"),
        ("/hf/words", r#"{"inputs":"iVBORw0KGgo="}"#, 422, "corrupt_image"),
        ("/hf/nobody", r#"{"inputs":"one"}"#, 404, "model_not_found"),
        ("/hf/a/b", r#"{"inputs":"one"}"#, 404, "not_found"),
    ] {
        let (got, _, answer) = post(&server, path, body).await;
        assert_eq!((got, &answer["error_type"]), (status, &json!(kind)), "{path} {body}: {answer}");
    }
    let (_, _, answer) = post(&server, "/hf/toy", r#"{"inputs":"one","colour":1}"#).await;
    assert_eq!(answer["error"], "colour: is not a field of this request");
    let empty = server.request(Method::POST, "/hf/words").header("content-type", "image/png").body("");
    assert_eq!(server.answer(empty).await.1["error_type"], "unsupported_image");
}

#[tokio::test]
async fn replicates_errors_have_their_status_their_code_and_their_field() {
    let server = TestServer::start().await;
    for (input, status, code, field) in REPLICATE {
        let body = format!("{{\"version\":\"toy\",\"input\":{input}}}");
        let (got, media_type, problem) = post(&server, "/v1/predictions", &body).await;
        assert_eq!((got, media_type.as_str()), (*status, "application/problem+json"), "{body}: {problem}");
        assert_eq!(problem["code"], *code, "{body}: {problem}");
        let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
        assert_eq!(fields, [field], "{body}: {problem}");
    }
    for (path, body, status, code) in [
        ("/v1/predictions", r#"{"input":{"prompt":"one"}}"#, 422, "missing_parameter"),
        ("/v1/predictions", r#"{"version":"nobody","input":{"prompt":"one"}}"#, 404, "model_not_found"),
        ("/v1/predictions", r#"{"version":"other/toy","input":{"prompt":"one"}}"#, 404, "model_not_found"),
        ("/v1/predictions", r#"{"version":"x0/toy:old","input":{"prompt":"one"}}"#, 404, "model_not_found"),
        (
            "/v1/predictions",
            r#"{"version":"toy","input":{"prompt":"one"},"webhook":"http://x/"}"#,
            422,
            "unsupported_value",
        ),
        ("/v1/models/other/toy/predictions", r#"{"input":{"prompt":"one"}}"#, 404, "model_not_found"),
        (
            "/v1/models/x0/toy/predictions",
            r#"{"version":"toy","input":{"prompt":"one"}}"#,
            422,
            "conflicting_parameters",
        ),
    ] {
        let (got, _, problem) = post(&server, path, body).await;
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{path} {body}: {problem}");
    }
    let (status, _, problem) = post(&server, "/v1/files", "{}").await;
    assert_eq!((status, &problem["code"]), (501, &json!("not_implemented")));
    for (path, status, code) in [
        ("/v1/predictions/no-id", 404, "job_not_found"),
        ("/v1/predictions?cursor=x", 422, "invalid_type"),
        ("/v1/predictions?page=2", 400, "unknown_parameter"),
        ("/v1/models/other/toy", 404, "model_not_found"),
        ("/v1/models/x0/nobody/versions", 404, "model_not_found"),
        ("/v1/models/x0/toy/versions/1", 404, "model_not_found"),
    ] {
        let (got, problem) = server.answer(server.request(Method::GET, path)).await;
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{path}: {problem}");
    }
}
