//! The routes, one file each.

pub mod admin_keys;
pub mod admin_models;
pub mod cancel_generation;
pub mod create_generation;
pub mod docs;
pub mod generation_events;
pub mod generation_image;
pub mod get_generation;
pub mod health;
pub mod list_generations;
pub mod metrics;
pub mod models;
pub mod page;
pub mod picture_settings;
pub mod samplers;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::Uuid;
use x0_openapi::GenerationRecord;

use super::error::ApiError;
use crate::generation::Own;

/// The id in a path. What is no id names no generation.
pub(super) fn generation_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| ApiError::job_not_found())
}

/// Puts the files into a record, if its request asks for it.
async fn with_files(own: Own<'_>, mut record: GenerationRecord) -> Result<GenerationRecord, ApiError> {
    if record.request.output.inline {
        for image in &mut record.images {
            image.b64 = own.image(record.id, image.index).await?.map(|stored| BASE64.encode(stored.file));
        }
    }
    Ok(record)
}
