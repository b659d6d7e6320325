//! Bodies that are not JSON, for the document.

use utoipa::ToSchema;

/// The bytes of a file.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "the document needs the type's schema, nobody its value")]
pub struct FileBytes(Vec<u8>);

/// An event of a stream, as its lines say it. The stream begins with how long to wait before coming back, in `retry`.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "the document needs the type's schema, nobody its value")]
pub struct ServerSentEvent {
    /// Its name.
    event: String,
    /// What the `Event` of that name holds, as JSON; on OpenAI's routes an `OpenAiEvent`.
    #[schema(content_media_type = "application/json")]
    data: String,
    /// Of facts: what to send as `Last-Event-ID`.
    #[schema(nullable = false)]
    id: Option<String>,
    /// In milliseconds.
    #[schema(nullable = false)]
    retry: Option<u32>,
}
