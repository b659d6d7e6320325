//! What happens to a generation, in OpenAI's events.

use std::collections::HashMap;

use axum::response::sse;
use uuid::Uuid;
use x0_openapi::{
    ErrorCode, Event, GenerationError, GenerationRecord, ImageFormat, ImageRecord, OpenAiCompleted, OpenAiEvent,
    OpenAiFailed, OpenAiPartialImage, OpenAiUsage, PreviewEvent,
};

use super::answer::BACKGROUND;
use super::translate::{Manner, Subject};
use crate::http::address::Address;
use crate::http::dialect::openai_error;
use crate::http::error::ApiError;
use crate::http::sse as stream;
use crate::store::Delivery;

/// Tells of previews, finished pictures, and failure.
#[derive(Debug)]
pub(super) struct Narrator {
    manner: Manner,
    address: Address,
    id: Uuid,
    created_at: i64,
    /// How many partial images each picture had.
    partial_images: HashMap<u32, u32>,
}

impl Narrator {
    pub(super) fn new(manner: Manner, record: &GenerationRecord, address: Address) -> Self {
        let created_at = record.created_at.as_second();
        Self { manner, address, id: record.id, created_at, partial_images: HashMap::new() }
    }

    fn kind(&self, what: &str) -> String {
        let subject = match self.manner.subject {
            Subject::Generation => "image_generation",
            Subject::Edit => "image_edit",
        };
        format!("{subject}.{what}")
    }

    fn partial_image(&mut self, preview: &PreviewEvent) -> Option<OpenAiEvent> {
        let shown = self.partial_images.entry(preview.index).or_default();
        let partial_image_index = *shown;
        // The last step's prediction is the picture itself.
        if preview.step >= preview.steps || self.manner.partial_images.is_some_and(|most| *shown >= most) {
            return None;
        }
        *shown += 1;
        Some(OpenAiEvent::Partial(OpenAiPartialImage {
            kind: self.kind("partial_image"),
            b64_json: preview.b64.clone(),
            created_at: self.created_at,
            size: size(preview.width, preview.height),
            quality: self.manner.quality.to_owned(),
            background: BACKGROUND.to_owned(),
            output_format: preview.format,
            partial_image_index,
            generation_id: self.id,
            index: preview.index,
            step: preview.step,
            steps: preview.steps,
            timestep: preview.timestep,
            sigma: preview.sigma,
        }))
    }

    fn completed(&self, image: &ImageRecord) -> OpenAiEvent {
        let format: ImageFormat = image.format;
        OpenAiEvent::Completed(OpenAiCompleted {
            kind: self.kind("completed"),
            b64_json: image.b64.clone().unwrap_or_default(),
            created_at: self.created_at,
            size: size(image.width, image.height),
            quality: self.manner.quality.to_owned(),
            background: BACKGROUND.to_owned(),
            output_format: format,
            usage: OpenAiUsage::default(),
            generation_id: self.id,
            index: image.index,
            seed: image.seed,
            url: self.address.of(&image.url),
        })
    }
}

impl stream::Narrator for Narrator {
    fn tell(&mut self, delivery: &Delivery) -> Option<sse::Event> {
        let event = match &*delivery.event {
            Event::Preview(preview) => self.partial_image(preview)?,
            Event::Image(image) => self.completed(image),
            Event::Failed(record) => failed(record.error.clone().map(ApiError::from)),
            Event::Cancelled(_) => failed(Some(ApiError::new(ErrorCode::Cancelled, "the generation was cancelled"))),
            Event::Snapshot(_)
            | Event::Queued(_)
            | Event::Started(_)
            | Event::Step(_)
            | Event::Succeeded(_)
            | Event::Shutdown(_) => return None,
        };
        written(&event)
    }

    fn stopping(&mut self) -> Option<sse::Event> {
        let message = "the server is stopping".to_owned();
        let error = GenerationError { code: ErrorCode::ShuttingDown, message };
        written(&failed(Some(error.into())))
    }
}

fn failed(error: Option<ApiError>) -> OpenAiEvent {
    let error = error.unwrap_or_else(|| ApiError::new(ErrorCode::InternalError, "the generation failed"));
    OpenAiEvent::Failed(OpenAiFailed { kind: "error".to_owned(), error: openai_error(&error) })
}

fn written(event: &OpenAiEvent) -> Option<sse::Event> {
    // The wire types have string keys only, so they can always be written as JSON.
    sse::Event::default().event(event.name()).json_data(event).ok()
}

fn size(width: u32, height: u32) -> String {
    format!("{width}x{height}")
}
