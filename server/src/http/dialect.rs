//! How each surface says that something is wrong.

use axum::http::StatusCode;
use axum::http::header::{self, HeaderName, HeaderValue};
use serde::Serialize;
use x0_openapi::{HuggingFaceProblem, Named as _, OpenAiError, OpenAiProblem, SdapiProblem};

use super::error::ApiError;

/// Tells OpenAI's clients whether to send the same again by themselves.
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The shape that errors have. The routes of a surface lie under one path, so that also what is no route is refused in its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `application/problem+json` (RFC 9457).
    Problem,
    /// OpenAI's, whose clients know no 422.
    OpenAi,
    /// Hugging Face's.
    HuggingFace,
    /// AUTOMATIC1111's.
    Sdapi,
}

/// An error as it is sent.
#[derive(Clone, Debug)]
pub struct Spoken {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Vec<u8>,
}

impl Dialect {
    /// The dialect of the routes under a path.
    pub fn of(path: &str) -> Self {
        if path.starts_with("/v1/images/") {
            Dialect::OpenAi
        } else if path.starts_with("/hf/") {
            Dialect::HuggingFace
        } else if path.starts_with("/sdapi/") || path.starts_with("/internal/") {
            Dialect::Sdapi
        } else {
            Dialect::Problem
        }
    }

    /// Says what is wrong.
    pub fn say(self, error: &ApiError, request_id: Option<String>) -> Spoken {
        match self {
            Dialect::Problem => Spoken {
                status: error.status(),
                headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))],
                body: written(&error.problem(request_id)),
            },
            Dialect::OpenAi => Spoken {
                status: match error.status() {
                    StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                    status => status,
                },
                headers: vec![
                    (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                    (X_SHOULD_RETRY, HeaderValue::from_static(if worth_retrying(error) { "true" } else { "false" })),
                ],
                body: written(&OpenAiProblem { error: openai_error(error) }),
            },
            Dialect::Sdapi => Spoken {
                status: error.status(),
                headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
                body: written(&SdapiProblem {
                    error: error.code.name().to_owned(),
                    detail: error.detail.clone(),
                    body: String::new(),
                    errors: error.everything(),
                }),
            },
            Dialect::HuggingFace => Spoken {
                status: match error.status() {
                    // To JavaScript's client 503 means that a model is being loaded, and it asks again at once, without end.
                    StatusCode::SERVICE_UNAVAILABLE => StatusCode::TOO_MANY_REQUESTS,
                    status => status,
                },
                headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
                body: written(&HuggingFaceProblem {
                    error: error.everything(),
                    error_type: error.code.name().to_owned(),
                }),
            },
        }
    }
}

/// An error as OpenAI's answers and event streams have it.
pub fn openai_error(error: &ApiError) -> OpenAiError {
    let kind = match error.status() {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    OpenAiError {
        message: error.everything(),
        kind: kind.to_owned(),
        param: error.errors.first().map(|error| error.field.clone()).filter(|field| !field.is_empty()),
        code: Some(error.code.name().to_owned()),
    }
}

/// Whether the same request can succeed later: that is so where the server says when. A model that failed will fail again, and what
/// takes too long goes on already.
fn worth_retrying(error: &ApiError) -> bool {
    error.headers.iter().any(|(name, _)| *name == header::RETRY_AFTER)
}

fn written(body: &impl Serialize) -> Vec<u8> {
    // The wire types have string keys only, so they can always be written as JSON.
    serde_json::to_vec(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use x0_openapi::{ErrorCode, FieldError};

    use super::*;

    fn said(dialect: Dialect, error: &ApiError) -> (u16, Value) {
        let spoken = dialect.say(error, Some("r-1".to_owned()));
        (spoken.status.as_u16(), serde_json::from_slice(&spoken.body).unwrap())
    }

    fn wrong(field: &str) -> FieldError {
        FieldError { field: field.to_owned(), code: ErrorCode::OutOfRange, message: "0 is less than 1".to_owned() }
    }

    #[test]
    fn each_surface_has_its_own_shape() {
        let error = ApiError::fields(vec![wrong("steps")]);
        let (status, problem) = said(Dialect::Problem, &error);
        assert_eq!((status, &problem["code"], &problem["request_id"]), (422, &json!("out_of_range"), &json!("r-1")));
        let (message, kind) = ("steps: 0 is less than 1", "invalid_request_error");
        let expected = json!({"error": {"message": message, "type": kind, "param": "steps", "code": "out_of_range"}});
        assert_eq!(said(Dialect::OpenAi, &error), (400, expected));
        let expected = json!({"error": message, "error_type": "out_of_range"});
        assert_eq!(said(Dialect::HuggingFace, &error), (422, expected));
    }

    #[test]
    fn automatic1111_has_its_own_keys() {
        let (status, said) = said(Dialect::Sdapi, &ApiError::fields(vec![wrong("steps"), wrong("n_iter")]));
        let detail = "2 fields are wrong: steps, n_iter";
        let errors = "steps: 0 is less than 1; n_iter: 0 is less than 1";
        assert_eq!(
            (status, said),
            (422, json!({"error": "out_of_range", "detail": detail, "body": "", "errors": errors}))
        );
    }

    #[test]
    fn a_shape_without_a_list_says_everything_in_words() {
        let (_, said) = said(Dialect::OpenAi, &ApiError::fields(vec![wrong("steps"), wrong("n")]));
        assert_eq!(said["error"]["message"], "steps: 0 is less than 1; n: 0 is less than 1");
    }

    #[test]
    fn only_what_can_succeed_later_is_worth_retrying() {
        let full = ApiError::new(ErrorCode::QueueFull, "the queue is full").retry_after(Duration::from_secs(3));
        assert!(worth_retrying(&full));
        assert!(!worth_retrying(&ApiError::new(ErrorCode::ModelError, "the model failed")));
    }

    #[test]
    fn the_path_says_which_surface_it_is() {
        assert_eq!(Dialect::of("/v1/images/generations"), Dialect::OpenAi);
        assert_eq!(Dialect::of("/v1/images/nonsense"), Dialect::OpenAi);
        assert_eq!(Dialect::of("/hf/fashion"), Dialect::HuggingFace);
        assert_eq!(Dialect::of("/sdapi/v1/txt2img"), Dialect::Sdapi);
        assert_eq!(Dialect::of("/internal/progress"), Dialect::Sdapi);
        assert_eq!(Dialect::of("/v1/generations"), Dialect::Problem);
    }
}
