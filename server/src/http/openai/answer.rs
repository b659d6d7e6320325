//! The answer to a translated request.

use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use x0_openapi::{ImageFormat, OnDisconnect, OpenAiImage, OpenAiImages, OpenAiResponseFormat};

use super::narrator::Narrator;
use super::translate::Manner;
use crate::app::AppState;
use crate::auth::Caller;
use crate::http::address::Address;
use crate::http::body::BodyMemory;
use crate::http::error::ApiError;
use crate::http::making::{Asked, Made, Making};
use crate::store::IdempotencyKey;
use crate::validate::Answer;

/// What OpenAI calls a picture without transparent parts.
pub(super) const BACKGROUND: &str = "opaque";

/// Who asks, and where they find this server.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) caller: Caller,
    pub(super) address: Address,
}

/// Makes the pictures, and answers with them or with what happens until then. `body_memory` is held until the body is not needed any more.
pub(super) async fn answer(
    app: &AppState,
    Client { caller, address }: Client,
    asked: Asked,
    manner: Manner,
    key: Option<IdempotencyKey>,
    body_memory: BodyMemory,
) -> Result<Response, ApiError> {
    // Who gives a key will come again.
    let on_disconnect = if key.is_some() { OnDisconnect::Keep } else { OnDisconnect::Cancel };
    let answer = Answer { one_image: false, format: ImageFormat::Png, on_disconnect };
    let making = Making::begin(app, &caller, asked, answer, key).await;
    let making = making.map_err(|error| error.in_words_of(|field| manner.name_of(field)))?;
    drop(body_memory);
    let headers = making.headers();
    let response = if manner.stream {
        let narrator = Narrator::new(manner, making.record(), address);
        making.told(narrator).await?
    } else {
        Json(images(making.made(app.max_wait).await?, manner, &address)).into_response()
    };
    Ok((headers, response).into_response())
}

fn images(made: Made, manner: Manner, address: &Address) -> OpenAiImages {
    let Made { record, images } = made;
    let request = &record.request;
    let data = record.images.iter().zip(images).map(|(image, stored)| OpenAiImage {
        b64_json: match manner.format {
            OpenAiResponseFormat::B64Json => Some(BASE64.encode(stored.file)),
            OpenAiResponseFormat::Url => None,
        },
        url: address.of(&image.url),
        seed: image.seed,
    });
    OpenAiImages {
        created: record.created_at.as_second(),
        data: data.collect(),
        background: BACKGROUND.to_owned(),
        output_format: request.output.format,
        quality: manner.quality.to_owned(),
        size: format!("{}x{}", request.width, request.height),
        generation_id: record.id,
        model: record.model,
        warnings: record.warnings,
    }
}
