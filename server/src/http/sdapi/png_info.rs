//! `POST /sdapi/v1/png-info`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Map, Value};
use x0_openapi::{SdapiPngInfo, SdapiPngInfoRequest, SdapiProblem};

use crate::app::AppState;
use crate::http::error::ApiError;
use crate::http::routes::picture_settings::texts_of;
use crate::infotext::Infotext;
use crate::picture::INFOTEXT_KEYWORD;

/// What a picture's file says
///
/// Of pictures that this server made, and of AUTOMATIC1111's.
#[utoipa::path(
    post,
    path = "/sdapi/v1/png-info",
    operation_id = "sdapiPngInfo",
    tag = "AUTOMATIC1111",
    request_body = SdapiPngInfoRequest,
    responses(
        (status = 200, description = "Its text, whole and taken apart", body = SdapiPngInfo),
        (status = "4XX", description = "The request is wrong, or its PNG, JPEG or WebP file is broken", body = SdapiProblem),
    ),
)]
pub async fn png_info(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SdapiPngInfo>, ApiError> {
    let (json, _memory) = app.bodies.json(&headers, body).await?;
    let (request, errors) = SdapiPngInfoRequest::read(json).map_err(|error| ApiError::fields(vec![error]))?;
    if !errors.is_empty() {
        return Err(ApiError::fields(errors));
    }
    let image = request.image.unwrap_or_default();
    let texts = texts_of(&app, image).await?;
    let mut items: Map<String, Value> = texts.into_iter().map(|(keyword, text)| (keyword, text.into())).collect();
    let info = items.remove(INFOTEXT_KEYWORD).and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default();
    Ok(Json(SdapiPngInfo { parameters: parameters(&info), info, items }))
}

/// The text taken apart, under AUTOMATIC1111's names.
fn parameters(info: &str) -> Map<String, Value> {
    if info.is_empty() {
        return Map::new();
    }
    let Infotext { prompt, negative_prompt, settings } = Infotext::parse(info);
    let mut parameters = Map::new();
    parameters.insert("Prompt".to_owned(), prompt.into());
    parameters.insert("Negative prompt".to_owned(), negative_prompt.into());
    for (name, value) in settings {
        // Sizes come in two parts.
        let sides = value.split_once('x').filter(|(a, b)| [a, b].iter().all(|side| side.parse::<u32>().is_ok()));
        match sides {
            Some((width, height)) => {
                parameters.insert(format!("{name}-1"), width.into());
                parameters.insert(format!("{name}-2"), height.into());
            }
            None => drop(parameters.insert(name, value.into())),
        }
    }
    parameters
}
