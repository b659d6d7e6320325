//! What the picture shall show, by what the model takes.

use x0_model::prompt::PromptError;
use x0_model::{Conditioning, ModelInfo, ModelKind, Prompt};
use x0_openapi::{ClassLabel, ErrorCode, GenerationRequest, PromptSyntax};

use super::Limits;
use super::checks::{Checks, quoted};

/// Checks the fields that say what to show; `None` if they do not say it.
pub(super) fn condition(
    checks: &mut Checks,
    request: &GenerationRequest,
    info: &ModelInfo,
    limits: &Limits,
) -> Option<Conditioning> {
    let name = &info.name;
    match info.kind {
        ModelKind::Unconditional => {
            checks.refuse("class_label", request.class_label.as_ref(), &format!("{name} has no classes"));
            refuse_text(checks, request, &format!("{name} takes no prompt"));
            Some(Conditioning::None)
        }
        ModelKind::ClassConditional => {
            refuse_text(checks, request, &format!("{name} takes a class_label, not a prompt"));
            class(checks, request.class_label.as_ref(), info).map(Conditioning::Class)
        }
        ModelKind::TextToImage => {
            let why = format!("{name} takes a prompt, not a class_label");
            checks.refuse("class_label", request.class_label.as_ref(), &why);
            let syntax = prompt_syntax_of(request.prompt_syntax.unwrap_or(PromptSyntax::Plain));
            let prompt = request.prompt.as_deref().unwrap_or_default();
            let prompt = text(checks, "prompt", prompt, limits, |text| Prompt::new(text, syntax));
            // The empty string is a prompt, as in diffusers: a picture of nothing in particular. Spaces alone are a mistake.
            if request.prompt.as_deref().is_none_or(|prompt| !prompt.is_empty() && prompt.trim().is_empty()) {
                checks.fail("prompt", ErrorCode::EmptyPrompt, format!("{name} needs a prompt"));
            }
            let negative = request.negative_prompt.as_deref().unwrap_or_default();
            let negative_prompt =
                text(checks, "negative_prompt", negative, limits, |text| Prompt::negative(text, syntax));
            Some(Conditioning::Text { prompt: prompt?, negative_prompt: negative_prompt? })
        }
    }
}

fn refuse_text(checks: &mut Checks, request: &GenerationRequest, why: &str) {
    checks.refuse("prompt", request.prompt.as_ref(), why);
    checks.refuse("negative_prompt", request.negative_prompt.as_ref(), why);
    checks.refuse("prompt_syntax", request.prompt_syntax.as_ref(), why);
    checks.refuse("clip_skip", request.clip_skip.as_ref(), why);
}

/// The class's index.
fn class(checks: &mut Checks, label: Option<&ClassLabel>, info: &ModelInfo) -> Option<u32> {
    let classes = &info.classes;
    match label {
        None => {
            let message = format!("{} needs one: {}", info.name, listed(classes));
            checks.fail("class_label", ErrorCode::MissingParameter, message);
            None
        }
        Some(ClassLabel::Index(index)) => {
            let found = u32::try_from(*index).ok().filter(|index| (*index as usize) < classes.len());
            if found.is_none() {
                let message = format!("{index} is not between 0 and {}", classes.len().saturating_sub(1));
                checks.fail("class_label", ErrorCode::OutOfRange, message);
            }
            found
        }
        Some(ClassLabel::Name(name)) => {
            let wanted = name.trim().to_lowercase();
            let found = classes.iter().position(|class| class.to_lowercase() == wanted);
            if found.is_none() {
                let message = format!("{} has no class {}; it has {}", info.name, quoted(name), listed(classes));
                checks.fail("class_label", ErrorCode::UnsupportedValue, message);
            }
            found.and_then(|index| u32::try_from(index).ok())
        }
    }
}

/// At most 20 names, and how many more there are.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(20) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Checks a text and reads it; `None` if its syntax is wrong.
fn text(
    checks: &mut Checks,
    field: &str,
    text: &str,
    limits: &Limits,
    read: impl FnOnce(&str) -> Result<Prompt, PromptError>,
) -> Option<Prompt> {
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        checks.fail(field, ErrorCode::InvalidPrompt, "has control characters");
    }
    let (length, most) = (text.chars().count(), limits.prompt_chars);
    if length > most {
        let message = format!("{length} characters are more than the {most} that this server allows");
        checks.fail(field, ErrorCode::PromptTooLong, message);
    }
    read(text).map_err(|error| checks.fail(field, code_of(&error), error.to_string())).ok()
}

fn code_of(error: &PromptError) -> ErrorCode {
    match error {
        PromptError::TooDeep
        | PromptError::TooManySubprompts
        | PromptError::Editing
        | PromptError::Alternation
        | PromptError::Hypernetwork(_) => ErrorCode::InvalidPromptSyntax,
        PromptError::LoraNotFound(_) => ErrorCode::LoraNotFound,
        PromptError::InvalidName => ErrorCode::InvalidName,
    }
}

fn prompt_syntax_of(syntax: PromptSyntax) -> x0_model::PromptSyntax {
    match syntax {
        PromptSyntax::Plain => x0_model::PromptSyntax::Plain,
        PromptSyntax::A1111 => x0_model::PromptSyntax::A1111,
    }
}

/// The wire's name of a syntax; the default has none.
pub(super) fn prompt_syntax_name(syntax: x0_model::PromptSyntax) -> Option<PromptSyntax> {
    match syntax {
        x0_model::PromptSyntax::Plain => None,
        x0_model::PromptSyntax::A1111 => Some(PromptSyntax::A1111),
    }
}
