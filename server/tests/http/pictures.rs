//! Pictures that come with requests: those in `tests/data/pictures`, of which `make.py` says what they show.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use serde_json::{Value, json};
use x0_openapi::MaskWhere;
use x0_server::picture::{decode_image, decode_mask};
use x0_server::validate::Limits;

use crate::harness::TestServer;

/// The files of a folder: names and contents.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures").join(folder);
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(folder).unwrap().map(read).collect()
}

/// The colours of both halves, as the file's name says them.
fn halves(name: &str) -> [[i32; 3]; 2] {
    let transparent = |color: [i32; 3], alpha: i32| color.map(|value| (value * alpha + 255 * (255 - alpha)) / 255);
    let (rgb, gray) = ([[255, 0, 0], [0, 0, 255]], [[200; 3], [40; 3]]);
    match name.split_once('.').unwrap().0 {
        "one_bit" => [[255; 3], [0; 3]],
        "gray" | "gray_16_bits" => gray,
        "gray_transparent" => [[255; 3]; 2],
        "half_transparent" => rgb.map(|color| transparent(color, 128)),
        _ => rgb,
    }
}

#[test]
fn whatever_the_file_the_picture_is_the_same() {
    let good = files("good");
    assert!(good.len() > 25);
    for (name, file) in good {
        let picture = decode_image(&file, Limits::default().decode).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((picture.width, picture.height), (16, 8), "{name}");
        let near =
            if name.ends_with(".jpg") || name.starts_with("lossy") || name.starts_with("palette") { 12 } else { 1 };
        // The middle of each half: JPEG's blocks blur the border.
        for (x, expected) in [(3, halves(&name)[0]), (12, halves(&name)[1])] {
            let at = (3 * 16 + x) * 3;
            let found = &picture.bytes[at..at + 3];
            let off = found.iter().zip(expected).map(|(found, expected)| (i32::from(*found) - expected).abs()).max();
            assert!(off <= Some(near), "{name} at {x}: {found:?}, not {expected:?}");
        }
        assert!(decode_mask(&file, MaskWhere::White, Limits::default().decode).is_ok(), "{name} as a mask");
    }
}

#[tokio::test]
async fn nothing_of_a_file_but_its_pixels_is_kept() {
    let server = TestServer::start().await;
    for (name, file) in files("good") {
        for format in ["png", "jpeg", "webp"] {
            let body = json!({"prompt": "a", "init_image": BASE64.encode(&file), "width": 64, "height": 64, "steps": 1,
                "output": {"format": format, "metadata": format == "png"}});
            let record = server.finish(&body).await;
            assert_eq!(record["request"]["init_image"], json!({"width": 16, "height": 8}), "{name}");
            let answer = server.get(record["images"][0]["url"].as_str().unwrap()).await;
            assert_eq!(answer.headers()["content-type"], format!("image/{format}"));
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
            let made = answer.bytes().await.unwrap();
            for secret in [&b"<script"[..], b"Exif", b"EXIF", b"evil"] {
                assert!(!made.windows(secret.len()).any(|window| window == secret), "{name} {format}");
            }
        }
    }
}

#[tokio::test]
async fn bad_files_have_their_code() {
    let server = TestServer::start().await;
    let bad = files("bad");
    assert!(bad.len() > 20);
    for (name, file) in bad {
        let code = match name.split(['_', '.']).next() {
            Some("unsupported") => "unsupported_image",
            Some("corrupt") => "corrupt_image",
            _ => "image_too_large",
        };
        for field in ["init_image", "mask_image"] {
            let mut body = json!({"prompt": "a", "width": 64, "height": 64, "steps": 1});
            body["init_image"] =
                json!(BASE64.encode(&files("good").iter().find(|(name, _)| name == "rgb.png").unwrap().1));
            body[field] = json!(BASE64.encode(&file));
            let (status, problem) = server.answer(server.post(&body)).await;
            assert_eq!((status, problem["code"].as_str()), (422, Some(code)), "{name}: {problem}");
            let fields: Vec<&Value> =
                problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
            assert_eq!(fields, [field], "{name}");
            assert!(problem["detail"].as_str().unwrap().len() < 250, "{name}: {problem}");
        }
    }
    let all = server.answer(server.request(Method::GET, "/v1/generations")).await.1;
    assert_eq!(all["data"], json!([]), "nothing was accepted");
}
