//! Finished pictures.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::names::ImageFormat;
use crate::seed::Seed;

/// OpenAI's answer. What is not in OpenAI's own: `generation_id`, `model`, `warnings`, and each picture's `seed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiImages {
    /// In seconds since 1970.
    pub created: i64,
    pub data: Vec<OpenAiImage>,
    /// Always `opaque`.
    #[schema(example = "opaque")]
    pub background: String,
    pub output_format: ImageFormat,
    /// As it was asked for.
    #[schema(example = "auto")]
    pub quality: String,
    #[schema(example = "512x512")]
    pub size: String,
    /// The same generation on every other surface, such as `GET /v1/generations/{id}`.
    pub generation_id: Uuid,
    #[schema(example = "fashion")]
    pub model: String,
    /// What the model did with the request that the client may not expect.
    pub warnings: Vec<String>,
}

/// One picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiImage {
    /// The file in base64; absent where `response_format` is `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    pub b64_json: Option<String>,
    /// Where the file is.
    #[schema(example = "http://127.0.0.1:8000/v1/generations/0193f0c4-7b1e-7d52-8a52-3f2f0c7f4a10/images/0")]
    pub url: String,
    /// This picture's own seed.
    pub seed: Seed,
}

/// OpenAI's count of tokens, which its typed clients expect. Nothing is counted here: all are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiUsage {
    pub input_tokens: u32,
    pub input_tokens_details: OpenAiInputTokens,
    pub output_tokens: u32,
    pub total_tokens: u32,
}

/// Tokens of the request by what they stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiInputTokens {
    pub image_tokens: u32,
    pub text_tokens: u32,
}
