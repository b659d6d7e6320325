//! Whatever language a picture is asked for in, it is the same picture, and its generation has one id.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Luma, Rgba};
use serde_json::{Value, json};
use tempfile::TempDir;
use x0_tests::{Pixels, Server};

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/data").join(path)
}

/// A server with a small Stable Diffusion, `sd15`, besides the embedded models.
fn server() -> (TempDir, Server) {
    let models = TempDir::new().expect("a folder for temporary files");
    let target = data("sd15/model").canonicalize().expect("the models are part of the repository");
    std::os::unix::fs::symlink(target, models.path().join("sd15")).expect("the folder takes links");
    let server = Server::start_with(&["--models", models.path().to_str().expect("the path is text")]);
    (models, server)
}

async fn post(server: &Server, path: &str, body: &Value) -> reqwest::Response {
    let request = server.client().post(server.url(path)).header("prefer", "wait").json(body);
    let answer = request.send().await.expect("the server answers");
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer
}

async fn fetch(server: &Server, url: &Value) -> Vec<u8> {
    let answer = server.client().get(url.as_str().expect("an address")).send().await.expect("the server answers");
    answer.bytes().await.expect("the answer has a body").to_vec()
}

#[tokio::test]
async fn every_surface_gives_the_same_picture() {
    let (_models, server) = server();
    let native = json!({"model": "sd15", "prompt": "a red ball", "seed": 7, "steps": 4, "width": 64, "height": 64});
    let expected = Pixels::decode(&server.picture(&native).await);

    let openai = json!({"model": "sd15", "prompt": "a red ball", "seed": 7, "steps": 4, "size": "64x64"});
    let openai: Value = post(&server, "/v1/images/generations", &openai).await.json().await.unwrap();
    assert_eq!(Pixels::decode(&fetch(&server, &openai["data"][0]["url"]).await), expected);

    let parameters = json!({"seed": 7, "num_inference_steps": 4, "width": 64, "height": 64});
    let hugging_face = post(&server, "/hf/sd15", &json!({"inputs": "a red ball", "parameters": parameters})).await;
    assert_eq!(Pixels::decode(&hugging_face.bytes().await.unwrap()), expected);

    let input = json!({"prompt": "a red ball", "seed": 7, "num_inference_steps": 4, "width": 64, "height": 64});
    let replicate = post(&server, "/v1/predictions", &json!({"version": "sd15", "input": input})).await;
    let replicate: Value = replicate.json().await.unwrap();
    assert_eq!(Pixels::decode(&fetch(&server, &replicate["output"][0]).await), expected);

    for id in [&openai["generation_id"], &replicate["id"]] {
        let id = id.as_str().unwrap();
        assert_eq!(server.json(&format!("/v1/generations/{id}")).await["state"], "succeeded");
        assert_eq!(server.json(&format!("/v1/predictions/{id}")).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn openais_mask_is_ours_the_other_way_round() {
    let (_models, server) = server();
    let init = std::fs::read(data("sd15/init.png")).expect("the picture is part of the repository");
    let right = |x: u32| x >= 32;
    let clear = image::RgbaImage::from_fn(64, 64, |x, _| Rgba([0, 0, 0, if right(x) { 0 } else { 255 }]));
    let white = image::GrayImage::from_fn(64, 64, |x, _| Luma([if right(x) { 255 } else { 0 }]));
    let (mut clear_file, mut white_file) = (Cursor::new(Vec::new()), Cursor::new(Vec::new()));
    clear.write_to(&mut clear_file, ImageFormat::Png).unwrap();
    white.write_to(&mut white_file, ImageFormat::Png).unwrap();

    let mut form = Vec::new();
    let fields = [("model", "sd15"), ("prompt", "a red ball"), ("seed", "7"), ("steps", "4"), ("strength", "0.75")];
    let texts = fields.map(|(name, value)| (name, value.as_bytes()));
    for (name, content) in [("image", &init[..]), ("mask", clear_file.get_ref())].into_iter().chain(texts) {
        let file = if matches!(name, "image" | "mask") { "; filename=\"a.png\"" } else { "" };
        form.extend(format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes());
        form.extend(content);
        form.extend(b"\r\n");
    }
    form.extend(b"--x--\r\n");
    let request = server.client().post(server.url("/v1/images/edits"));
    let request = request.header("content-type", "multipart/form-data; boundary=x").body(form);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let edited = STANDARD.decode(answer["data"][0]["b64_json"].as_str().expect("a picture")).unwrap();

    let native = json!({"model": "sd15", "prompt": "a red ball", "seed": 7, "steps": 4, "strength": 0.75,
        "init_image": STANDARD.encode(init), "mask_image": STANDARD.encode(white_file.get_ref())});
    assert_eq!(Pixels::decode(&edited), Pixels::decode(&server.picture(&native).await));
}
