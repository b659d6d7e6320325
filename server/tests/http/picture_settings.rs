//! Reading from a picture's file how it was made.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, base64_picture};

async fn settings(server: &TestServer, image: &str) -> (u16, Value) {
    server.answer(server.request(Method::POST, "/v1/pictures/settings").json(&json!({"image": image}))).await
}

#[tokio::test]
async fn our_own_pictures_give_the_request_that_makes_them_again() {
    let server = TestServer::start().await;
    for body in [
        json!({"model": "toy", "class_label": "one", "seed": 7, "steps": 3}),
        json!({"prompt": "ein Schäfchen 🐑", "negative_prompt": "a\nb", "seed": "18446744073709551615", "steps": 2, "sampler": "dpmpp_2m",
               "noise_schedule": "karras", "noise_source": "philox", "clip_skip": 1,
               "variation": {"seed": 3, "strength": 0.25}, "highres": {"scale": 1.5, "steps": 2, "upscaler": "lanczos"}}),
    ] {
        let file = server.picture(&body).await;
        let (status, answer) = settings(&server, &BASE64.encode(&file)).await;
        assert_eq!((status, answer["source"].as_str()), (200, Some("x0")), "{answer}");
        assert_eq!(server.picture(&answer["request"]).await, file, "{answer}");
    }
    let start = json!({"prompt": "a", "steps": 2, "init_image": base64_picture(64, 64, 9), "strength": 0.5});
    let (_, answer) = settings(&server, &BASE64.encode(server.picture(&start).await)).await;
    assert!(answer["request"]["init_image"].is_null() && answer["request"]["strength"].is_null(), "{answer}");
}

/// The picture in a format of one's own.
async fn picture(server: &TestServer, body: &Value, format: &str) -> Vec<u8> {
    let answer = server.post(body).header("accept", format!("image/{format}")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn jpeg_and_webp_say_it_in_automatic1111s_words() {
    let server = TestServer::start().await;
    for format in ["jpeg", "webp"] {
        let mut body = json!({"model": "words", "prompt": "ein Schäfchen 🐑, (nah:1.2)", "negative_prompt": "a\nb", "seed": 7, "steps": 3,
            "guidance_scale": 4.5, "prompt_syntax": "a1111"});
        let file = picture(&server, &body, format).await;
        let (_, answer) = settings(&server, &BASE64.encode(&file)).await;
        assert_eq!(answer["source"], "automatic1111", "{answer}");
        for field in ["model", "prompt", "negative_prompt", "seed", "steps", "guidance_scale", "prompt_syntax"] {
            assert_eq!(answer["request"][field], body[field], "{format} {field}");
        }
        assert_eq!(picture(&server, &answer["request"], format).await, file, "{format}");

        // Over AUTOMATIC1111's own surface, with its timesteps; and without a word.
        let asked = json!({"prompt": "", "seed": 7, "steps": 3, "sampler_name": "Euler", "width": 64, "height": 64,
            "override_settings": {"samples_format": if format == "jpeg" { "jpg" } else { format }, "jpeg_quality": 90}});
        let (_, answer) = server.answer(server.request(Method::POST, "/sdapi/v1/txt2img").json(&asked)).await;
        let theirs = answer["images"][0].as_str().unwrap();
        let (_, answer) = settings(&server, theirs).await;
        assert_eq!(BASE64.encode(picture(&server, &answer["request"], format).await), theirs, "{format}: {answer}");

        let info = server.request(Method::POST, "/sdapi/v1/png-info").json(&json!({"image": BASE64.encode(&file)}));
        let (status, info) = server.answer(info).await;
        assert_eq!((status, &info["parameters"]["Seed"]), (200, &json!("7")), "{info}");
        assert!(
            info["info"]
                .as_str()
                .unwrap()
                .starts_with("ein Schäfchen 🐑, (nah:1.2)\nNegative prompt: a\nb\nSteps: 3, ")
        );

        body["output"] = json!({"metadata": false});
        let silent = BASE64.encode(picture(&server, &body, format).await);
        assert_eq!(settings(&server, &silent).await.1, json!({"source": null, "request": {}}), "{format}");
    }
}

#[tokio::test]
async fn what_a_jpeg_cannot_carry_is_said() {
    let server = TestServer::start_with(|config| config.limits.prompt_chars = 20_000).await;
    let long = "🐑".repeat(17_000);
    for (format, warned) in [("png", false), ("jpeg", true), ("webp", false)] {
        let record = server.finish(&json!({"prompt": long, "steps": 1, "output": {"format": format}})).await;
        let warnings = record["warnings"].to_string();
        assert_eq!(warnings.contains("too long for JPEG files to say"), warned, "{format}: {warnings}");
    }
}

/// A PNG file of one pixel with a text.
fn file(keyword: &str, text: &str) -> String {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 1, 1);
    encoder.add_itxt_chunk(keyword.to_owned(), text.to_owned()).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[0]).unwrap();
    writer.finish().unwrap();
    BASE64.encode(file)
}

#[tokio::test]
async fn texts_of_automatic1111_become_requests() {
    let server = TestServer::start().await;
    let text = "a cat\nNegative prompt: a dog\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Automatic, CFG scale: 6.5, Seed: 3, Size: 512x768, \
                Model hash: 6ce0161689, Model: words, Denoising strength: 0.4, Clip skip: 2, Hires upscale: 1.5, Hires steps: 8, \
                Hires upscaler: Latent (bicubic), Variation seed: 9, Variation seed strength: 0.1, Version: v1.10.1";
    let (_, answer) = settings(&server, &file("parameters", text)).await;
    let expected = json!({"model": "words", "prompt": "a cat", "negative_prompt": "a dog", "steps": 20, "sampler": "dpmpp_2m",
        "noise_schedule": "karras", "timestep_spacing": "linspace", "guidance_scale": 6.5, "seed": 3, "width": 512, "height": 768,
        "clip_skip": 1, "noise_source": "philox", "prompt_syntax": "a1111", "variation": {"seed": 9, "strength": 0.1},
        "highres": {"upscaler": "latent_bicubic", "scale": 1.5, "strength": 0.4, "steps": 8}});
    assert_eq!(answer, json!({"source": "automatic1111", "request": expected}));
    let old = "a cat\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 3, Model: unknown";
    let (_, answer) = settings(&server, &file("parameters", old)).await;
    assert_eq!((&answer["request"]["noise_schedule"], &answer["request"]["model"]), (&json!("karras"), &Value::Null));
}

#[tokio::test]
async fn what_says_nothing_gives_nothing() {
    let server = TestServer::start().await;
    let nothing = json!({"source": null, "request": {}});
    assert_eq!(settings(&server, &base64_picture(4, 4, 1)).await, (200, nothing));
    let (_, hostile) =
        settings(&server, &file("x0", r#"{"steps":"many","seed":7,"model":"../x","evil":1,"init_image":"aGk="}"#))
            .await;
    assert_eq!(hostile["request"], json!({"seed": 7}), "what is well-formed");
    for (image, code) in [("?", "invalid_base64"), ("iVBORw0KGgo=", "corrupt_image")] {
        let (status, answer) = settings(&server, image).await;
        assert_eq!((status, answer["code"].as_str()), (422, Some(code)));
    }
    let (status, answer) = server.answer(server.request(Method::POST, "/v1/pictures/settings").json(&json!({}))).await;
    assert_eq!((status, answer["code"].as_str()), (422, Some("missing_parameter")));
}
