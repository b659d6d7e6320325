//! OpenAI's Images API: a translation to our own request, and of our own events.
//!
//! `GET /v1/models` is OpenAI's by its shape, and lies with our own routes.

mod answer;
pub mod create_image;
pub mod edit_image;
mod form;
mod narrator;
mod translate;
