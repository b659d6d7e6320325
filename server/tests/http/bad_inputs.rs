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
    ("{\"n\":1}{\"n\":2}", 400, "invalid_json"),
    ("{'n':1}", 400, "invalid_json"),
    ("{\"n\":1,}", 400, "invalid_json"),
    ("{n:1}", 400, "invalid_json"),
    ("/* */{}", 400, "invalid_json"),
    ("{\"n\":01}", 400, "invalid_json"),
    ("{\"n\":+1}", 400, "invalid_json"),
    ("{\"n\":.5}", 400, "invalid_json"),
    ("{\"n\":1.}", 400, "invalid_json"),
    ("{\"n\":0x10}", 400, "invalid_json"),
    ("{\"n\":-}", 400, "invalid_json"),
    ("{\"n\":-Infinity}", 400, "invalid_json"),
    ("{\"n\":1e999999}", 400, "invalid_json"),
    ("{\"prompt\":\"\u{1}\"}", 400, "invalid_json"),
    ("{\"prompt\":\"\\q\"}", 400, "invalid_json"),
    ("{\"prompt\":\"\\u12\"}", 400, "invalid_json"),
    ("{\"prompt\":\"\\udc00\\ud800\"}", 400, "invalid_json"),
    ("{\"prompt\":\"", 400, "invalid_json"),
    ("\0{}", 400, "invalid_json"),
    ("{}\0", 400, "invalid_json"),
    ("True", 400, "invalid_json"),
    ("true", 400, "invalid_json_type"),
    ("-0.0", 400, "invalid_json_type"),
    ("[{}]", 400, "invalid_json_type"),
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
    (r#""steps":5.5"#, 422, "invalid_type", "steps"),
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
    (r#""prompt_syntax":"plain""#, 422, "conflicting_parameters", "prompt_syntax"),
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
    (r#""output":{"metadata":"no"}"#, 422, "invalid_type", "output.metadata"),
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
    (r#"{"class_label":1.5}"#, 422, "invalid_type", "class_label"),
    (r#"{"class_label":true}"#, 422, "invalid_type", "class_label"),
    (r#"{"class_label":"three"}"#, 422, "unsupported_value", "class_label"),
    (r#"{"model":"nobody"}"#, 404, "model_not_found", "model"),
    (r#"{"model":""}"#, 404, "model_not_found", "model"),
    (r#"{"model":"../../etc/passwd"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"toy\u0000"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"toy\n"}"#, 404, "model_not_found", "model"),
    (r#"{"model":" toy"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"TOY"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"tоy"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"/etc/passwd"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"..\\..\\windows"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"%2e%2e%2ftoy"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"./toy"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"toy/"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"C:toy"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"file:///toy"}"#, 404, "model_not_found", "model"),
    (r#"{"model":"\u202etoy"}"#, 404, "model_not_found", "model"),
    (r#"{"model":7}"#, 422, "invalid_type", "model"),
    (r#"{"model":"blobs","class_label":0}"#, 422, "conflicting_parameters", "class_label"),
    (r#"{"model":"blobs","guidance_scale":2}"#, 422, "conflicting_parameters", "guidance_scale"),
    (r#"{"model":"words"}"#, 422, "empty_prompt", "prompt"),
    (r#"{"prompt":" \t\n"}"#, 422, "empty_prompt", "prompt"),
    (r#"{"prompt":"a\u0000b"}"#, 422, "invalid_prompt", "prompt"),
    (r#"{"prompt":"a\u001bb"}"#, 422, "invalid_prompt", "prompt"),
    (r#"{"prompt":"a","negative_prompt":"\u007f"}"#, 422, "invalid_prompt", "negative_prompt"),
    (r#"{"prompt":"a","prompt_syntax":"comfy"}"#, 422, "unsupported_value", "prompt_syntax"),
    (r#"{"prompt":"a","prompt_syntax":1}"#, 422, "invalid_type", "prompt_syntax"),
    (r#"{"prompt":"[a:b:0.5]","prompt_syntax":"a1111"}"#, 422, "invalid_prompt_syntax", "prompt"),
    (r#"{"prompt":"[a:0.5]","prompt_syntax":"a1111"}"#, 422, "invalid_prompt_syntax", "prompt"),
    (r#"{"prompt":"[a|b]","prompt_syntax":"a1111"}"#, 422, "invalid_prompt_syntax", "prompt"),
    (r#"{"prompt":"a <lora:fur:1>","prompt_syntax":"a1111"}"#, 422, "lora_not_found", "prompt"),
    (r#"{"prompt":"<lora:fur>","prompt_syntax":"a1111"}"#, 422, "lora_not_found", "prompt"),
    (r#"{"prompt":"<lora:../../etc/passwd:1>","prompt_syntax":"a1111"}"#, 422, "invalid_name", "prompt"),
    (r#"{"prompt":"<lora:../../etc/passwd:0>","prompt_syntax":"a1111"}"#, 422, "invalid_name", "prompt"),
    (r#"{"prompt":"<hypernet:fur:1>","prompt_syntax":"a1111"}"#, 422, "invalid_prompt_syntax", "prompt"),
    (r#"{"prompt":"<hypernet:\u002e\u002e:1>","prompt_syntax":"a1111"}"#, 422, "invalid_name", "prompt"),
    (
        r#"{"prompt":"a","negative_prompt":"[a|b]","prompt_syntax":"a1111"}"#,
        422,
        "invalid_prompt_syntax",
        "negative_prompt",
    ),
    (
        r#"{"prompt":"a AND b AND c AND d AND e AND f AND g AND h AND i","prompt_syntax":"a1111"}"#,
        422,
        "invalid_prompt_syntax",
        "prompt",
    ),
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
    (r#"{"prompt":"a","init_image":"http://169.254.169.254/"}"#, 422, "url_not_allowed", "init_image"),
    (r#"{"prompt":"a","init_image":"https://example.com/a.png"}"#, 422, "url_not_allowed", "init_image"),
    (r#"{"prompt":"a","init_image":"file:///etc/passwd"}"#, 422, "url_not_allowed", "init_image"),
    (r#"{"prompt":"a","init_image":"data:image/svg+xml;base64,aGk="}"#, 422, "invalid_base64", "init_image"),
    (r#"{"prompt":"a","init_image":"data:image/png,aGk="}"#, 422, "invalid_base64", "init_image"),
    (r#"{"prompt":"a","init_image":"data:;base64,aGk="}"#, 422, "invalid_base64", "init_image"),
    (r#"{"prompt":"a","init_image":"data:image/png;base64"}"#, 422, "invalid_base64", "init_image"),
    (r#"{"prompt":"a","init_image":"aGk_"}"#, 422, "invalid_base64", "init_image"),
    (r#"{"prompt":"a","init_image":"aG k="}"#, 422, "invalid_base64", "init_image"),
    (r#"{"prompt":"a","init_image":"äöü"}"#, 422, "invalid_base64", "init_image"),
    (r#"{"prompt":"a","image_url":"https://example.com/a.png"}"#, 400, "unknown_parameter", "image_url"),
    (r#"{"prompt":"a","webhook":"http://169.254.169.254/"}"#, 400, "unknown_parameter", "webhook"),
    (r#"{"prompt":"a","__proto__":{}}"#, 400, "unknown_parameter", "__proto__"),
    (r#"{"prompt":"a","":1}"#, 400, "unknown_parameter", ""),
    (r#"{"prompt":"a","Steps":1}"#, 400, "unknown_parameter", "Steps"),
    (r#"{"prompt":"a\u0085b"}"#, 422, "invalid_prompt", "prompt"),
    (r#"{"prompt":"a\u009fb"}"#, 422, "invalid_prompt", "prompt"),
    (r#"{"prompt":"a\bb"}"#, 422, "invalid_prompt", "prompt"),
    (r#"{"prompt":"\u3000\u00a0"}"#, 422, "empty_prompt", "prompt"),
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
    let too_deep = json!({"prompt": "(".repeat(8192), "prompt_syntax": "a1111"}).to_string();
    check(&server, too_deep, 422, "invalid_prompt_syntax", Some("prompt")).await;
    check(&server, format!("{{\"preview\":{}1{}}}", "[".repeat(128), "]".repeat(128)), 400, "invalid_json", None).await;
    for bytes in [
        &b"{\"prompt\":\"\xff\"}"[..],
        b"{\"prompt\":\"\xc0\x80\"}",
        b"{\"prompt\":\"\xed\xa0\x80\"}",
        b"{\"prompt\":\"\xf4\x90\x80\x80\"}",
        b"\xff\xfe{\0}\0",
        b"\x1f\x8b\x08\0",
    ] {
        let invalid = server.request(Method::POST, "/v1/generations").body(bytes);
        let (status, problem) = server.answer(invalid).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("invalid_json")), "{bytes:?}");
    }

    server.finish(&json!({"class_label": 0})).await;
    let accepted = server.json("/v1/generations").await["data"].as_array().unwrap().len();
    assert_eq!(accepted, 1, "nothing is left of a wrong request");
}

#[tokio::test]
async fn every_field_has_its_type() {
    let server = TestServer::start().await;
    let integers = ["n", "width", "height", "steps", "clip_skip"];
    let numbers = ["guidance_scale", "guidance_rescale", "eta", "strength", "deadline_seconds"];
    let texts = ["model", "prompt", "negative_prompt", "sampler", "init_image", "mask_image"];
    let words = ["prompt_syntax", "noise_schedule", "timestep_spacing", "noise_source", "priority", "on_disconnect"];
    let objects = ["preview", "output"];
    let type_errors: [(&[&str], &[&str], u16, &str); 7] = [
        (&integers, &["\"5\"", "1.5", "1e-1", "true", "[]", "[1]", "{}"], 422, "invalid_type"),
        (&numbers, &["\"1\"", "false", "[]", "[0.5]", "{}"], 422, "invalid_type"),
        (&numbers, &["1e39", "-1e39", "1e308", "-1", "-0.0001"], 422, "out_of_range"),
        (&texts, &["7", "true", "[]", "[\"a\"]", "{}"], 422, "invalid_type"),
        (&words, &["7", "true", "[]", "{}"], 422, "invalid_type"),
        (&words, &["\"\"", "\"none of them\"", "\"Default\"", "\"torch\\u0000\""], 422, "unsupported_value"),
        (&objects, &["[]", "[1]", "\"png\"", "7", "false"], 400, "invalid_json_type"),
    ];
    for (fields, values, status, code) in type_errors {
        for (field, value) in fields.iter().flat_map(|field| values.iter().map(move |value| (field, value))) {
            let named = if *field == "model" { "" } else { "\"model\":\"toy\"," };
            let body = format!("{{{named}\"class_label\":0,\"{field}\":{value}}}");
            check(&server, body, status, code, Some(field)).await;
        }
    }
}

#[tokio::test]
async fn strange_texts_are_texts() {
    let server = TestServer::start().await;
    for syntax in ["plain", "a1111"] {
        for prompt in [
            "Z\u{351}\u{36b}\u{343}a\u{36a}\u{302}l\u{36b}\u{33d}g\u{34f}o",
            "👩‍👩‍👧‍👦 family 🏳️‍🌈",
            "\u{202e}sdrawkcab\u{202c}",
            "\u{378}\u{fdd0}\u{10ffff}\u{e000}",
            "漢字かな交じり文 한국어 العربية עברית",
            "((a:1e308) (b:nan) (c:-inf) ]) :1.5) \\",
            "a\tb\nc\r\nd",
            "<script>alert(1)</script> ${jndi:ldap://x} '; DROP TABLE",
            "BREAK BREAK AND AND",
        ] {
            let record = server.finish(&json!({"prompt": prompt, "prompt_syntax": syntax, "steps": 1})).await;
            assert_eq!(record["request"]["prompt"], prompt, "{syntax}");
        }
    }
    let longest = "()".repeat(4096);
    server.finish(&json!({"prompt": longest, "negative_prompt": longest, "prompt_syntax": "a1111", "steps": 1})).await;
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
        ("content-type", "application/xml", 415, "unsupported_media_type"),
        ("content-type", "application/jsonx", 415, "unsupported_media_type"),
        ("content-type", "image/png", 415, "unsupported_media_type"),
        ("content-type", "application", 415, "unsupported_media_type"),
        ("content-encoding", "gzip", 415, "unsupported_encoding"),
        ("content-encoding", "GZIP", 415, "unsupported_encoding"),
        ("content-encoding", "br", 415, "unsupported_encoding"),
        ("content-encoding", "deflate", 415, "unsupported_encoding"),
        ("content-encoding", "zstd", 415, "unsupported_encoding"),
        ("content-encoding", "identity, gzip", 415, "unsupported_encoding"),
        ("content-encoding", "nonsense", 415, "unsupported_encoding"),
        ("accept", "application/json;q=0", 406, "not_acceptable"),
        ("accept", "application/xml, video/*", 406, "not_acceptable"),
        ("accept", "nonsense", 406, "not_acceptable"),
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
        ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", 404, "model_not_found"),
        ("GET", "/v1/models/%00", 404, "model_not_found"),
        ("GET", "/v1/models/toy%00", 404, "model_not_found"),
        ("GET", "/v1/models/TOY", 404, "model_not_found"),
        ("GET", "/v1/models/%ff", 400, "bad_request"),
        ("GET", "/v1/models/toy/", 404, "not_found"),
        ("GET", "//v1/models", 404, "not_found"),
        ("GET", "/v1/models%2f", 404, "not_found"),
        ("GET", "/V1/models", 404, "not_found"),
        ("GET", "/v1/generations?limit=0", 422, "out_of_range"),
        ("GET", "/v1/generations?limit=1001", 422, "out_of_range"),
        ("GET", "/v1/generations?limit=ten", 422, "invalid_type"),
        ("GET", "/v1/generations?after=nothing", 422, "invalid_type"),
        ("DELETE", "/v1/generations/no-id", 404, "job_not_found"),
        ("DELETE", "/v1/generations/0193f0c4-7b1e-7d52-8a52-3f2f0c7f4a10", 404, "job_not_found"),
        ("DELETE", "/v1/models/toy", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/livez", 405, "method_not_allowed"),
        ("PATCH", "/v1/generations/0193f0c4-7b1e-7d52-8a52-3f2f0c7f4a10", 405, "method_not_allowed"),
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
