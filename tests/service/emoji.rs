//! The text-to-image model that is part of the program.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::join_all;
use image::RgbImage;
use serde_json::{Value, json};
use x0_tests::{Pixels, Server};

fn rgb(file: &[u8]) -> RgbImage {
    image::load_from_memory(file).expect("the file is a picture").to_rgb8()
}

/// The mean colour of a square, of 255.
fn mean(picture: &RgbImage, (left, top): (u32, u32), side: u32) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for (x, y) in (0..side * side).map(|i| (left + i % side, top + i / side)) {
        for (sum, level) in sums.iter_mut().zip(picture.get_pixel(x, y).0) {
            *sum += f64::from(level);
        }
    }
    sums.map(|sum| sum / f64::from(side * side))
}

#[tokio::test]
async fn the_first_prompt_of_the_readme_gives_a_red_apple() {
    let server = Server::start();
    for seed in 0..4 {
        let request = json!({"prompt": "a red apple", "seed": seed});
        let file = server.picture(&request).await;
        let picture = rgb(&file);
        assert_eq!(picture.dimensions(), (64, 64));
        for corner in [(0, 56), (56, 56)] {
            let colour = mean(&picture, corner, 8);
            assert!(colour.iter().all(|level| *level > 200.0), "the paper is white: {colour:?} at {corner:?}");
        }
        let [red, green, blue] = mean(&picture, (22, 26), 20);
        assert!(red > 150.0 && red > green + 60.0 && red > blue + 60.0, "a red apple is not {:?}", [red, green, blue]);
        assert_eq!(server.picture(&request).await, file, "the same request gives the same bytes");
    }
}

#[tokio::test]
async fn a_background_is_of_the_colour_that_was_asked_for() {
    let server = Server::start();
    let picture = rgb(&server.picture(&json!({"prompt": "a rocket on a blue background", "seed": 28})).await);
    let [red, _, blue] = mean(&picture, (0, 0), 6);
    assert!(blue > red + 50.0, "{red} red and {blue} blue");
}

#[tokio::test]
async fn what_a_request_gives_says_which_model_it_gets() {
    let server = Server::start();
    for (request, model) in [(json!({"prompt": "a key"}), "emoji"), (json!({"class_label": "bag"}), "fashion")] {
        let mut request = request;
        request["steps"] = json!(1);
        let record: Value = server.post(&request, "application/json").await.json().await.unwrap();
        assert_eq!(record["model"], model, "{request}");
    }
    let models = server.json("/v1/models").await;
    for model in models["data"].as_array().unwrap() {
        assert!(model["default"].as_bool().unwrap() && model["embedded"].as_bool().unwrap(), "{model}");
        assert!(!model["examples"].as_array().unwrap().is_empty() && model["license"].is_string(), "{model}");
    }
}

#[tokio::test]
async fn every_step_has_a_preview_by_the_linear_map() {
    let server = Server::start();
    let request = json!({"prompt": "a red heart", "seed": 7, "preview": {"every": 1, "decoder": "linear"}});
    let events = server.follow(&request).await.rest().await;
    let previews: Vec<_> = events.iter().filter(|event| event.name == "preview").collect();
    let steps = previews.last().unwrap().data["steps"].as_u64().unwrap();
    assert_eq!(previews.last().unwrap().data["step"], steps);
    assert!(previews.iter().all(|preview| preview.data["decoder"] == "linear"));

    let image = events.iter().find(|event| event.name == "image").unwrap();
    let file = server.client().get(server.url(image.data["url"].as_str().unwrap())).send().await.unwrap();
    let small = image::imageops::thumbnail(&rgb(&file.bytes().await.unwrap()), 16, 16);
    let distance = |preview: &Value| {
        let preview = rgb(&BASE64.decode(preview["b64"].as_str().unwrap()).unwrap());
        let preview = image::imageops::thumbnail(&preview, 16, 16);
        let pairs = preview.as_raw().iter().zip(small.as_raw());
        pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / small.as_raw().len() as f64
    };
    // The map is fitted on random colours, which a finished heart is far from: it was 28 levels off when this was written.
    let last = distance(&previews.last().unwrap().data);
    assert!(last < 35.0, "{last} levels off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_the_same_in_company() {
    let server = Server::start();
    let prompts = ["a red apple", "a cat face, 3d style", "a rocket on a blue background", "", "a house", "a penguin"];
    let requests: Vec<Value> = (0..)
        .zip(prompts)
        .map(|(i, prompt)| {
            let guidance = [1.0, 4.0, 7.5][i % 3];
            json!({"model": "emoji", "prompt": prompt, "seed": i, "steps": 3 + i, "guidance_scale": guidance})
        })
        .collect();
    let mut alone = Vec::new();
    for request in &requests {
        alone.push(server.picture(request).await);
    }
    let together = join_all(requests.iter().map(|request| server.picture(request))).await;
    for ((request, alone), together) in requests.iter().zip(&alone).zip(&together) {
        assert!(alone == together, "{request} differs in company");
        assert!(Pixels::decode(alone).variety() > 20, "{request} gives a picture");
    }
}
