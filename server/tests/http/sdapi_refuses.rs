//! What AUTOMATIC1111's API refuses, and in which words.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, base64_picture};

async fn refused(server: &TestServer, path: &str, body: &Value) -> (u16, Value) {
    let (status, answer) = server.answer(server.request(Method::POST, path).json(body)).await;
    let mut keys: Vec<_> = answer.as_object().unwrap().keys().cloned().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["body", "detail", "error", "errors"], "{body}: {answer}");
    (status, answer)
}

/// Each wrong field is named as AUTOMATIC1111 names it.
async fn check(server: &TestServer, path: &str, base: Value, cases: &[(Value, &str, &str)]) {
    for (more, code, field) in cases {
        let mut body = base.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, answer) = refused(server, path, &body).await;
        assert!(status == 422 || status == 400 || status == 404, "{body}: {status}");
        assert_eq!(answer["error"], *code, "{body}: {answer}");
        assert!(answer["errors"].as_str().unwrap().starts_with(&format!("{field}: ")), "{body}: {answer}");
        assert_eq!(answer["body"], "");
    }
}

#[tokio::test]
async fn wrong_fields_of_text_to_image_are_named() {
    let server = TestServer::start().await;
    let base = json!({"prompt": "a", "width": 64, "height": 64, "steps": 2});
    let cases = [
        (json!({"sampler_name": "Restart"}), "unsupported_value", "sampler_name"),
        (json!({"prompt": "a <lora:fur:0.8>"}), "lora_not_found", "prompt"),
        (json!({"prompt": "a <lora:../../etc/passwd:1>"}), "invalid_name", "prompt"),
        (json!({"prompt": "<hypernet:fur:1> a"}), "invalid_prompt_syntax", "prompt"),
        (json!({"sampler_index": "Restart"}), "unsupported_value", "sampler_index"),
        (json!({"scheduler": "Align Your Steps"}), "unsupported_value", "scheduler"),
        (json!({"sampler_name": "PLMS", "scheduler": "Karras"}), "conflicting_parameters", "scheduler"),
        (json!({"steps": 0}), "out_of_range", "steps"),
        (json!({"cfg_scale": 31}), "out_of_range", "cfg_scale"),
        (json!({"width": 65}), "invalid_size", "width"),
        (json!({"batch_size": 0}), "out_of_range", "batch_size"),
        (json!({"n_iter": -1}), "out_of_range", "n_iter"),
        (json!({"batch_size": 3, "n_iter": 3}), "out_of_range", "batch_size times n_iter"),
        (json!({"batch_size": 9223372036854775807i64, "n_iter": 3}), "out_of_range", "batch_size times n_iter"),
        (json!({"seed": -2}), "out_of_range", "seed"),
        (json!({"seed": "7x"}), "invalid_type", "seed"),
        (json!({"subseed_strength": 1.5}), "out_of_range", "subseed_strength"),
        (json!({"subseed_strength": -0.5}), "out_of_range", "subseed_strength"),
        (json!({"eta": 0.5}), "unsupported_value", "eta"),
        (json!({"eta": 0, "sampler_name": "Euler a"}), "unsupported_value", "eta"),
        (json!({"seed_resize_from_w": 512}), "unsupported_value", "seed_resize_from_w"),
        (json!({"restore_faces": true}), "unsupported_value", "restore_faces"),
        (json!({"styles": ["anime"]}), "unsupported_value", "styles"),
        (json!({"alwayson_scripts": {"ControlNet": {}}}), "unsupported_value", "alwayson_scripts"),
        (json!({"tea": "hot"}), "unknown_parameter", "tea"),
        (json!({"enable_hr": true, "hr_upscaler": "R-ESRGAN 4x+"}), "unsupported_value", "hr_upscaler"),
        (json!({"enable_hr": true, "hr_scale": 0.5}), "out_of_range", "hr_scale"),
        (json!({"enable_hr": true, "hr_resize_x": 32}), "invalid_size", "hr_resize_x"),
        (json!({"enable_hr": true, "denoising_strength": 0}), "out_of_range", "denoising_strength"),
        (json!({"override_settings": {"sd_model_checkpoint": "nobody"}}), "model_not_found", "sd_model_checkpoint"),
        (json!({"override_settings": {"randn_source": "dice"}}), "unsupported_value", "randn_source"),
        (json!({"override_settings": {"sd_vae": "my.vae"}}), "unsupported_value", "override_settings.sd_vae"),
        (json!({"override_settings": {"tea": "hot"}}), "unknown_parameter", "override_settings.tea"),
        (
            json!({"override_settings": {"enable_pnginfo": false}, "override_settings_restore_afterwards": false}),
            "unsupported_value",
            "override_settings_restore_afterwards",
        ),
    ];
    check(&server, "/sdapi/v1/txt2img", base, &cases).await;
}

#[tokio::test]
async fn wrong_fields_of_image_to_image_are_named() {
    let server = TestServer::start().await;
    let base =
        json!({"prompt": "a", "width": 64, "height": 64, "steps": 2, "init_images": [base64_picture(64, 64, 9)]});
    let mask = base64_picture(64, 64, 255);
    let cases = [
        (json!({"init_images": []}), "missing_parameter", "init_images"),
        (json!({"init_images": ["a", "b"]}), "unsupported_value", "init_images"),
        (json!({"init_images": ["aGk="]}), "unsupported_image", "init_images"),
        (json!({"denoising_strength": 1.5}), "out_of_range", "denoising_strength"),
        (json!({"resize_mode": 3}), "unsupported_value", "resize_mode"),
        (json!({"resize_mode": 4}), "out_of_range", "resize_mode"),
        (json!({"mask": base64_picture(64, 64, 0)}), "mask_mismatch", "mask"),
        (json!({"mask": mask, "inpainting_fill": 4}), "out_of_range", "inpainting_fill"),
        (json!({"mask": mask, "mask_blur": 65}), "out_of_range", "mask_blur"),
        (json!({"mask": mask, "mask_blur_x": 9}), "unsupported_value", "mask_blur_x"),
        (json!({"mask": mask, "mask_round": false}), "unsupported_value", "mask_round"),
        (json!({"mask": mask, "inpaint_full_res_padding": -1}), "out_of_range", "inpaint_full_res_padding"),
        (json!({"initial_noise_multiplier": 0.9}), "unsupported_value", "initial_noise_multiplier"),
        (json!({"latent_mask": mask}), "unsupported_value", "latent_mask"),
    ];
    check(&server, "/sdapi/v1/img2img", base, &cases).await;
}

#[tokio::test]
async fn everything_else_is_refused_in_the_same_words() {
    let server = TestServer::start().await;
    for (path, body, status, code) in [
        ("/sdapi/v1/txt2img", json!([]), 400, "invalid_json_type"),
        ("/sdapi/v1/txt2img", json!({"prompt": "a", "override_settings": []}), 400, "invalid_json_type"),
        ("/sdapi/v1/options", json!({"sd_model_checkpoint": "nobody"}), 404, "model_not_found"),
        ("/sdapi/v1/options", json!({"CLIP_stop_at_last_layers": 13}), 422, "out_of_range"),
        ("/sdapi/v1/options", json!({"samples_format": "gif"}), 422, "unsupported_value"),
        ("/sdapi/v1/options", json!({"tea": "hot"}), 400, "unknown_parameter"),
        ("/sdapi/v1/png-info", json!({}), 422, "missing_parameter"),
        ("/sdapi/v1/png-info", json!({"image": "?"}), 422, "invalid_base64"),
        ("/sdapi/v1/png-info", json!({"image": "iVBORw0KGgo="}), 422, "corrupt_image"),
        ("/internal/progress", json!({"id_task": 7}), 422, "invalid_type"),
        ("/sdapi/v1/no-such-thing", json!({}), 404, "not_found"),
    ] {
        let (found, answer) = refused(&server, path, &body).await;
        assert_eq!((found, answer["error"].as_str()), (status, Some(code)), "{path} {body}: {answer}");
    }
    let failed = json!({"prompt": "nan", "steps": 4, "width": 64, "height": 64, "n_iter": 2});
    let (status, answer) = refused(&server, "/sdapi/v1/txt2img", &failed).await;
    assert_eq!((status, &answer["error"]), (500, &json!("nan_output")));
    let text = server.request(Method::POST, "/sdapi/v1/txt2img").header("content-type", "text/plain").body("a");
    assert_eq!(server.answer(text).await.1["error"], "unsupported_media_type");
    let (status, answer) = server.answer(server.request(Method::GET, "/sdapi/v1/txt2img")).await;
    assert_eq!((status, &answer["error"]), (405, &json!("method_not_allowed")));
}
