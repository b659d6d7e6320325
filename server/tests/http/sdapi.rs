//! AUTOMATIC1111's API: the same pictures as over our own routes, in its words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, base64_picture, within};

const TEXT_TO_IMAGE: &str = "/sdapi/v1/txt2img";

async fn post(server: &TestServer, path: &str, body: &Value) -> Value {
    let (status, answer) = server.answer(server.request(Method::POST, path).json(body)).await;
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

/// The files of an answer.
fn files(answer: &Value) -> Vec<Vec<u8>> {
    let images = answer["images"].as_array().unwrap();
    images.iter().map(|image| BASE64.decode(image.as_str().unwrap()).unwrap()).collect()
}

fn info(answer: &Value) -> Value {
    serde_json::from_str(answer["info"].as_str().unwrap()).unwrap()
}

/// What the same picture is asked for over our own route.
fn native(more: Value) -> Value {
    let mut body = json!({"model": "words", "prompt": "a cat", "negative_prompt": "", "seed": 7, "steps": 3, "width": 64, "height": 64,
        "guidance_scale": 7.0, "sampler": "euler_ancestral", "timestep_spacing": "linspace", "noise_source": "philox", "prompt_syntax": "a1111"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn request(more: Value) -> Value {
    let mut body =
        json!({"prompt": "a cat", "seed": 7, "steps": 3, "width": 64, "height": 64, "sampler_name": "Euler a"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn text_to_image_gives_the_picture_of_our_own_route() {
    let server = TestServer::start().await;
    for (asked, expected) in [
        (json!({}), json!({})),
        (json!({"sampler_name": null, "sampler_index": "euler A", "scheduler": "automatic"}), json!({})),
        (
            json!({"sampler_name": "Euler", "scheduler": "KARRAS"}),
            json!({"sampler": "euler", "noise_schedule": "karras"}),
        ),
        (json!({"sampler_name": "DPM++ 2M"}), json!({"sampler": "dpmpp_2m", "noise_schedule": "karras"})),
        (
            json!({"sampler_name": "DPM++ 2M", "scheduler": "Uniform"}),
            json!({"sampler": "dpmpp_2m", "noise_schedule": "default"}),
        ),
        (
            json!({"sampler_name": "DPM++ 2M SDE exponential"}),
            json!({"sampler": "dpmpp_2m_sde", "noise_schedule": "exponential"}),
        ),
        (json!({"sampler_name": "DDIM", "eta": 0.5}), json!({"sampler": "ddim", "eta": 0.5, "timestep_spacing": null})),
        (
            json!({"negative_prompt": "a dog", "cfg_scale": 3}),
            json!({"negative_prompt": "a dog", "guidance_scale": 3.0}),
        ),
        (json!({"override_settings": {"randn_source": "CPU"}}), json!({"noise_source": "torch"})),
        (json!({"override_settings": {"CLIP_stop_at_last_layers": 2}}), json!({"clip_skip": 1})),
        (
            json!({"enable_hr": true, "hr_scale": 1.5, "hr_upscaler": "Latent (nearest-exact)", "denoising_strength": 0.5}),
            json!({"highres": {"scale": 1.5, "upscaler": "latent_nearest_exact", "strength": 0.5}}),
        ),
        (
            json!({"enable_hr": true, "hr_resize_x": 128, "hr_second_pass_steps": 2, "hr_upscaler": "None"}),
            json!({"highres": {"width": 128, "steps": 2, "upscaler": "lanczos", "strength": 0.75}}),
        ),
        (json!({"subseed": 11, "subseed_strength": 0.3}), json!({"variation": {"seed": 11, "strength": 0.3}})),
    ] {
        let answer = post(&server, TEXT_TO_IMAGE, &request(asked.clone())).await;
        assert_eq!(files(&answer), [server.picture(&native(expected)).await], "{asked}");
        assert_eq!(answer["parameters"]["prompt"], "a cat");
    }
}

#[tokio::test]
async fn seeds_are_counted_as_automatic1111_counts_them() {
    let server = TestServer::start().await;
    let answer = post(&server, TEXT_TO_IMAGE, &request(json!({"batch_size": 2, "n_iter": 2}))).await;
    let images = files(&answer);
    for (i, file) in images.iter().enumerate() {
        assert_eq!(*file, server.picture(&native(json!({"seed": 7 + i}))).await, "image {i}");
    }
    let told = info(&answer);
    assert_eq!((&told["all_seeds"], &told["batch_size"], &told["seed"]), (&json!([7, 8, 9, 10]), &json!(2), &json!(7)));
    assert_eq!((&told["subseed"], &told["subseed_strength"]), (&json!(-1), &json!(0.0)));

    let varied = json!({"batch_size": 1, "n_iter": 3, "subseed": 20, "subseed_strength": 0.5});
    let told = info(&post(&server, TEXT_TO_IMAGE, &request(varied)).await);
    assert_eq!((&told["all_seeds"], &told["all_subseeds"]), (&json!([7, 7, 7]), &json!([20, 21, 22])));
    assert_eq!(told["infotexts"].as_array().unwrap().len(), 3);

    let random = info(&post(&server, TEXT_TO_IMAGE, &request(json!({"seed": -1}))).await);
    assert!(random["seed"].is_u64(), "{random}");
}

#[tokio::test]
async fn the_answer_says_how_the_pictures_were_made() {
    let server = TestServer::start().await;
    let answer = post(&server, TEXT_TO_IMAGE, &request(json!({"negative_prompt": "a dog", "styles": []}))).await;
    let told = info(&answer);
    let keys: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
    for key in "prompt all_prompts negative_prompt all_negative_prompts seed all_seeds subseed all_subseeds subseed_strength width \
                height sampler_name cfg_scale steps batch_size restore_faces face_restoration_model sd_model_name sd_model_hash \
                sd_vae_name sd_vae_hash seed_resize_from_w seed_resize_from_h denoising_strength extra_generation_params \
                index_of_first_image infotexts styles job_timestamp clip_skip is_using_inpainting_conditioning version"
        .split_whitespace()
    {
        assert!(keys.contains(&key), "{key}");
    }
    let text = told["infotexts"][0].as_str().unwrap();
    let (prompts, settings) = text.rsplit_once('\n').unwrap();
    assert_eq!(prompts, "a cat\nNegative prompt: a dog");
    let expected = "Steps: 3, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 7, Size: 64x64, Model: words, \
                    Timestep spacing: linspace, Version: x0 ";
    assert!(settings.starts_with(expected), "{settings}");
    let png = post(&server, "/sdapi/v1/png-info", &json!({"image": answer["images"][0]})).await;
    assert_eq!(
        (&png["info"], &png["parameters"]["Seed"], &png["parameters"]["Size-1"]),
        (&json!(text), &json!("7"), &json!("64"))
    );
    assert_eq!(serde_json::from_str::<Value>(png["items"]["x0"].as_str().unwrap()).unwrap()["seed"], 7);
    let none = post(&server, TEXT_TO_IMAGE, &request(json!({"send_images": false}))).await;
    assert_eq!(none["images"], json!([]));
    let silent = request(json!({"override_settings": {"enable_pnginfo": false}}));
    let image = &post(&server, TEXT_TO_IMAGE, &silent).await["images"][0];
    assert_eq!(post(&server, "/sdapi/v1/png-info", &json!({"image": image})).await["info"], "");
    let jpeg = request(json!({"override_settings": {"samples_format": "jpg", "jpeg_quality": 50}}));
    assert!(files(&post(&server, TEXT_TO_IMAGE, &jpeg).await)[0].starts_with(&[0xff, 0xd8]));
}

#[tokio::test]
async fn networks_without_weight_and_words_that_look_like_them_are_taken() {
    let server = TestServer::start().await;
    let prompt = "a cat <lora:fur:0> <hypernet:fur:0>";
    let answer = post(&server, TEXT_TO_IMAGE, &request(json!({"prompt": prompt}))).await;
    let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
    assert_eq!(info["prompt"], prompt, "as it was written");
    // AUTOMATIC1111 reads negative prompts so, too.
    post(&server, TEXT_TO_IMAGE, &request(json!({"negative_prompt": "<lora:fur:1>"}))).await;
    for syntax in [Value::Null, json!("plain")] {
        server.finish(&json!({"prompt": "a <lora:fur:1>", "prompt_syntax": syntax, "steps": 1})).await;
    }
}

#[tokio::test]
async fn image_to_image_gives_the_picture_of_our_own_route() {
    let server = TestServer::start().await;
    let picture = base64_picture(64, 64, 90);
    let start = |more: Value| {
        let mut body = request(json!({"init_images": [format!("data:image/png;base64,{picture}")]}));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let white = base64_picture(64, 64, 255);
    let black = base64_picture(64, 64, 0);
    for (asked, expected) in [
        (json!({}), json!({"strength": 0.75})),
        (json!({"denoising_strength": 0.4, "resize_mode": 1}), json!({"strength": 0.4, "init_resize": "crop"})),
        (
            json!({"mask": white}),
            json!({"strength": 0.75, "mask_image": white,
                   "inpaint": {"blur": 4, "fill": "surroundings", "padding": 0, "overlay": true}}),
        ),
        (
            json!({"mask": black, "inpainting_mask_invert": 1, "inpaint_full_res": false, "inpainting_fill": 2, "mask_blur": 0}),
            json!({"strength": 0.75, "mask_image": white, "inpaint": {"fill": "noise", "overlay": true}}),
        ),
    ] {
        let answer = post(&server, "/sdapi/v1/img2img", &start(asked.clone())).await;
        let mut body = native(json!({"init_image": picture}));
        body.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
        let expected = image::load_from_memory(&server.picture(&body).await).unwrap();
        assert!(image::load_from_memory(&files(&answer)[0]).unwrap() == expected, "{asked}");
        assert_eq!(answer["parameters"]["init_images"], Value::Null);
    }
    let answer = post(&server, "/sdapi/v1/img2img", &start(json!({"include_init_images": true}))).await;
    assert!(answer["parameters"]["init_images"].is_array());
}

#[tokio::test]
async fn progress_shows_what_the_model_predicts_and_interrupting_ends_it() {
    let server = TestServer::start_held(|_| {}).await;
    let idle = server.json("/sdapi/v1/progress").await;
    assert_eq!(
        (&idle["progress"], &idle["state"]["job_count"], &idle["current_image"]),
        (&json!(0.0), &json!(0), &Value::Null)
    );
    let body = request(json!({"steps": 50, "n_iter": 2, "force_task_id": "task(mine)"}));
    let body = {
        let mut body = body;
        body["override_settings"] = json!({"show_progress_every_n_steps": 2});
        body
    };
    let making = server.answer(server.request(Method::POST, TEXT_TO_IMAGE).json(&body));
    let watching = async {
        server.held().await;
        server.gate.let_pass(4);
        server.held().await;
        let progress = within(async {
            loop {
                let progress = server.json("/sdapi/v1/progress").await;
                if progress["current_image"].is_string() && progress["state"]["sampling_step"] == 4 {
                    return progress;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        let state = &progress["state"];
        assert_eq!(
            (&state["job"], &state["job_count"], &state["sampling_steps"]),
            (&json!("task(mine)"), &json!(2), &json!(50))
        );
        assert!(progress["progress"].as_f64().unwrap() > 0.0 && progress["eta_relative"].as_f64().unwrap() >= 0.0);
        let preview = BASE64.decode(progress["current_image"].as_str().unwrap()).unwrap();
        assert_eq!(image::load_from_memory(&preview).unwrap().width(), 64);
        let without = server.json("/sdapi/v1/progress?skip_current_image=true").await;
        assert_eq!(without["current_image"], Value::Null);

        let task = json!({"id_task": "task(mine)", "id_live_preview": -1});
        let mine = post(&server, "/internal/progress", &task).await;
        assert_eq!((&mine["active"], &mine["completed"]), (&json!(true), &json!(false)));
        assert!(mine["live_preview"].as_str().unwrap().starts_with("data:image/png;base64,"));
        // The preview of the last step may still be on its way; then nothing more comes.
        within(async {
            let mut seen = mine["id_live_preview"].clone();
            loop {
                let again = json!({"id_task": "task(mine)", "id_live_preview": seen});
                let again = post(&server, "/internal/progress", &again).await;
                if again["live_preview"].is_null() {
                    return;
                }
                seen = again["id_live_preview"].clone();
            }
        })
        .await;
        let unknown = post(&server, "/internal/progress", &json!({"id_task": "task(other)"})).await;
        assert_eq!((&unknown["active"], &unknown["completed"]), (&json!(false), &json!(false)));
        assert_eq!(server.json("/internal/pending-tasks").await, json!({"size": 0, "tasks": []}));

        let native = server.accept(&json!({"class_label": 0, "steps": 3})).await;
        assert_eq!(server.answer(server.request(Method::POST, "/sdapi/v1/interrupt")).await, (200, json!({})));
        server.gate.open();
        server.state(&native, "succeeded").await;
    };
    let ((status, answer), ()) = tokio::join!(making, watching);
    assert_eq!(
        (status, &answer["images"]),
        (200, &json!([])),
        "interrupting ends what came over this surface, and nothing else"
    );
    let completed = post(&server, "/internal/progress", &json!({"id_task": "task(mine)"})).await;
    assert_eq!(completed["completed"], true);
    assert_eq!(server.json("/sdapi/v1/progress").await["state"]["job_count"], 0);
}

#[tokio::test]
async fn skipping_goes_on_with_the_next_iteration() {
    let server = TestServer::start_held(|_| {}).await;
    let body = request(json!({"steps": 5, "n_iter": 2}));
    let making = server.answer(server.request(Method::POST, TEXT_TO_IMAGE).json(&body));
    let skipping = async {
        server.held().await;
        server.gate.let_pass(2);
        server.held().await;
        within(async {
            while server.json("/sdapi/v1/progress").await["state"]["sampling_step"] == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(
            server.answer(server.request(Method::POST, "/sdapi/v1/skip").json(&json!({}))).await,
            (200, json!({}))
        );
        server.gate.open();
    };
    let ((status, answer), ()) = tokio::join!(making, skipping);
    assert_eq!((status, answer["images"].as_array().unwrap().len()), (200, 1), "{answer}");
}

#[tokio::test]
async fn who_goes_away_cancels() {
    let server = TestServer::start_held(|_| {}).await;
    let body = request(json!({"steps": 100, "n_iter": 2}));
    let making = server.request(Method::POST, TEXT_TO_IMAGE).json(&body).send();
    tokio::select! {
        _ = making => panic!("nothing was made"),
        () = server.held() => {}
    }
    // A hundred steps of nothing would be done before the server hears of it.
    server.metric("x0_http_requests_in_flight 1").await;
    server.gate.open();
    server.metric(r#"x0_jobs_finished_total{model="words",outcome="cancelled"} 2"#).await;
    assert_eq!(server.json("/sdapi/v1/progress").await["state"]["job_count"], 0);
}

#[tokio::test]
async fn options_choose_the_model_of_later_requests() {
    let server = TestServer::start().await;
    let options = server.json("/sdapi/v1/options").await;
    assert_eq!((&options["sd_model_checkpoint"], &options["CLIP_stop_at_last_layers"]), (&json!("words"), &json!(1)));
    // As Open WebUI does it: all options, with another model.
    let mut changed = options.clone();
    changed["sd_model_checkpoint"] = json!("TOY.safetensors [0123abcd]");
    assert_eq!(post(&server, "/sdapi/v1/options", &changed).await, json!({}));
    changed["sd_model_checkpoint"] = json!("toy");
    assert_eq!(server.json("/sdapi/v1/options").await, changed);
    let body = json!({"prompt": "one", "steps": 2, "width": 8, "height": 8, "seed": 3, "batch_size": 1});
    let told = info(&post(&server, TEXT_TO_IMAGE, &body).await);
    assert_eq!((&told["sd_model_name"], &told["prompt"]), (&json!("toy"), &json!("one")));
    let other = json!({"prompt": "one", "steps": 2, "width": 64, "height": 64, "override_settings": {"sd_model_checkpoint": "words"}});
    assert_eq!(info(&post(&server, TEXT_TO_IMAGE, &other).await)["sd_model_name"], "words");
    assert_eq!(server.json("/sdapi/v1/options").await["sd_model_checkpoint"], changed["sd_model_checkpoint"]);
}

#[tokio::test]
async fn there_are_lists_of_everything() {
    let server = TestServer::start().await;
    let list = async |path: &str| server.json(&format!("/sdapi/v1/{path}")).await;
    let names = |list: &Value, key: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
    };
    let samplers = list("samplers").await;
    assert!(names(&samplers, "name").contains(&"Euler a".to_owned()), "{samplers}");
    let dpmpp = samplers.as_array().unwrap().iter().find(|sampler| sampler["name"] == "DPM++ 2M").unwrap();
    assert_eq!(dpmpp["options"], json!({"scheduler": "karras"}));
    assert_eq!(names(&list("schedulers").await, "label"), ["Automatic", "Uniform", "Karras", "Exponential", "Beta"]);
    assert_eq!(names(&list("sd-models").await, "title"), ["toy", "words", "blobs"]);
    assert_eq!(names(&list("upscalers").await, "name"), ["Lanczos", "Nearest", "None"]);
    assert!(names(&list("latent-upscale-modes").await, "name").contains(&"Latent (bicubic antialiased)".to_owned()));
    for path in ["loras", "sd-vae", "hypernetworks", "face-restorers", "realesrgan-models", "prompt-styles"] {
        assert_eq!(list(path).await, json!([]), "{path}");
    }
    assert_eq!(list("scripts").await, json!({"txt2img": [], "img2img": []}));
    assert_eq!(list("embeddings").await, json!({"loaded": {}, "skipped": {}}));
    assert!(list("memory").await["ram"]["total"].as_u64() > list("memory").await["ram"]["free"].as_u64());
    assert_eq!(list("cmd-flags").await["api"], true);
    let refreshed = server.request(Method::POST, "/sdapi/v1/refresh-checkpoints");
    assert_eq!(server.answer(refreshed).await, (200, json!({})));
}

#[tokio::test]
async fn a_text_of_automatic1111_is_read() {
    let server = TestServer::start().await;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 1, 1);
    let text =
        "a cat\nNegative prompt: a dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 3, Size: 512x768, Model: v1-5";
    encoder.add_text_chunk("parameters".to_owned(), text.to_owned()).unwrap();
    encoder.add_text_chunk("Software".to_owned(), "webui".to_owned()).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[0]).unwrap();
    writer.finish().unwrap();
    let image = format!("data:image/png;base64,{}", BASE64.encode(file));
    let read = post(&server, "/sdapi/v1/png-info", &json!({"image": image})).await;
    assert_eq!(read["info"], text);
    assert_eq!(read["items"], json!({"Software": "webui"}));
    let expected = json!({"Prompt": "a cat", "Negative prompt": "a dog", "Steps": "20", "Sampler": "Euler a", "CFG scale": "7",
        "Seed": "3", "Size-1": "512", "Size-2": "768", "Model": "v1-5"});
    assert_eq!(read["parameters"], expected);
    let plain = post(&server, "/sdapi/v1/png-info", &json!({"image": base64_picture(4, 4, 1)})).await;
    assert_eq!(plain, json!({"info": "", "items": {}, "parameters": {}}));
}
