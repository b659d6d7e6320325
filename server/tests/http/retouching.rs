//! Second passes, variations, and holes in pictures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use x0_model::{Channels, Picture};
use x0_server::picture::{Encoding, encode};

use crate::harness::{TestServer, base64_picture};

#[tokio::test]
async fn a_second_pass_has_its_own_size_and_steps() {
    let server = TestServer::start().await;
    let first = json!({"prompt": "a", "seed": 7, "steps": 4, "width": 64, "height": 48});
    for (highres, expected) in [
        (json!({}), json!({"width": 128, "height": 96, "steps": 4, "strength": 0.75, "upscaler": "latent"})),
        (json!({"scale": 1.3}), json!({"width": 80, "height": 56, "steps": 4, "strength": 0.75, "upscaler": "latent"})),
        (
            json!({"width": 96, "steps": 2, "strength": 0.5, "upscaler": "lanczos"}),
            json!({"width": 96, "height": 72, "steps": 2, "strength": 0.5, "upscaler": "lanczos"}),
        ),
    ] {
        let mut body = first.clone();
        body["highres"] = highres;
        let record = server.finish(&body).await;
        assert_eq!(record["request"]["highres"], expected);
        assert_eq!(record["progress"]["steps"], 4 + expected["steps"].as_u64().unwrap());
        assert_eq!(record["images"][0]["width"], expected["width"]);
        assert_eq!(record["images"][0]["height"], expected["height"]);
        let mut again = body.clone();
        again["highres"] = expected;
        assert_eq!(server.finish(&again).await["request"], record["request"]);
    }
}

#[tokio::test]
async fn images_of_a_variation_share_their_seed() {
    let server = TestServer::start().await;
    let body =
        json!({"class_label": 0, "seed": 7, "n": 2, "variation": {"seed": 18446744073709551614u64, "strength": 0.5}});
    let record = server.finish(&body).await;
    assert_eq!([&record["images"][0]["seed"], &record["images"][1]["seed"]], [7, 7]);
    assert_eq!(record["request"]["variation"], json!({"seed": "18446744073709551614", "strength": 0.5}));
    let file = server.get(record["images"][1]["url"].as_str().unwrap()).await.bytes().await.unwrap();
    let reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
    let request: Value = serde_json::from_str(&reader.info().utf8_text[0].get_text().unwrap()).unwrap();
    let expected = json!({"seed": "18446744073709551615", "strength": 0.5});
    assert_eq!((&request["seed"], &request["variation"]), (&json!(7), &expected));
    let random = server.finish(&json!({"class_label": 0, "variation": {"strength": 0.5}})).await;
    assert!(random["request"]["variation"]["seed"].is_u64());
}

/// A mask of 64 x 64, white in a square of 16 at (40, 8).
fn mask() -> String {
    let white = |i: usize| (40..56).contains(&(i % 64)) && (8..24).contains(&(i / 64));
    let bytes = (0..64 * 64).map(|i| if white(i) { 255 } else { 0 }).collect();
    let picture = Picture { width: 64, height: 64, channels: Channels::Gray, bytes };
    BASE64.encode(encode(&picture, &Encoding::Png { text: None }).unwrap())
}

async fn pixels(server: &TestServer, body: &Value) -> image::RgbImage {
    image::load_from_memory(&server.picture(body).await).unwrap().into_rgb8()
}

#[tokio::test]
async fn what_a_mask_keeps_comes_back_exactly() {
    let server = TestServer::start().await;
    let body = |inpaint: Value| {
        json!({"prompt": "a", "seed": 7, "steps": 4, "width": 64, "height": 64, "init_image": base64_picture(64, 64, 77),
               "mask_image": mask(), "inpaint": inpaint})
    };
    let inside = |x: u32, y: u32| (40..56).contains(&x) && (8..24).contains(&y);
    for inpaint in [json!({"overlay": true}), json!({"padding": 4}), json!({"padding": 0, "fill": "surroundings"})] {
        let picture = pixels(&server, &body(inpaint.clone())).await;
        let changed: Vec<bool> = picture.pixels().map(|pixel| pixel.0 != [77; 3]).collect();
        for (x, y, pixel) in picture.enumerate_pixels() {
            assert!(inside(x, y) || pixel.0 == [77; 3], "{inpaint}: ({x}, {y}) is {pixel:?}");
        }
        assert!(changed.iter().filter(|changed| **changed).count() > 200, "{inpaint}: the hole is filled");
    }
    // What is too narrow to see is the same as nothing.
    let sharp = pixels(&server, &body(json!({"overlay": true}))).await;
    for blur in [1e-46, 1e-38, 0.05] {
        assert_eq!(pixels(&server, &body(json!({"overlay": true, "blur": blur}))).await, sharp, "{blur}");
    }
    let soft = pixels(&server, &body(json!({"padding": 8, "blur": 2}))).await;
    assert_eq!(soft.get_pixel(10, 50).0, [77; 3]);
    let mut inverted = body(json!({"overlay": true}));
    inverted["mask_where"] = json!("black");
    let inverted = pixels(&server, &inverted).await;
    assert!(inverted.enumerate_pixels().all(|(x, y, pixel)| !inside(x, y) || pixel.0 == [77; 3]));

    let whole = pixels(&server, &body(json!({}))).await;
    assert!(whole.enumerate_pixels().any(|(x, y, pixel)| !inside(x, y) && pixel.0 != [77; 3]), "as the model made it");
}

#[tokio::test]
async fn a_part_has_the_size_of_the_request_and_the_answer_that_of_the_picture() {
    let server = TestServer::start().await;
    let body = json!({"prompt": "a", "steps": 2, "width": 128, "height": 128, "init_image": base64_picture(64, 64, 9),
                      "mask_image": mask(), "inpaint": {"padding": 4}});
    let record = server.finish(&body).await;
    assert_eq!((&record["images"][0]["width"], &record["request"]["width"]), (&json!(64), &json!(128)));
    let expected = json!({"blur": 0.0, "fill": "picture", "padding": 4, "overlay": true});
    assert_eq!(record["request"]["inpaint"], expected);
}

#[tokio::test]
async fn wrong_retouching_is_refused_by_field() {
    let server = TestServer::start().await;
    let picture = base64_picture(64, 64, 9);
    let masked = json!({"init_image": picture, "mask_image": mask()});
    for (more, code, field) in [
        (json!({"variation": {}}), "missing_parameter", "variation.strength"),
        (json!({"variation": {"strength": 0}}), "out_of_range", "variation.strength"),
        (json!({"variation": {"strength": 1.5}}), "out_of_range", "variation.strength"),
        (json!({"variation": {"strength": 0.5, "seed": -1}}), "out_of_range", "variation.seed"),
        (json!({"variation": 7}), "invalid_json_type", "variation"),
        (json!({"highres": {"scale": 0.5}}), "out_of_range", "highres.scale"),
        (json!({"highres": {"scale": 2, "width": 128}}), "conflicting_parameters", "highres.scale"),
        (json!({"highres": {"width": 32}}), "invalid_size", "highres.width"),
        (json!({"highres": {"width": 100, "height": 100}}), "invalid_size", "highres.width"),
        (json!({"highres": {"width": 256, "height": 128}}), "invalid_size", "highres.width"),
        (json!({"highres": {"strength": 0}}), "out_of_range", "highres.strength"),
        (json!({"highres": {"steps": 0}}), "out_of_range", "highres.steps"),
        (json!({"highres": {"upscaler": "esrgan"}}), "unsupported_value", "highres.upscaler"),
        (json!({"highres": {"colour": 1}}), "unknown_parameter", "highres.colour"),
        (
            json!({"width": 2048, "height": 2048, "steps": 1, "highres": {"scale": 1, "steps": 1000}}),
            "cost_too_high",
            "steps",
        ),
        (json!({"init_resize": "crop"}), "conflicting_parameters", "init_resize"),
        (json!({"inpaint": {}}), "conflicting_parameters", "inpaint"),
        (json!({"init_image": picture, "inpaint": {}}), "conflicting_parameters", "inpaint"),
        (json!({"init_image": picture, "init_resize": "tile"}), "unsupported_value", "init_resize"),
        (json!({"inpaint": {"blur": -1}, "mask": 0}), "out_of_range", "inpaint.blur"),
        (json!({"inpaint": {"blur": 65}, "mask": 0}), "out_of_range", "inpaint.blur"),
        (json!({"inpaint": {"padding": -1}, "mask": 0}), "out_of_range", "inpaint.padding"),
        (json!({"inpaint": {"padding": 1, "overlay": false}, "mask": 0}), "conflicting_parameters", "inpaint.overlay"),
        (json!({"inpaint": {"fill": "mauve"}, "mask": 0}), "unsupported_value", "inpaint.fill"),
    ] {
        let mut body = json!({"prompt": "a"});
        let mut more = more.as_object().unwrap().clone();
        if more.remove("mask").is_some() {
            body.as_object_mut().unwrap().extend(masked.as_object().unwrap().clone());
        }
        body.as_object_mut().unwrap().extend(more);
        let (status, problem) = server.answer(server.post(&body)).await;
        assert!(status == 422 || status == 400, "{body}: {problem}");
        let found = (&problem["errors"][0]["code"], &problem["errors"][0]["field"]);
        assert_eq!(found, (&json!(code), &json!(field)), "{body}: {problem}");
    }
    let (_, problem) = server.answer(server.post(&json!({"class_label": 0, "highres": {}}))).await;
    assert_eq!(problem["errors"][0]["field"], "highres");
}
