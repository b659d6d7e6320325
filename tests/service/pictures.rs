//! Asking for pictures and getting them.

use serde_json::json;
use x0_tests::{Pixels, Server};

#[tokio::test]
async fn the_first_request_of_the_readme_gives_a_sneaker() {
    let server = Server::start();
    let request = json!({"model": "fashion", "class_label": "sneaker", "seed": 7});
    let answer = server.post(&request, "image/png").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "image/png");
    assert_eq!(answer.headers()["x-seed"], "7");
    let id = answer.headers()["x-generation-id"].to_str().unwrap().to_owned();
    let file = answer.bytes().await.unwrap();

    let pixels = Pixels::decode(&file);
    assert_eq!((pixels.width, pixels.height), (28, 28));
    assert!(pixels.variety() > 50, "a picture has many levels of gray");
    // A sneaker lies on its sole: there is nothing in the uppermost rows, and much in the lower half.
    let mean = |rows: &[u8]| rows.iter().map(|level| f64::from(*level)).sum::<f64>() / rows.len() as f64;
    let (above, below) = (mean(&pixels.levels[..5 * 28]), mean(&pixels.levels[14 * 28..22 * 28]));
    assert!(above < 20.0 && below > 60.0, "{above} above, {below} below");

    let again = server.picture(&request).await;
    assert_eq!(again, file, "the same request gives the same bytes");
    let other = server.picture(&json!({"model": "fashion", "class_label": "sneaker", "seed": 8})).await;
    assert_ne!(other, file, "another seed gives another picture");

    let kept = server.client().get(server.url(&format!("/v1/generations/{id}/images/0"))).send().await.unwrap();
    assert_eq!(kept.bytes().await.unwrap(), file, "the picture can be fetched again");
}

#[tokio::test]
async fn a_record_tells_how_to_make_its_pictures_again() {
    let server = Server::start();
    let request = json!({"class_label": "bag", "n": 3, "steps": 4});
    let client = server.client();
    let post = client.post(server.url("/v1/generations")).header("prefer", "wait=60").json(&request);
    let answer = post.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let record: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(record["state"], "succeeded");
    let images = record["images"].as_array().unwrap();
    assert_eq!(images.len(), 3);

    let seed = record["request"]["seed"].clone();
    for (index, image) in images.iter().enumerate() {
        let file = client.get(server.url(image["url"].as_str().unwrap())).send().await.unwrap().bytes().await.unwrap();
        let mut alone = record["request"].clone();
        alone["n"] = json!(1);
        alone["seed"] = image["seed"].clone();
        assert_eq!(Pixels::decode(&server.picture(&alone).await), Pixels::decode(&file), "image {index} of {seed}");
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let server = Server::start();
    let request =
        json!({"model": "fashion", "class_label": "hovercraft", "steps": 0, "sampler": "guess", "colour": "red"});
    let answer = server.post(&request, "application/json").await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = answer.json().await.unwrap();
    let mut fields: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["class_label", "colour", "sampler", "steps"], "{problem}");
}
