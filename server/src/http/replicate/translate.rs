//! From Replicate's request to ours.

use x0_openapi::{ErrorCode, FieldError, OutputRequest, ReplicateInput, ReplicateRequest};

use super::OWNER;
use crate::http::making::Asked;
use crate::validate::Validator;

/// Samplers of Replicate's Stable Diffusion models that are called otherwise here.
const SCHEDULERS: [(&str, &str); 6] = [
    ("K_EULER", "euler"),
    ("K_EULER_ANCESTRAL", "euler_ancestral"),
    ("DPMSolverMultistep", "dpmpp_2m"),
    ("KarrasDPM", "dpmpp_2m_karras"),
    ("HeunDiscrete", "heun"),
    ("KLMS", "lms"),
];

/// Where a request names its model.
#[derive(Clone, Debug)]
pub(super) enum Version {
    InBody,
    InPath { owner: String, name: String },
}

/// What fields of ours are called in a request.
#[derive(Clone, Debug)]
pub(super) struct Words {
    /// What was found wrong by the reader, which gives fields their whole name.
    read: Vec<String>,
    /// Our name and theirs, where theirs was used.
    renamed: Vec<(&'static str, &'static str)>,
}

impl Words {
    fn of(input: &ReplicateInput, errors: &[FieldError]) -> Self {
        let words = [
            (input.num_outputs.is_some(), "n", "num_outputs"),
            (input.num_inference_steps.is_some(), "steps", "num_inference_steps"),
            (input.scheduler.is_some(), "sampler", "scheduler"),
            (input.image.is_some(), "init_image", "image"),
            (input.mask.is_some(), "mask_image", "mask"),
            (input.prompt_strength.is_some(), "strength", "prompt_strength"),
            (input.output_format.is_some(), "output.format", "output_format"),
            (input.output_quality.is_some(), "output.quality", "output_quality"),
            (input.native.class_label.is_none(), "class_label", "prompt"),
        ];
        Self {
            read: errors.iter().map(|error| error.field.clone()).collect(),
            renamed: words.into_iter().filter(|(used, _, _)| *used).map(|(_, ours, theirs)| (ours, theirs)).collect(),
        }
    }

    pub(super) fn name_of(&self, field: &str) -> String {
        if field == "model" {
            return "version".to_owned();
        }
        if field == "version" || field.starts_with("input.") || self.read.iter().any(|read| read == field) {
            return field.to_owned();
        }
        let theirs = self.renamed.iter().find(|(ours, _)| *ours == field).map_or(field, |(_, theirs)| theirs);
        format!("input.{theirs}")
    }
}

/// Translates a request that was read, and goes on collecting what is wrong with it.
pub(super) fn translate(
    validator: &Validator,
    version: Version,
    request: ReplicateRequest,
    errors: Vec<FieldError>,
) -> (Asked, Words) {
    let input = request.input.unwrap_or_default();
    let words = Words::of(&input, &errors);
    let mut translation = Translation { errors };
    let mut native = input.native;
    native.model = translation.model(version, request.version);

    translation.fill(&mut native.n, input.num_outputs, "num_outputs");
    translation.fill(&mut native.steps, input.num_inference_steps, "num_inference_steps");
    translation.fill(&mut native.sampler, input.scheduler.map(sampler), "scheduler");
    translation.fill(&mut native.init_image, input.image.map(file), "image");
    translation.fill(&mut native.mask_image, input.mask.map(file), "mask");
    translation.fill(&mut native.strength, input.prompt_strength, "prompt_strength");
    let mut output: OutputRequest = native.output.unwrap_or_default();
    translation.fill(&mut output.format, input.output_format.map(Into::into), "output_format");
    translation.fill(&mut output.quality, input.output_quality, "output_quality");
    native.output = Some(output);

    validator.fit_prompts(&mut native);
    (Asked { request: native, errors: translation.errors }, words)
}

struct Translation {
    errors: Vec<FieldError>,
}

impl Translation {
    fn wrong(&mut self, field: &str, code: ErrorCode, message: &str) {
        self.errors.push(FieldError { field: field.to_owned(), code, message: message.to_owned() });
    }

    /// The model's name: `NAME`, `x0/NAME` and `x0/NAME:NAME` are the same.
    fn model(&mut self, version: Version, given: Option<String>) -> Option<String> {
        match (version, given) {
            (Version::InPath { owner, name }, None) => {
                // What another owner's model is called is not known here, so it is found under no name.
                Some(if owner == OWNER { name } else { format!("{owner}/{name}") })
            }
            (Version::InPath { .. }, Some(_)) => {
                self.wrong("version", ErrorCode::ConflictingParameters, "the path names the model");
                None
            }
            (Version::InBody, None) => {
                self.wrong("version", ErrorCode::MissingParameter, "there is no model; GET /v1/models lists all");
                None
            }
            (Version::InBody, Some(version)) => {
                let own = version.strip_prefix(OWNER).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&version);
                let name = match own.split_once(':') {
                    Some((model, version)) if model == version => model,
                    _ => own,
                };
                Some(name.to_owned())
            }
        }
    }

    /// Puts a value into our field, unless that is given as well.
    fn fill<T>(&mut self, place: &mut Option<T>, value: Option<T>, name: &str) {
        if value.is_none() {
            return;
        }
        if place.is_some() {
            let message = "is given twice, by its name here and by our own";
            return self.wrong(&format!("input.{name}"), ErrorCode::ConflictingParameters, message);
        }
        *place = value;
    }
}

fn sampler(name: String) -> String {
    let same = |(theirs, _): &&(&str, &str)| theirs.eq_ignore_ascii_case(&name);
    SCHEDULERS.iter().find(same).map_or(name.clone(), |(_, ours)| (*ours).to_owned())
}

/// Python's client does not know what kind of file it was given; the file's content says it.
fn file(text: String) -> String {
    match text.strip_prefix("data:application/octet-stream;base64,") {
        Some(base64) => base64.to_owned(),
        None => text,
    }
}
