//! From Hugging Face's request to ours.

use x0_openapi::{ErrorCode, FieldError, HuggingFaceRequest};

use crate::http::making::Asked;
use crate::picture::is_url;
use crate::validate::Validator;

/// How the files begin that are taken as pictures, in base64: PNG, JPEG, WebP.
const PICTURES: [&str; 3] = ["iVBORw0KGgo", "/9j/", "UklGR"];

/// What fields of ours are called in a request.
#[derive(Clone, Debug)]
pub(super) struct Words {
    /// What was found wrong by the reader, which gives fields their whole name.
    read: Vec<String>,
    /// What `inputs` stands for.
    inputs: Inputs,
    steps: bool,
    scheduler: bool,
    target_size: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inputs {
    Prompt,
    Picture,
}

impl Words {
    pub(super) fn name_of(&self, field: &str) -> String {
        match field {
            // The model is named in the path.
            field if field == "model" || self.read.iter().any(|read| read == field) => field.to_owned(),
            "init_image" if self.inputs == Inputs::Picture => "inputs".to_owned(),
            "prompt" | "class_label" if self.inputs == Inputs::Prompt => "inputs".to_owned(),
            "steps" if self.steps => "parameters.num_inference_steps".to_owned(),
            "sampler" if self.scheduler => "parameters.scheduler".to_owned(),
            "width" | "height" if self.target_size => format!("parameters.target_size.{field}"),
            field if field.starts_with("parameters.") || field == "inputs" => field.to_owned(),
            field => format!("parameters.{field}"),
        }
    }
}

/// Translates a request that was read, and goes on collecting what is wrong with it.
pub(super) fn translate(
    validator: &Validator,
    model: String,
    request: HuggingFaceRequest,
    mut errors: Vec<FieldError>,
) -> (Asked, Words) {
    let parameters = request.parameters.unwrap_or_default();
    let mut native = parameters.native;
    native.model = Some(model);

    let is_picture = request.inputs.as_deref().is_some_and(is_picture);
    let inputs = if is_picture { Inputs::Picture } else { Inputs::Prompt };
    let words = Words {
        read: errors.iter().map(|error| error.field.clone()).collect(),
        inputs,
        steps: parameters.num_inference_steps.is_some(),
        scheduler: parameters.scheduler.is_some(),
        target_size: parameters.target_size.is_some(),
    };
    let mut fill = |place: &mut Option<_>, value: Option<_>, name: &str| fill(&mut errors, place, value, name);
    match inputs {
        Inputs::Prompt => fill(&mut native.prompt, request.inputs, "inputs"),
        Inputs::Picture => fill(&mut native.init_image, request.inputs, "inputs"),
    }
    fill(&mut native.sampler, parameters.scheduler, "parameters.scheduler");
    let mut fill = |place: &mut Option<_>, value: Option<_>, name: &str| self::fill(&mut errors, place, value, name);
    fill(&mut native.steps, parameters.num_inference_steps, "parameters.num_inference_steps");
    let size = parameters.target_size.unwrap_or_default();
    fill(&mut native.width, size.width, "parameters.target_size.width");
    fill(&mut native.height, size.height, "parameters.target_size.height");
    if is_picture && native.prompt.is_none() {
        // A picture may be made anew without a word.
        native.prompt = Some(String::new());
    }
    validator.fit_prompts(&mut native);
    (Asked { request: native, errors }, words)
}

/// Puts a value into our field, unless that is given as well.
fn fill<T>(errors: &mut Vec<FieldError>, place: &mut Option<T>, value: Option<T>, name: &str) {
    if value.is_none() {
        return;
    }
    if place.is_some() {
        let message = "is given twice, by its name here and by our own".to_owned();
        errors.push(FieldError { field: name.to_owned(), code: ErrorCode::ConflictingParameters, message });
        return;
    }
    *place = value;
}

fn is_picture(inputs: &str) -> bool {
    // An address alone is no prompt.
    let is_address = is_url(inputs) && !inputs.contains(char::is_whitespace);
    is_address || inputs.starts_with("data:image/") || PICTURES.iter().any(|picture| inputs.starts_with(picture))
}
