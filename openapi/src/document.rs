//! The parts of the OpenAPI document that belong to no route.

use utoipa::OpenApi;

use crate::event::Event;
use crate::problem::Problem;
use crate::sdapi::SdapiInfo;

/// The document without its routes.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "x0",
        description = "An inference server for Stable Diffusion: asks a diffusion model for pictures, and shows the model's \
                       prediction of the finished picture while the noise is still being removed.\n\n\
                       Errors are `application/problem+json` (RFC 9457) with a stable `code`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "generations", description = "Making pictures"),
        (name = "models", description = "What can be made, and how"),
        (name = "OpenAI", description = "For clients of OpenAI's Images API"),
        (name = "Hugging Face", description = "For clients of Hugging Face's inference API"),
        (name = "Replicate", description = "For clients of Replicate's HTTP API"),
        (name = "AUTOMATIC1111", description = "For clients of AUTOMATIC1111's API"),
        (name = "operations", description = "For those who run the server"),
    ),
    components(schemas(Event, Problem, SdapiInfo)),
)]
pub struct ApiDoc;
