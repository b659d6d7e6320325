//! `GET` and `POST /sdapi/v1/options`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use x0_model::ModelKind;
use x0_openapi::{ErrorCode, FieldError, ImageFormat, NoiseSource, SdapiEmpty, SdapiOptions, SdapiProblem};

use super::lists::title;
use crate::app::AppState;
use crate::auth::Caller;
use crate::catalog::Catalog;
use crate::http::error::ApiError;

/// Steps between two previews, as AUTOMATIC1111 has it.
const PREVIEW_EVERY: i64 = 10;
const JPEG_QUALITY: i64 = 80;

/// What later requests begin with.
#[derive(Debug, Default)]
pub struct Settings {
    /// Only what was set.
    set: Mutex<SdapiOptions>,
}

/// Settings that can be honoured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Honoured {
    /// A model's name.
    pub(super) model: Option<String>,
    pub(super) clip_skip: Option<i64>,
    pub(super) noise_source: NoiseSource,
    pub(super) format: ImageFormat,
    pub(super) quality: Option<i64>,
    pub(super) metadata: bool,
    /// Steps between two previews; none without previews.
    pub(super) preview_every: Option<i64>,
}

impl Settings {
    /// What was set.
    pub(super) fn get(&self) -> SdapiOptions {
        self.lock().clone()
    }

    fn set(&self, options: SdapiOptions) {
        let mut set = self.lock();
        *set = options.or(&set);
    }

    fn lock(&self) -> MutexGuard<'_, SdapiOptions> {
        // Nothing panics while it holds the lock.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What settings mean, or all that is wrong with them.
pub(super) fn honoured(options: &SdapiOptions, catalog: &dyn Catalog) -> (Honoured, Vec<FieldError>) {
    let mut errors = Vec::new();
    let mut wrong = |field: &str, code, message: &str| {
        errors.push(FieldError { field: field.to_owned(), code, message: message.to_owned() });
    };
    let asked = options.sd_model_checkpoint.as_deref().filter(|name| !name.is_empty());
    let model = asked.and_then(|name| named(name, catalog));
    if asked.is_some() && model.is_none() {
        wrong("sd_model_checkpoint", ErrorCode::ModelNotFound, "no such model; GET /sdapi/v1/sd-models lists all");
    }
    let skip = options.clip_stop_at_last_layers.unwrap_or(1);
    if !(1..=12).contains(&skip) {
        wrong("CLIP_stop_at_last_layers", ErrorCode::OutOfRange, "must be between 1 and 12");
    }
    let noise_source = match options.randn_source.as_deref().unwrap_or("GPU").to_ascii_uppercase().as_str() {
        "GPU" | "NV" => NoiseSource::Philox,
        "CPU" => NoiseSource::Torch,
        _ => {
            wrong("randn_source", ErrorCode::UnsupportedValue, "must be one of GPU, CPU, NV");
            NoiseSource::Philox
        }
    };
    let format = match options.samples_format.as_deref().unwrap_or("png").to_ascii_lowercase().as_str() {
        "png" => ImageFormat::Png,
        "jpg" | "jpeg" => ImageFormat::Jpeg,
        "webp" => ImageFormat::Webp,
        _ => {
            wrong("samples_format", ErrorCode::UnsupportedValue, "must be one of png, jpg, webp");
            ImageFormat::Png
        }
    };
    let quality = options.jpeg_quality.unwrap_or(JPEG_QUALITY);
    if !(1..=100).contains(&quality) {
        wrong("jpeg_quality", ErrorCode::OutOfRange, "must be between 1 and 100");
    }
    let every = options.show_progress_every_n_steps.unwrap_or(PREVIEW_EVERY);
    if !(-1..=1000).contains(&every) {
        wrong("show_progress_every_n_steps", ErrorCode::OutOfRange, "must be between 1 and 1000, or -1 for none");
    }
    let honoured = Honoured {
        model,
        clip_skip: Some(skip - 1).filter(|skip| *skip > 0),
        noise_source,
        format,
        quality: (format == ImageFormat::Jpeg).then_some(quality),
        metadata: options.enable_pnginfo.unwrap_or(true),
        preview_every: Some(every).filter(|every| *every > 0 && options.live_previews_enable.unwrap_or(true)),
    };
    (honoured, errors)
}

/// The model of a title: its name, with or without the ending of a file or a hash, in any case.
fn named(title: &str, catalog: &dyn Catalog) -> Option<String> {
    let title = title.trim();
    let plain = title.split_once(" [").map_or(title, |(name, _)| name);
    let plain = plain.strip_suffix(".safetensors").unwrap_or(plain);
    let infos = catalog.infos();
    let exact = infos.iter().find(|info| info.name == title || info.name == plain);
    exact.or_else(|| infos.iter().find(|info| info.name.eq_ignore_ascii_case(plain))).map(|info| info.name.clone())
}

/// Options
#[utoipa::path(
    get,
    path = "/sdapi/v1/options",
    operation_id = "sdapiGetOptions",
    tag = "AUTOMATIC1111",
    responses((status = 200, description = "What requests begin with", body = SdapiOptions)),
)]
pub async fn get_options(State(app): State<AppState>, caller: Caller) -> Json<SdapiOptions> {
    let set = app.sdapi.of(&caller).settings.get();
    let kinds = [ModelKind::TextToImage, ModelKind::ClassConditional, ModelKind::Unconditional];
    let infos = app.validator.catalog().infos();
    let default =
        || kinds.iter().find_map(|kind| infos.iter().find(|info| info.kind == *kind && app.validator.is_default(info)));
    let model = set.sd_model_checkpoint.clone().or_else(|| default().map(|info| title(info)));
    Json(SdapiOptions {
        sd_model_checkpoint: model,
        clip_stop_at_last_layers: set.clip_stop_at_last_layers.or(Some(1)),
        randn_source: set.randn_source.or_else(|| Some("GPU".to_owned())),
        samples_format: set.samples_format.or_else(|| Some("png".to_owned())),
        jpeg_quality: set.jpeg_quality.or(Some(JPEG_QUALITY)),
        enable_pnginfo: set.enable_pnginfo.or(Some(true)),
        live_previews_enable: set.live_previews_enable.or(Some(true)),
        show_progress_every_n_steps: set.show_progress_every_n_steps.or(Some(PREVIEW_EVERY)),
    })
}

/// Set options
///
/// Later requests over this surface begin with them. What is left out stays as it was.
#[utoipa::path(
    post,
    path = "/sdapi/v1/options",
    operation_id = "sdapiSetOptions",
    tag = "AUTOMATIC1111",
    request_body = SdapiOptions,
    responses(
        (status = 200, description = "They are set", body = SdapiEmpty),
        (status = "4XX", description = "Some cannot be honoured; none was set", body = SdapiProblem),
    ),
)]
pub async fn set_options(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SdapiEmpty>, ApiError> {
    let (json, _memory) = app.bodies.json(&headers, body).await?;
    let (mut options, mut errors) = SdapiOptions::read(json).map_err(|error| ApiError::fields(vec![error]))?;
    let (honoured, wrong) = honoured(&options, app.validator.catalog());
    errors.extend(wrong);
    if !errors.is_empty() {
        return Err(ApiError::fields(errors));
    }
    // However the model was called, from now on it has its title.
    let info = honoured.model.and_then(|name| app.validator.catalog().info(&name));
    options.sd_model_checkpoint = info.map(title);
    app.sdapi.of(&caller).settings.set(options);
    Ok(Json(SdapiEmpty {}))
}
