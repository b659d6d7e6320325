//! Makes the pictures of the documents anew: `cargo run --release --package x0-tests --example pictures`.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::imageops::{self, FilterType};
use image::{GrayImage, Luma};
use serde_json::{Value, json};
use x0_tests::{Browser, Event, Server};

/// Images of each class.
const SEEDS: usize = 8;
/// Steps whose prediction is shown.
const STEPS: [u64; 7] = [1, 3, 5, 10, 15, 20, 25];
/// Pixels between two pictures.
const GAP: u32 = 4;
const PAPER: Luma<u8> = Luma([255]);

fn document(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).join(name)
}

fn decode(base64: &Value) -> GrayImage {
    let file = BASE64.decode(base64.as_str().expect("pictures are sent as text")).expect("it is base64");
    image::load_from_memory(&file).expect("it is a picture").to_luma8()
}

/// Rows of pictures of equal size on white paper; each of their pixels becomes `scale` wide.
fn save(name: &str, scale: u32, rows: &[Vec<GrayImage>]) {
    let (width, height) = rows[0][0].dimensions();
    let (width, height) = (width * scale + GAP, height * scale + GAP);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let mut paper = GrayImage::from_pixel(columns * width - GAP, rows.len() as u32 * height - GAP, PAPER);
    for (y, row) in (0..).zip(rows) {
        for (x, picture) in (0..).zip(row) {
            let large = imageops::resize(picture, width - GAP, height - GAP, FilterType::Nearest);
            imageops::replace(&mut paper, &large, i64::from(x * width), i64::from(y * height));
        }
    }
    paper.save(document(name)).expect("the folder can be written to");
}

/// The first images of every class, a column for each.
async fn classes(server: &Server) {
    let model = server.json("/v1/models/fashion").await;
    let mut columns = Vec::new();
    for class in model["classes"].as_array().expect("a list") {
        let request =
            json!({"model": "fashion", "class_label": class, "seed": 0, "n": SEEDS, "output": {"inline": true}});
        let post = server.client().post(server.url("/v1/generations")).header("prefer", "wait=300").json(&request);
        let record: Value = post.send().await.expect("an answer").json().await.expect("a record");
        let images = record["images"].as_array().expect("a list");
        columns.push(images.iter().map(|image| decode(&image["b64"])).collect::<Vec<_>>());
    }
    let row = |y: usize| columns.iter().map(|column| column[y].clone()).collect();
    save("classes.png", 2, &(0..SEEDS).map(row).collect::<Vec<_>>());
}

/// What the model predicts on the way: a row for each picture.
async fn forming(server: &Server) {
    let mut rows = Vec::new();
    for (class, seed) in [("sneaker", 7), ("dress", 1), ("bag", 3)] {
        let request =
            json!({"model": "fashion", "class_label": class, "seed": seed, "steps": 25, "preview": {"every": 1}});
        let events = server.follow(&request).await.rest().await;
        let step = |event: &Event| event.data["step"].as_u64().filter(|step| STEPS.contains(step));
        let shown = events.iter().filter(|event| event.name == "preview" && step(event).is_some());
        let row: Vec<_> = shown.map(|event| decode(&event.data["b64"])).collect();
        assert_eq!(row.len(), STEPS.len(), "a preview was missed; try again on a quieter machine");
        rows.push(row);
    }
    save("forming.png", 3, &rows);
}

/// The web page when a picture is finished.
async fn page(server: &Server) {
    let browser = Browser::start(1180, 860).await;
    browser.open(&server.url("/")).await;
    browser.wait_for("document.querySelector('#class_label').options.length").await;
    browser.type_into("#seed", "7\u{e007}").await;
    browser.wait_for("document.querySelector('#status').textContent.startsWith('Done')").await;
    browser.wait_for("document.getAnimations().length === 0").await;
    fs::write(document("page.png"), BASE64.decode(browser.screenshot().await).expect("it is base64"))
        .expect("the folder can be written to");
}

#[tokio::main]
async fn main() {
    let server = Server::start();
    classes(&server).await;
    forming(&server).await;
    page(&server).await;
}
