//! Makes the pictures of the documents anew: `cargo run --release --package x0-tests --example pictures`.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use x0_tests::{Browser, Event, Server};

/// Images of each class.
const SEEDS: usize = 8;
/// Steps whose prediction is shown, of `fashion` and of `emoji`.
const STEPS: [u64; 7] = [1, 3, 5, 10, 15, 20, 25];
const EMOJI_STEPS: [u64; 5] = [1, 3, 6, 10, 20];
/// What `emoji` is asked for, eight a row. The seed of each is its place.
const PROMPTS: [&str; 40] = [
    "a red apple",
    "a cat face",
    "a rocket",
    "a house",
    "a sunflower",
    "a slice of pizza",
    "a tropical fish",
    "a red heart",
    "a soccer ball",
    "a rainbow",
    "a penguin",
    "a birthday cake",
    "a grinning face",
    "a red car",
    "a tree",
    "a dog",
    "an umbrella",
    "a green apple",
    "a banana",
    "a cup of coffee",
    "a snowman",
    "a guitar",
    "the sun",
    "a crescent moon",
    "a red apple, noto style",
    "a red apple, twemoji style",
    "a red apple, flat style",
    "a red apple, 3d style",
    "a rocket on a blue background",
    "a cat face on a pink background",
    "a banana on a black background",
    "a red heart on a yellow background",
    "a ghost",
    "a robot",
    "a mushroom",
    "a bicycle",
    "a blue book",
    "a key",
    "a crown",
    "a butterfly",
];
const COLUMNS: usize = 8;
/// Pixels between two pictures.
const GAP: u32 = 4;
const PAPER: Rgb<u8> = Rgb([255; 3]);

fn document(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).join(name)
}

fn decode(base64: &Value) -> RgbImage {
    let file = BASE64.decode(base64.as_str().expect("pictures are sent as text")).expect("it is base64");
    image::load_from_memory(&file).expect("it is a picture").to_rgb8()
}

/// Rows of pictures of equal size on white paper; each of their pixels becomes `scale` wide.
fn save(name: &str, scale: u32, rows: &[Vec<RgbImage>]) {
    let (width, height) = rows[0][0].dimensions();
    let (width, height) = (width * scale + GAP, height * scale + GAP);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let mut paper = RgbImage::from_pixel(columns * width - GAP, rows.len() as u32 * height - GAP, PAPER);
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

/// What `emoji` makes of the prompts.
async fn emoji(server: &Server) {
    let mut pictures = Vec::new();
    for (seed, prompt) in (0..).zip(PROMPTS) {
        let file = server.picture(&json!({"model": "emoji", "prompt": prompt, "seed": seed})).await;
        pictures.push(image::load_from_memory(&file).expect("it is a picture").to_rgb8());
    }
    save("emoji.png", 1, &pictures.chunks(COLUMNS).map(<[_]>::to_vec).collect::<Vec<_>>());
}

/// What a model predicts at `steps` of a request.
async fn predictions(server: &Server, request: &Value, steps: &[u64]) -> Vec<RgbImage> {
    let events = server.follow(request).await.rest().await;
    let step = |event: &Event| event.data["step"].as_u64().filter(|step| steps.contains(step));
    let shown = events.iter().filter(|event| event.name == "preview" && step(event).is_some());
    let row: Vec<_> = shown.map(|event| decode(&event.data["b64"])).collect();
    assert_eq!(row.len(), steps.len(), "a preview was missed; try again on a quieter machine");
    row
}

/// What the class-conditional model predicts on the way: a row for each picture.
async fn forming(server: &Server) {
    let mut rows = Vec::new();
    for (class, seed) in [("sneaker", 7), ("dress", 1), ("bag", 3)] {
        let request =
            json!({"model": "fashion", "class_label": class, "seed": seed, "steps": 25, "preview": {"every": 1}});
        rows.push(predictions(server, &request, &STEPS).await);
    }
    save("forming.png", 3, &rows);
}

/// What the text-to-image model predicts on the way, decoded by its autoencoder and by the linear map.
async fn emoji_forming(server: &Server) {
    let mut rows = Vec::new();
    for decoder in ["full", "linear"] {
        let preview = json!({"every": 1, "decoder": decoder});
        let request = json!({"prompt": "a red apple", "seed": 7, "steps": 20, "preview": preview});
        let row = predictions(server, &request, &EMOJI_STEPS).await;
        rows.push(row.iter().map(|picture| imageops::resize(picture, 64, 64, FilterType::Nearest)).collect());
    }
    save("emoji-forming.png", 2, &rows);
}

/// The web page when a picture is finished.
async fn page(server: &Server) {
    let browser = Browser::start(1180, 860).await;
    browser.open(&server.url("/")).await;
    browser.wait_for("document.querySelector('#examples').childElementCount > 0").await;
    browser.type_into("#prompt", "a red apple").await;
    browser.type_into("#seed", "7\u{e007}").await;
    browser.wait_for("document.querySelector('#status').textContent.startsWith('Done')").await;
    browser.wait_for("document.getAnimations().length === 0").await;
    fs::write(document("page.png"), BASE64.decode(browser.screenshot().await).expect("it is base64"))
        .expect("the folder can be written to");
}

#[tokio::main]
async fn main() {
    let server = Server::start();
    emoji(&server).await;
    emoji_forming(&server).await;
    classes(&server).await;
    forming(&server).await;
    page(&server).await;
}
