//! Errors, in OpenAI's shape.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of an answer of 400 and above.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiProblem {
    pub error: OpenAiError,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenAiError {
    /// For people: everything that is wrong.
    #[schema(example = "steps: 1001 is more than the 1000 that this server allows")]
    pub message: String,
    /// `invalid_request_error`, `authentication_error`, `permission_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    #[schema(example = "invalid_request_error")]
    pub kind: String,
    /// The first field that is wrong.
    #[schema(example = "steps")]
    pub param: Option<String>,
    /// For programs: one of [`ErrorCode`](crate::ErrorCode)'s words.
    #[schema(example = "out_of_range")]
    pub code: Option<String>,
}
