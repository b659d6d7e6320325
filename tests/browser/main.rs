//! The web page in Chromium, against the program itself.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use x0_tests::{Browser, Relay, Server};

/// True when the form can be used.
const READY: &str = "document.querySelector('#model').options.length > 0";
/// Frames of the film that have a picture, the finished one not counted.
const PREVIEWS: &str = "document.querySelectorAll('.film button:not(.end) img').length";
/// The seed of the finished picture.
const SEED: &str = "document.querySelector('.result output')?.textContent";
const STATUS: &str = "document.querySelector('#status').textContent";
/// Drops the file that comes as argument in base64 on the page.
const DROP: &str = "const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], 'a.png', { type: 'image/png' }));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));";

/// The page with the class-conditional model chosen.
async fn opened(server: &Server) -> Browser {
    let browser = Browser::start(1280, 860).await;
    open(&browser, &server.url("/")).await;
    browser
}

async fn open(browser: &Browser, address: &str) {
    browser.open(address).await;
    browser.wait_for(READY).await;
    browser.click("#model option[value=fashion]").await;
}

/// Keeps what is seen, for people who look at it later.
async fn keep(browser: &Browser, name: &str) {
    let file = BASE64.decode(browser.screenshot().await).unwrap();
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), file).unwrap();
}

#[tokio::test]
async fn a_sneaker_forms_out_of_noise() {
    let server = Server::start();
    let browser = opened(&server).await;
    keep(&browser, "opened.png").await;
    browser.click("#class_label option[value=sneaker]").await;
    browser.click("#generate").await;
    browser.wait_for(&format!("{PREVIEWS} >= 2")).await;
    keep(&browser, "forming.png").await;
    let seed = browser.wait_for(SEED).await;
    assert!(seed.as_str().unwrap().parse::<u64>().is_ok(), "the seed is shown: {seed}");
    browser.wait_for(&format!("{STATUS}.startsWith('Done')")).await;
    let previews = browser.script(&format!("return {PREVIEWS}"), json!([])).await;
    assert_eq!(previews, 12, "the film is complete");

    let lit = "const image = document.querySelector('.screen img');
        if (!image.complete || image.naturalWidth !== 28) return 0;
        const canvas = document.createElement('canvas');
        canvas.width = canvas.height = 28;
        canvas.getContext('2d').drawImage(image, 0, 0);
        const { data } = canvas.getContext('2d').getImageData(0, 0, 28, 28);
        return data.filter((value, i) => i % 4 === 0 && value > 40).length;";
    let lit = browser.wait_for(&format!("(() => {{ {lit} }})()")).await.as_u64().unwrap();
    assert!((60..700).contains(&lit), "a shoe fills some of the 784 pixels, not {lit}");
    keep(&browser, "finished.png").await;

    browser.click(".result button").await;
    assert_eq!(browser.script("return document.querySelector('#seed').value", json!([])).await, seed);
    let download = browser.script("return document.querySelector('.result a').download", json!([])).await;
    assert_eq!(download, format!("sneaker-{}.png", seed.as_str().unwrap()));
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_newcomer_tries_an_example() {
    let server = Server::start();
    let browser = Browser::start(1280, 860).await;
    browser.open(&server.url("/")).await;
    browser.wait_for(READY).await;
    let model = browser.script("return document.querySelector('#model').value", json!([])).await;
    assert_eq!(model, "emoji", "the page begins with a prompt");
    let example = browser.text("#examples button").await;
    browser.click("#examples button").await;
    assert_eq!(browser.script("return document.querySelector('#prompt').value", json!([])).await, example);
    browser.click("#generate").await;
    browser.wait_for(&format!("{STATUS}.startsWith('Done')")).await;
    browser.wait_for("document.querySelector('.screen img').naturalWidth === 64").await;
    keep(&browser, "example.png").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn the_film_is_walked_with_the_arrow_keys() {
    let server = Server::start();
    let browser = opened(&server).await;
    // The return key in a field sends the form.
    browser.type_into("#steps", "8").await;
    browser.type_into("#seed", "7\u{e007}").await;
    assert_eq!(browser.wait_for(SEED).await, "7");
    browser.wait_for(&format!("{STATUS}.startsWith('Done')")).await;
    browser.click(".film button.end").await;
    browser.type_into(".film button.end", "\u{e012}").await;
    let focused = "return document.activeElement.getAttribute('aria-label')";
    let label = browser.script(focused, json!([])).await;
    assert!(label.as_str().unwrap().starts_with("step 8 of 8"), "{label}");
    assert_eq!(browser.text(".numbers").await, label.as_str().unwrap(), "what is chosen is shown");
    browser.type_into(".film button[aria-pressed=true]", "\u{e011}").await;
    let label = browser.script(focused, json!([])).await;
    assert!(label.as_str().unwrap().starts_with("step 1 of 8"), "{label}");
}

#[tokio::test]
async fn what_is_wrong_is_said_beside_its_field() {
    let server = Server::start();
    let browser = opened(&server).await;
    browser.type_into("#steps", "100000").await;
    browser.click("#generate").await;
    browser.wait_for("document.querySelector('#steps').getAttribute('aria-invalid') === 'true'").await;
    let error = browser.text("#steps-error").await;
    assert!(error.contains("100000"), "{error}");
    assert_eq!(browser.script("return document.activeElement.id", json!([])).await, "steps");
    keep(&browser, "wrong.png").await;

    browser.type_into("#steps", "\u{e003}".repeat(4).as_str()).await;
    let gone = browser.script("return document.querySelector('#steps-error') === null", json!([])).await;
    assert_eq!(gone, true, "the complaint goes when the field is changed");
    browser.click("#generate").await;
    browser.wait_for(SEED).await;
}

#[tokio::test]
async fn a_generation_can_be_cancelled_and_another_begun() {
    let server = Server::start();
    let browser = opened(&server).await;
    browser.type_into("#steps", "150").await;
    browser.script("document.querySelector('#n').value = 8", json!([])).await;
    browser.click("#generate").await;
    browser.wait_for(PREVIEWS).await;
    browser.click("#cancel").await;
    browser.wait_for(&format!("{STATUS} === 'Cancelled.'")).await;
    keep(&browser, "cancelled.png").await;
    browser
        .script("document.querySelector('#n').value = 4; document.querySelector('#steps').value = 6", json!([]))
        .await;
    browser.click("#generate").await;
    browser.wait_for("document.querySelectorAll('.result output').length === 4").await;
    keep(&browser, "several.png").await;
}

#[tokio::test]
async fn a_generation_can_be_opened_again_by_its_address() {
    let server = Server::start();
    let browser = opened(&server).await;
    browser.click("#class_label option[value=bag]").await;
    browser.type_into("#steps", "3").await;
    browser.click("#generate").await;
    let seed = browser.wait_for(SEED).await;
    let address = browser.script("return location.href", json!([])).await;
    assert!(address.as_str().unwrap().contains('#'));
    browser.open(&server.url("/docs/")).await;
    browser.open(address.as_str().unwrap()).await;
    assert_eq!(browser.wait_for(SEED).await, seed);
    assert_eq!(browser.script("return document.querySelector('#class_label').value", json!([])).await, "bag");

    browser
        .devtools(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]}),
        )
        .await;
    let phone = json!({"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true});
    browser.devtools("Emulation.setDeviceMetricsOverride", phone).await;
    let width = browser.script("return document.documentElement.scrollWidth", json!([])).await;
    assert_eq!(width, 390, "nothing is wider than a phone");
    keep(&browser, "phone.png").await;
}

#[tokio::test]
async fn a_key_is_asked_for_and_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let file = file.to_str().unwrap();
    let made = x0_tests::run(&["keys", "new", "--keys", file, "--name", "browser"]);
    let key = String::from_utf8(made.stdout).unwrap();
    let server = Server::start_with(&["--keys", file]);
    let browser = Browser::start(1280, 860).await;
    browser.open(&server.url("/")).await;
    browser.wait_for("document.querySelector('#key').open").await;
    keep(&browser, "key.png").await;
    browser.type_into("#secret", "wrong\u{e007}").await;
    let said = "document.querySelector('#key').open && !document.querySelector('#key [role=alert]').hidden";
    browser.wait_for(said).await;
    browser.type_into("#secret", &format!("{}\u{e007}", key.trim())).await;
    browser.wait_for(READY).await;
    browser.click("#model option[value=fashion]").await;
    browser.type_into("#steps", "20").await;
    browser.click("#generate").await;
    browser.wait_for(SEED).await;
    let loaded = "document.querySelector('.film .end img')?.naturalWidth === 28";
    browser.wait_for(loaded).await;
    browser.wait_for(&format!("{STATUS}.startsWith('Done')")).await;
    assert!(browser.script(&format!("return {PREVIEWS}"), json!([])).await.as_u64() >= Some(5));

    // Another tab knows nothing of it, and the same one still does after a reload.
    browser.open(&server.url("/docs/")).await;
    browser.open(&server.url("/")).await;
    browser.wait_for(READY).await;
    let stored = browser.script("return Object.keys(localStorage).length", json!([])).await;
    assert_eq!(stored, 0, "it is kept no longer than the tab");
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let server = Server::start();
    let relay = Relay::to(&server);
    let browser = Browser::start(1280, 860).await;
    open(&browser, &relay.url("/")).await;
    browser.type_into("#steps", "300").await;
    browser.click("#generate").await;
    browser.wait_for(PREVIEWS).await;
    relay.cut();
    browser.wait_for(&format!("{STATUS}.includes('lost')")).await;
    browser.wait_for(&format!("{STATUS}.startsWith('Done')")).await;
    browser.wait_for(SEED).await;
    let frames = browser.script(&format!("return {PREVIEWS}"), json!([])).await;
    assert!(frames.as_u64() >= Some(1), "what came before is still there");
}

#[tokio::test]
async fn a_picture_that_is_dropped_gives_its_settings_back() {
    let server = Server::start();
    let request =
        json!({"class_label": "bag", "seed": 77, "steps": 9, "guidance_scale": 2.5, "noise_source": "philox"});
    let picture = BASE64.encode(server.picture(&request).await);
    let browser = opened(&server).await;
    browser.script(DROP, json!([picture])).await;
    browser.wait_for("document.querySelector('#seed').value === '77'").await;
    let value =
        async |id: &str| browser.script(&format!("return document.querySelector('#{id}').value"), json!([])).await;
    assert_eq!([value("class_label").await, value("steps").await, value("guidance_scale").await], ["bag", "9", "2.5"]);
    assert_eq!(browser.text("#kept output").await, "noise_source:philox");
    browser.click("#generate").await;
    browser.wait_for(&format!("{STATUS}.startsWith('Done')")).await;
    let same = "const link = document.querySelector('.result a').href;
        return fetch(link).then((answer) => answer.arrayBuffer())
            .then((file) => btoa(String.fromCharCode(...new Uint8Array(file))));";
    assert_eq!(browser.script(same, json!([])).await, picture, "it makes the same picture again");

    browser.script(DROP, json!([BASE64.encode("no picture")])).await;
    browser.wait_for("document.querySelector('#problem').textContent.includes('does not say')").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn what_a_picture_does_not_say_is_left_to_the_defaults() {
    let server = Server::start();
    // WebP files have AUTOMATIC1111's text, in UTF-16. The other one is of a model that is nowhere.
    let request =
        json!({"prompt": "a red apple", "seed": 78, "steps": 2, "guidance_scale": 3, "output": {"format": "webp"}});
    let answer = server.post(&request, "image/webp").await;
    let known = answer.bytes().await.unwrap().to_vec();
    let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let (own, other) = (utf_16("Model: emoji"), utf_16("Model: dream"));
    let place = known.windows(own.len()).position(|bytes| bytes == own).expect("the file names its model");
    let mut unknown = known.clone();
    unknown[place..place + other.len()].copy_from_slice(&other);

    let browser = Browser::start(1280, 860).await;
    let value =
        async |id: &str| browser.script(&format!("return document.querySelector('#{id}').value"), json!([])).await;
    for (model, picture) in [("emoji", &known), ("fashion", &unknown)] {
        browser.open(&server.url("/docs/")).await;
        browser.open(&server.url("/")).await;
        browser.wait_for(READY).await;
        browser.click("#model option[value=emoji]").await;
        browser.type_into("#negative_prompt", "green, blurry").await;
        browser.script("document.querySelector('#n').value = 3", json!([])).await;
        browser.click(&format!("#model option[value={model}]")).await;
        browser.script(DROP, json!([BASE64.encode(picture)])).await;
        browser.wait_for("document.querySelector('#seed').value === '78'").await;
        assert_eq!(
            [value("model").await, value("prompt").await, value("negative_prompt").await, value("n").await],
            ["emoji", "a red apple", "", "3"],
            "{model} was chosen"
        );
    }
    assert_eq!(browser.complaints().await, [""; 0]);
}
