//! `POST /sdapi/v1/txt2img` and `/sdapi/v1/img2img`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::time::Instant;
use x0_openapi::{ErrorCode, GenerationRecord, SdapiImages, SdapiKind, SdapiProblem, SdapiRequest, State as JobState};

use super::answer::{echo, info};
use super::options::honoured;
use super::translate::translated;
use super::words;
use crate::app::AppState;
use crate::auth::Caller;
use crate::http::error::ApiError;
use crate::http::making::{self, Asked, Making};

/// Text to image
///
/// Waits for the pictures. When the client goes away they are not made.
#[utoipa::path(
    post,
    path = "/sdapi/v1/txt2img",
    operation_id = "sdapiTextToImage",
    tag = "AUTOMATIC1111",
    request_body = SdapiRequest,
    responses(
        (status = 200, description = "The pictures", body = SdapiImages),
        (status = "4XX", description = "The request is wrong", body = SdapiProblem),
        (status = "5XX", description = "The pictures cannot be made", body = SdapiProblem),
    ),
)]
pub async fn text_to_image(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SdapiImages>, ApiError> {
    generate(&app, &caller, SdapiKind::TextToImage, &headers, body).await
}

/// Image to image
///
/// Waits for the pictures. When the client goes away they are not made.
#[utoipa::path(
    post,
    path = "/sdapi/v1/img2img",
    operation_id = "sdapiImageToImage",
    tag = "AUTOMATIC1111",
    request_body = SdapiRequest,
    responses(
        (status = 200, description = "The pictures", body = SdapiImages),
        (status = "4XX", description = "The request is wrong", body = SdapiProblem),
        (status = "5XX", description = "The pictures cannot be made", body = SdapiProblem),
    ),
)]
pub async fn image_to_image(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SdapiImages>, ApiError> {
    generate(&app, &caller, SdapiKind::ImageToImage, &headers, body).await
}

async fn generate(
    app: &AppState,
    caller: &Caller,
    kind: SdapiKind,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<SdapiImages>, ApiError> {
    making::open(app)?;
    let (json, body_memory) = app.bodies.json(headers, body).await?;
    let value = json.0.clone();
    let (mut asked, mut errors) = SdapiRequest::read(json, kind).map_err(|error| making::invalid(app, vec![error]))?;
    let memory = app.sdapi.of(caller);
    let options = asked.override_settings.take().unwrap_or_default().or(&memory.settings.get());
    let (options, wrong) = honoured(&options, app.validator.catalog());
    errors.extend(wrong);
    let mut translated = translated(&asked, &options, errors);
    app.validator.fit_prompts(&mut translated.request);
    let parameters = echo(&value, asked.include_init_images == Some(true));
    drop((value, asked.init_images.take(), asked.mask.take()));

    let request = Asked { request: translated.request, errors: translated.errors };
    let parts = Making::begin_in_parts(app, caller, request, translated.answer, translated.batch_size).await;
    let parts = parts.map_err(|error| error.in_words_of(words::field))?;
    drop(body_memory);
    let ids = parts.iter().map(|part| part.record().id).collect();
    let open = memory.tasks.open(asked.force_task_id.take(), ids);
    let records = finished(app, parts).await?;
    if records.iter().all(|record| record.state == JobState::Cancelled) && !open.task().was_stopped() {
        return Err(ApiError::new(ErrorCode::Cancelled, "the generation was cancelled"));
    }
    let mut images = Vec::new();
    if asked.send_images != Some(false) {
        for record in &records {
            for image in &record.images {
                let stored = app.generations.of(caller).image(record.id, image.index).await?;
                images.push(BASE64.encode(stored.ok_or_else(ApiError::job_not_found)?.file));
            }
        }
    }
    let info = info(&records, asked.subseed).ok_or_else(ApiError::job_not_found)?;
    let info = serde_json::to_string(&info).map_err(|error| ApiError::internal(&error))?;
    Ok(Json(SdapiImages { images, parameters, info }))
}

/// Waits for the end of every iteration. One that was cancelled has the pictures that were finished; one that failed is an error, and
/// the others are not made then.
async fn finished(app: &AppState, parts: Vec<Making>) -> Result<Vec<GenerationRecord>, ApiError> {
    let until = Instant::now() + app.max_wait;
    let mut records = Vec::with_capacity(parts.len());
    for part in parts {
        let wait = until.saturating_duration_since(Instant::now());
        let record = part.ended(wait).await?.ok_or_else(|| {
            ApiError::new(ErrorCode::WaitTimeout, "the pictures are not finished yet; GET /v1/generations lists them")
        })?;
        if let Some(error) = record.error {
            return Err(error.into());
        }
        records.push(record);
    }
    Ok(records)
}
