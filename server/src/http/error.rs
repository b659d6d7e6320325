//! Errors as answers. This is the only file that knows which status a code has.

use std::time::Duration;

use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use x0_openapi::{ErrorCode, FieldError, GenerationError, Problem};

use crate::auth::Budget;
use crate::store::StoreError;

/// What a process takes to end and to be started again, roughly.
const RESTART: Duration = Duration::from_secs(5);

/// An answer that says what went wrong. [`super::layers::problem`] writes it in the [`Dialect`](super::dialect::Dialect) of its surface.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub code: ErrorCode,
    /// For the client; names nothing that is inside of the server.
    pub detail: String,
    pub errors: Vec<FieldError>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    /// Everything that is wrong with a request's fields; there is at least one.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let shared = errors.first().map(|first| first.code).filter(|code| errors.iter().all(|e| e.code == *code));
        let detail = match errors.as_slice() {
            [only] if only.field.is_empty() => only.message.clone(),
            [only] => format!("{}: {}", only.field, only.message),
            several => {
                let names: Vec<_> = several.iter().map(|error| error.field.as_str()).collect();
                format!("{} fields are wrong: {}", several.len(), shortened(names.join(", ")))
            }
        };
        Self { errors, ..Self::new(shared.unwrap_or(ErrorCode::ValidationFailed), detail) }
    }

    /// All that is wrong, in one text: for shapes that have no list of fields. At most 20 fields.
    pub fn everything(&self) -> String {
        match self.errors.as_slice() {
            [] | [_] => self.detail.clone(),
            several => {
                let each = several.iter().take(20).map(|error| format!("{}: {}", error.field, error.message));
                each.collect::<Vec<_>>().join("; ")
            }
        }
    }

    /// The same in a surface's own words for the fields. One reason a field is enough, also where two of our fields are one of theirs,
    /// and what is wrong within a field that is wrong as a whole is not worth a word.
    pub fn in_words_of(self, name: impl Fn(&str) -> String) -> Self {
        if self.errors.is_empty() {
            return self;
        }
        let mut errors: Vec<FieldError> = Vec::with_capacity(self.errors.len());
        for error in self.errors {
            let field = name(&error.field);
            let known = |other: &FieldError| {
                field.strip_prefix(&other.field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            if !errors.iter().any(known) {
                errors.push(FieldError { field, ..error });
            }
        }
        Self { headers: self.headers, ..Self::fields(errors) }
    }

    /// A generation of this id is not known.
    pub fn job_not_found() -> Self {
        Self::new(ErrorCode::JobNotFound, "no such generation; it may have been too long ago")
    }

    /// A defect of ours: `cause` goes to the log, not to the client.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed through a defect of the server");
        Self::new(ErrorCode::InternalError, "the server failed; its log says why, under this request's id")
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says when it is worth trying again: whole seconds, at least one.
    pub fn retry_after(self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.with_header(header::RETRY_AFTER, seconds.clamp(1, 3600).into())
    }

    /// Too much was asked for: says how much there is, how much is left, and when it is worth trying again. `unit` names what is counted.
    /// What would never be granted is not a matter of time, and so another error.
    pub fn over_budget(code: ErrorCode, detail: impl Into<String>, unit: &'static str, budget: Budget) -> Self {
        let Some(retry) = budget.retry else {
            let message =
                format!("it takes more than all {} {unit} that this key may ask for in a minute", budget.limit);
            return Self::new(ErrorCode::CostTooHigh, message);
        };
        let headers = budget_headers(unit, &budget).into_iter();
        headers.fold(Self::new(code, detail), |error, (name, value)| error.with_header(name, value)).retry_after(retry)
    }

    pub fn status(&self) -> StatusCode {
        // Several wrong fields: what cannot be read at all weighs more than what is not allowed.
        let statuses = self.errors.iter().map(|error| status(error.code));
        statuses.min().unwrap_or_else(|| status(self.code))
    }

    /// The body.
    pub fn problem(&self, request_id: Option<String>) -> Problem {
        let status = self.status();
        Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: self.code,
            detail: self.detail.clone(),
            errors: self.errors.clone(),
            request_id,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), HeaderMap::from_iter(self.headers.clone()), axum::Extension(self)).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the job store failed");
        Self::new(ErrorCode::EngineUnavailable, "generations cannot be stored at the moment")
            .retry_after(Duration::from_secs(5))
    }
}

/// A generation that failed, to a client that waits for nothing but its picture.
impl From<GenerationError> for ApiError {
    fn from(error: GenerationError) -> Self {
        let told = Self::new(error.code, error.message);
        // The same request can succeed as soon as the server is there again.
        if error.code == ErrorCode::DeviceLost { told.retry_after(RESTART) } else { told }
    }
}

/// The headers that say how much of something is left, as most clients know them: draft-ietf-httpapi-ratelimit-headers-05, and of later
/// drafts the policy, which names what is counted.
pub fn budget_headers(unit: &'static str, budget: &Budget) -> [(HeaderName, HeaderValue); 4] {
    let reset = budget.reset.as_secs() + u64::from(budget.reset.subsec_nanos() > 0);
    let policy = HeaderValue::try_from(format!("\"{unit}\";q={};w=60", budget.limit));
    [
        (HeaderName::from_static("ratelimit-policy"), policy.unwrap_or(HeaderValue::from_static(""))),
        (HeaderName::from_static("ratelimit-limit"), budget.limit.into()),
        (HeaderName::from_static("ratelimit-remaining"), budget.remaining.into()),
        (HeaderName::from_static("ratelimit-reset"), reset.into()),
    ]
}

/// At most 200 characters of it.
fn shortened(text: String) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The status of a code.
fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode as E;
    match code {
        E::BadRequest
        | E::InvalidJson
        | E::InvalidJsonType
        | E::UnknownParameter
        | E::InvalidMultipart
        | E::InvalidIdempotencyKey => StatusCode::BAD_REQUEST,
        E::Unauthorized => StatusCode::UNAUTHORIZED,
        E::CrossOrigin | E::Forbidden => StatusCode::FORBIDDEN,
        E::NotFound | E::JobNotFound | E::ImageNotFound | E::ModelNotFound | E::KeyNotFound => StatusCode::NOT_FOUND,
        E::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        E::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        E::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        E::Cancelled | E::KeysReadOnly | E::ModelNotLoadable => StatusCode::CONFLICT,
        E::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        E::UriTooLong => StatusCode::URI_TOO_LONG,
        E::UnsupportedMediaType | E::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        E::ValidationFailed
        | E::InvalidType
        | E::OutOfRange
        | E::InvalidSize
        | E::ImageTooLarge
        | E::CostTooHigh
        | E::UnsupportedValue
        | E::ConflictingParameters
        | E::MissingParameter
        | E::EmptyPrompt
        | E::PromptTooLong
        | E::InvalidPrompt
        | E::InvalidPromptSyntax
        | E::InvalidName
        | E::LoraNotFound
        | E::InvalidBase64
        | E::UrlNotAllowed
        | E::FetchFailed
        | E::UnsupportedImage
        | E::CorruptImage
        | E::MaskMismatch
        | E::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        E::TooManyStreams | E::RateLimited | E::QueueQuota | E::CostQuota => StatusCode::TOO_MANY_REQUESTS,
        E::InternalError | E::ModelError | E::NanOutput | E::TooManyCrashes => StatusCode::INTERNAL_SERVER_ERROR,
        E::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        E::OutOfMemory | E::DeviceLost | E::QueueFull | E::Overloaded | E::ShuttingDown | E::EngineUnavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        E::DeadlineExceeded | E::WaitTimeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// The error that stands for an answer of this status which something other than our own code made.
pub fn for_status(status: StatusCode) -> Option<ApiError> {
    let (code, detail) = match status {
        StatusCode::BAD_REQUEST => (ErrorCode::BadRequest, "the request cannot be understood"),
        StatusCode::NOT_FOUND => (ErrorCode::NotFound, "no such route; GET /docs lists all"),
        StatusCode::METHOD_NOT_ALLOWED => (ErrorCode::MethodNotAllowed, "this route has other methods; see Allow"),
        StatusCode::REQUEST_TIMEOUT => (ErrorCode::RequestTimeout, "the request came too slowly"),
        StatusCode::PAYLOAD_TOO_LARGE => (ErrorCode::PayloadTooLarge, "the body is too long"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (ErrorCode::UnsupportedMediaType, "the body must be JSON"),
        StatusCode::UNPROCESSABLE_ENTITY => (ErrorCode::ValidationFailed, "the request is not acceptable"),
        StatusCode::INTERNAL_SERVER_ERROR => (ErrorCode::InternalError, "the server failed"),
        _ => return None,
    };
    Some(ApiError::new(code, detail))
}

#[cfg(test)]
mod tests {
    use x0_openapi::Named as _;

    use super::*;

    #[test]
    fn every_code_says_its_status_in_the_document() {
        // The descriptions are what clients read; this keeps them true.
        let source = include_str!("../../../openapi/src/problem.rs");
        for code in ErrorCode::ALL {
            let line = source.lines().position(|line| line.contains(&format!("= \"{}\"", code.name()))).unwrap();
            let documented = source.lines().nth(line - 1).unwrap().trim().trim_start_matches("/// ");
            let status = status(*code).as_u16();
            assert!(documented.starts_with(&format!("{status}:")), "{} is {status}, not {documented}", code.name());
        }
    }

    #[test]
    fn several_fields_share_one_answer() {
        let field = |code| FieldError { field: "steps".to_owned(), code, message: "0 is less than 1".to_owned() };
        let error = |codes: &[ErrorCode]| ApiError::fields(codes.iter().map(|code| field(*code)).collect());
        let one = error(&[ErrorCode::OutOfRange]);
        assert_eq!((one.code, one.detail.as_str()), (ErrorCode::OutOfRange, "steps: 0 is less than 1"));
        assert_eq!(error(&[ErrorCode::OutOfRange; 2]).code, ErrorCode::OutOfRange);
        let mixed = error(&[ErrorCode::OutOfRange, ErrorCode::UnknownParameter]);
        assert_eq!((mixed.code, mixed.status().as_u16()), (ErrorCode::ValidationFailed, 400));
        assert_eq!(error(&[ErrorCode::OutOfRange, ErrorCode::ModelNotFound]).status().as_u16(), 404);
    }

    #[test]
    fn a_surface_has_its_own_words() {
        let field = |field: &str, code| FieldError { field: field.to_owned(), code, message: "no".to_owned() };
        let error = ApiError::fields(vec![
            field("input", ErrorCode::InvalidJsonType),
            field("width", ErrorCode::InvalidSize),
            field("height", ErrorCode::OutOfRange),
            field("input.prompt", ErrorCode::MissingParameter),
        ]);
        let theirs = error
            .in_words_of(|name| if name.ends_with("th") || name.ends_with("ht") { "size" } else { name }.to_owned());
        let fields: Vec<_> = theirs.errors.iter().map(|error| (error.field.as_str(), error.code)).collect();
        assert_eq!(fields, [("input", ErrorCode::InvalidJsonType), ("size", ErrorCode::InvalidSize)]);
        assert_eq!(theirs.everything(), "input: no; size: no");
    }

    #[test]
    fn what_is_never_granted_is_not_a_matter_of_time() {
        let budget = Budget { limit: 640, remaining: 0, reset: Duration::ZERO, retry: None };
        let error = ApiError::over_budget(ErrorCode::CostQuota, "has not so many left", "pixel-steps", budget);
        let told = "it takes more than all 640 pixel-steps that this key may ask for in a minute";
        assert_eq!((error.code, error.detail.as_str()), (ErrorCode::CostTooHigh, told));
        assert!(error.headers.is_empty());
    }

    #[test]
    fn retry_after_is_whole_seconds() {
        for (millis, header) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (7_200_000, "3600")] {
            let error = ApiError::new(ErrorCode::QueueFull, "").retry_after(Duration::from_millis(millis));
            assert_eq!(error.into_response().headers()[header::RETRY_AFTER], header);
        }
    }
}
