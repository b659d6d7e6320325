//! `POST /v1/images/edits`.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::HeaderMap;
use axum::response::Response;
use x0_openapi::{
    ErrorCode, FieldError, MaskWhere, OpenAiEditForm, OpenAiEditRequest, OpenAiImages, OpenAiInputFidelity,
    OpenAiProblem, ServerSentEvent,
};

use super::translate::{Subject, translate};
use super::{answer, form};
use crate::app::AppState;
use crate::auth::Caller;
use crate::http::address::Address;
use crate::http::error::ApiError;
use crate::http::idempotency::GivenKey;
use crate::http::making;

/// Edit a picture (OpenAI)
///
/// Without `mask` the whole picture is made anew from the one that is given, as far as `strength` lets it; with it, what is
/// transparent in the mask. Everything else is as for `POST /v1/images/generations`.
#[utoipa::path(
    post,
    path = "/v1/images/edits",
    operation_id = "editImage",
    tag = "OpenAI",
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key makes no new generation")),
    request_body(content = OpenAiEditForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "The pictures, or what happens until they are finished", content(
            (OpenAiImages = "application/json"),
            (ServerSentEvent = "text/event-stream"),
        )),
        (status = "4XX", description = "The request is wrong", body = OpenAiProblem),
        (status = "5XX", description = "The picture cannot be made", body = OpenAiProblem),
    ),
)]
pub async fn edit_image(
    State(app): State<AppState>,
    caller: Caller,
    address: Address,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let key = GivenKey::read(&headers)?;
    making::open(&app)?;
    let (parts, body_memory) = app.bodies.form(&headers, body).await?;
    let json = form::json(parts).map_err(|errors| making::invalid(&app, errors))?;
    let key = key.map(|key| key.of(&json));
    let (edit, mut errors) = OpenAiEditRequest::read(json).map_err(|error| making::invalid(&app, vec![error]))?;
    let mut request = edit.request;
    if request.native.init_image.is_some() {
        errors.push(wrong("image", ErrorCode::ConflictingParameters, "init_image is given, too"));
    }
    if request.native.mask_image.is_some() {
        errors.push(wrong("mask", ErrorCode::ConflictingParameters, "is the mask here, not mask_image"));
    }
    if edit.image.is_none() && !errors.iter().any(|error| error.field == "image") {
        errors.push(wrong("image", ErrorCode::MissingParameter, "there is no picture to edit"));
    }
    if edit.input_fidelity == Some(OpenAiInputFidelity::High) {
        let why = "cannot be high; strength says how far the picture may go from the one it starts from";
        errors.push(wrong("input_fidelity", ErrorCode::UnsupportedValue, why));
    }
    if request.native.mask_where.is_some() {
        let why = "is transparent here: that is what OpenAI's masks mean";
        errors.push(wrong("mask_where", ErrorCode::ConflictingParameters, why));
    }
    request.native.mask_where = edit.mask.is_some().then_some(MaskWhere::Transparent);
    request.native.init_image = edit.image;
    request.native.mask_image = edit.mask;
    let (asked, manner) = translate(&app.validator, Subject::Edit, request, errors);
    answer::answer(&app, answer::Client { caller, address }, asked, manner, key, body_memory).await
}

fn wrong(field: &str, code: ErrorCode, message: &str) -> FieldError {
    FieldError { field: field.to_owned(), code, message: message.to_owned() }
}
