//! The parts of the OpenAPI document that belong to no route.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::event::Event;
use crate::openai::OpenAiEvent;
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
        (name = "admin", description = "For those who run the server, with a key of the scope `admin`"),
    ),
    components(schemas(Event, OpenAiEvent, Problem, SdapiInfo)),
    modifiers(&Keys),
)]
pub struct ApiDoc;

/// How a key is sent, where the server asks for one.
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        components.add_security_scheme("password", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)));
    }
}
