//! Errors, as RFC 9457 describes them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::named;

/// The body of every answer of 400 and above, sent as `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the status and `code` say what kind of problem it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub kind: String,
    /// The status in words.
    #[schema(example = "Unprocessable Entity")]
    pub title: String,
    #[schema(example = 422)]
    pub status: u16,
    pub code: ErrorCode,
    /// What went wrong, for people.
    #[schema(example = "steps: 1000 is more than the 150 that this server allows")]
    pub detail: String,
    /// Everything that is wrong with the request's fields; absent where no field is to blame.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Also in the header `x-request-id`, and in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// The field's name, with dots between the levels.
    #[schema(example = "preview.every")]
    pub field: String,
    pub code: ErrorCode,
    #[schema(example = "0 is less than 1")]
    pub message: String,
}

named! {
    /// What went wrong, for programs. A code never changes its meaning.
    ErrorCode {
        /// 400: the request is not HTTP as it should be.
        BadRequest = "bad_request",
        /// 400: the body is not JSON.
        InvalidJson = "invalid_json",
        /// 400: the body, or an object within it, is some other JSON value.
        InvalidJsonType = "invalid_json_type",
        /// 400: a field that this server does not know.
        UnknownParameter = "unknown_parameter",
        /// 400: the body is not a form as `multipart/form-data` describes it.
        InvalidMultipart = "invalid_multipart",
        /// 400: `Idempotency-Key` is not 1 to 255 visible ASCII characters.
        InvalidIdempotencyKey = "invalid_idempotency_key",
        /// 401: no key was sent, or none that this server knows.
        Unauthorized = "unauthorized",
        /// 403: the key does not allow this.
        Forbidden = "forbidden",
        /// 403: a web page of another origin sent the request.
        CrossOrigin = "cross_origin",
        /// 404: no such route.
        NotFound = "not_found",
        /// 404: no such generation, or it was too long ago.
        JobNotFound = "job_not_found",
        /// 404: the generation has no such image, or not yet.
        ImageNotFound = "image_not_found",
        /// 404: no such model.
        ModelNotFound = "model_not_found",
        /// 404: no such key.
        KeyNotFound = "key_not_found",
        /// 405: see `Allow`.
        MethodNotAllowed = "method_not_allowed",
        /// 406: nothing that `Accept` names can be sent.
        NotAcceptable = "not_acceptable",
        /// 408: the body came too slowly.
        RequestTimeout = "request_timeout",
        /// 409: the generation was cancelled while its picture was waited for.
        Cancelled = "cancelled",
        /// 409: keys cannot be changed here: there is no key file, or it cannot be written.
        KeysReadOnly = "keys_read_only",
        /// 409: the model cannot be loaded; the server's log says why.
        ModelNotLoadable = "model_not_loadable",
        /// 413: the body is too long.
        PayloadTooLarge = "payload_too_large",
        /// 414: the address is too long.
        UriTooLong = "uri_too_long",
        /// 415: the body is of a type that this server does not read.
        UnsupportedMediaType = "unsupported_media_type",
        /// 415: the body is compressed.
        UnsupportedEncoding = "unsupported_encoding",
        /// 422: several fields are wrong, for different reasons.
        ValidationFailed = "validation_failed",
        /// 422: a value of the wrong JSON type.
        InvalidType = "invalid_type",
        /// 422: a number outside of its range.
        OutOfRange = "out_of_range",
        /// 422: a width or height that the model cannot make.
        InvalidSize = "invalid_size",
        /// 422: a picture of more pixels than this server allows.
        ImageTooLarge = "image_too_large",
        /// 422: images times steps times pixels is more than this server allows.
        CostTooHigh = "cost_too_high",
        /// 422: not one of the possible values.
        UnsupportedValue = "unsupported_value",
        /// 422: fields that cannot be used together, or a field that means nothing to the model.
        ConflictingParameters = "conflicting_parameters",
        /// 422: a field that the model needs.
        MissingParameter = "missing_parameter",
        /// 422: the prompt is empty.
        EmptyPrompt = "empty_prompt",
        /// 422: the prompt has more characters than this server allows.
        PromptTooLong = "prompt_too_long",
        /// 422: the prompt has control characters.
        InvalidPrompt = "invalid_prompt",
        /// 422: the prompt has marks that are not supported, or too many of them.
        InvalidPromptSyntax = "invalid_prompt_syntax",
        /// 422: a name that could not be that of a network.
        InvalidName = "invalid_name",
        /// 422: no such LoRA.
        LoraNotFound = "lora_not_found",
        /// 422: an image that is not base64.
        InvalidBase64 = "invalid_base64",
        /// 422: an image by its address, which is not one from which this server fetches pictures.
        UrlNotAllowed = "url_not_allowed",
        /// 422: an image by its address, which could not be fetched.
        FetchFailed = "fetch_failed",
        /// 422: an image in a format that this server does not read.
        UnsupportedImage = "unsupported_image",
        /// 422: an image that cannot be decoded.
        CorruptImage = "corrupt_image",
        /// 422: a mask that does not fit its image, or masks nothing.
        MaskMismatch = "mask_mismatch",
        /// 422: the `Idempotency-Key` was used for another request.
        IdempotencyMismatch = "idempotency_mismatch",
        /// 429: too many event streams are open.
        TooManyStreams = "too_many_streams",
        /// 429: the key sends requests too fast; see `Retry-After`.
        RateLimited = "rate_limited",
        /// 429: the key has as many generations waiting and running as it may; see `Retry-After`.
        QueueQuota = "queue_quota",
        /// 429: the key asks for more pixels times steps than it may at the moment; see `Retry-After`.
        CostQuota = "cost_quota",
        /// 500: a defect of the server.
        InternalError = "internal_error",
        /// 500: the model could not make the picture.
        ModelError = "model_error",
        /// 500: the model's numbers became infinite or undefined.
        NanOutput = "nan_output",
        /// 500: the server broke down several times while it made the picture, and does not try again.
        TooManyCrashes = "too_many_crashes",
        /// 501: this server does not do that.
        NotImplemented = "not_implemented",
        /// 503: there is no memory for the picture.
        OutOfMemory = "out_of_memory",
        /// 503: the device that makes the pictures broke down, and the server starts anew; see `Retry-After`.
        DeviceLost = "device_lost",
        /// 503: the queue is full; see `Retry-After`.
        QueueFull = "queue_full",
        /// 503: too many connections; see `Retry-After`.
        Overloaded = "overloaded",
        /// 503: the server is stopping.
        ShuttingDown = "shutting_down",
        /// 503: the server cannot make pictures now.
        EngineUnavailable = "engine_unavailable",
        /// 504: the generation's deadline passed.
        DeadlineExceeded = "deadline_exceeded",
        /// 504: the picture is not finished yet; `Location` says where it will be.
        WaitTimeout = "wait_timeout",
    }
}
