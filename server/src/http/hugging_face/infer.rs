//! `POST /hf/{model}`.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use x0_openapi::{FieldError, FileBytes, HuggingFaceProblem, HuggingFaceRequest, ImageFormat, OnDisconnect};

use super::translate::translate;
use crate::app::AppState;
use crate::auth::Caller;
use crate::http::body::{self, BodyMemory};
use crate::http::error::ApiError;
use crate::http::making::{self, Making};
use crate::http::negotiate::{Wanted, wanted};
use crate::picture;
use crate::store::StoredImage;
use crate::validate::Answer;

const X_SEED: HeaderName = HeaderName::from_static("x-seed");

/// Make a picture (Hugging Face)
///
/// What `InferenceClient.text_to_image` and `.image_to_image` of `huggingface_hub`, and `textToImage` and `imageToImage` of
/// `@huggingface/inference`, send to an endpoint of their own: give them this address. The answer is the picture, in the format that
/// `Accept` asks for. A picture to start from may also be the whole body.
#[utoipa::path(
    post,
    path = "/hf/{model}",
    operation_id = "infer",
    tag = "Hugging Face",
    params(("model" = String, Path, description = "The model's id", example = "fashion")),
    request_body(content(
        (HuggingFaceRequest = "application/json"),
        (FileBytes = "image/png"),
        (FileBytes = "image/jpeg"),
        (FileBytes = "image/webp"),
    )),
    responses(
        (status = 200, description = "The picture", content((FileBytes = "image/png"), (FileBytes = "image/jpeg"), (FileBytes = "image/webp"))),
        (status = "4XX", description = "The request is wrong", body = HuggingFaceProblem),
        (status = "5XX", description = "The picture cannot be made", body = HuggingFaceProblem),
    ),
)]
pub async fn infer(
    State(app): State<AppState>,
    caller: Caller,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let format = format(&headers)?;
    making::open(&app)?;
    let (request, errors, body_memory) = read(&app, &headers, body).await?;
    let (asked, words) = translate(&app.validator, model, request, errors);
    let answer = Answer { one_image: true, format, on_disconnect: OnDisconnect::Cancel };
    let making = Making::begin(&app, &caller, asked, answer, None).await;
    let making = making.map_err(|error| error.in_words_of(|field| words.name_of(field)))?;
    drop(body_memory);
    let headers = making.headers();
    let made = making.made(app.max_wait).await?;
    let StoredImage { format, file } = made.images.into_iter().next().ok_or_else(ApiError::job_not_found)?;
    let media_type = HeaderValue::from_static(format.media_type());
    let seed = HeaderValue::from(made.record.request.seed.0);
    Ok((headers, [(header::CONTENT_TYPE, media_type), (X_SEED, seed)], file).into_response())
}

/// The format that the client would like best. JavaScript's client takes anything.
fn format(headers: &HeaderMap) -> Result<ImageFormat, ApiError> {
    Ok(match wanted(headers)? {
        Wanted::Image(formats) => formats.first().copied().unwrap_or(ImageFormat::Png),
        Wanted::Record | Wanted::Events => ImageFormat::Png,
    })
}

/// Reads a request: JSON, or a picture and nothing else, which Python's client sends without a content type.
async fn read(
    app: &AppState,
    headers: &HeaderMap,
    body: Body,
) -> Result<(HuggingFaceRequest, Vec<FieldError>, BodyMemory), ApiError> {
    let (bytes, memory) = app.bodies.bytes(headers, body).await?;
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media_type.starts_with("image/") || picture::is_picture(&bytes) {
        // Its content says in truth which format it has.
        let url = format!("data:image/png;base64,{}", BASE64.encode(bytes));
        let request = HuggingFaceRequest { inputs: Some(url), parameters: None };
        return Ok((request, Vec::new(), memory));
    }
    let json = body::json(headers, &bytes)?;
    let (request, errors) = HuggingFaceRequest::read(json).map_err(|error| making::invalid(app, vec![error]))?;
    Ok((request, errors, memory))
}
