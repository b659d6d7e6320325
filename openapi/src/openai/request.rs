//! Requests for pictures, and for edits of pictures.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::json::{Fields, Json};
use crate::names::{ImageFormat, named};
use crate::problem::FieldError;
use crate::request::GenerationRequest;

/// OpenAI's request for pictures. Besides the fields listed first, every field of [`GenerationRequest`] is understood.
///
/// A class-conditional model takes the name of a class as its prompt. What would change the picture and cannot be honoured is refused
/// by name, never passed over: `style`, and a `background` that is transparent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"model": "fashion", "prompt": "sneaker", "seed": 7}))]
pub struct OpenAiImageRequest {
    /// `auto`, or width and height in pixels. Default: the model's, or the edited picture's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "512x512")]
    pub size: Option<String>,
    /// Default: `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<OpenAiQuality>,
    /// Default: `b64_json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<OpenAiResponseFormat>,
    /// Default: `png`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_format: Option<ImageFormat>,
    /// The quality of JPEG files; other formats are without loss, and take 100 only. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub output_compression: Option<i64>,
    /// `transparent` is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<OpenAiBackground>,
    /// Taken, and of no effect: nothing is moderated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moderation: Option<OpenAiModeration>,
    /// Taken, and of no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether the answer is an event stream. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// How many predictions of each finished picture an event stream shows. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 3)]
    pub partial_images: Option<i64>,
    #[serde(flatten)]
    pub native: GenerationRequest,
}

/// A request for an edit, after its form was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenAiEditRequest {
    /// Base64.
    pub image: Option<String>,
    /// Base64.
    pub mask: Option<String>,
    pub input_fidelity: Option<OpenAiInputFidelity>,
    pub request: OpenAiImageRequest,
}

/// The form of a request for an edit: one picture, and where it may change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct OpenAiEditForm {
    /// A PNG, JPEG or WebP file; also as `image[]`.
    #[schema(value_type = String, format = Binary)]
    pub image: Vec<u8>,
    /// A file of the same size: transparent where the picture is made anew. Without it the whole picture is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Binary)]
    pub mask: Option<Vec<u8>>,
    /// `high` is refused: `strength` says how far the picture may go from the one it starts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_fidelity: Option<OpenAiInputFidelity>,
    #[serde(flatten)]
    pub request: OpenAiImageRequest,
}

impl OpenAiImageRequest {
    /// Reads a request, as [`GenerationRequest::read`] does.
    ///
    /// # Errors
    /// If it is not an object.
    pub fn read(json: Json) -> Result<(Self, Vec<FieldError>), FieldError> {
        let mut fields = Fields::new(json)?;
        let request = Self::take(&mut fields);
        Ok((request, fields.finish()))
    }

    fn take(fields: &mut Fields) -> Self {
        fields.refuse("style", "this server has no styles; the prompt can ask for one");
        Self {
            size: fields.text("size"),
            quality: fields.choice("quality"),
            response_format: fields.choice("response_format"),
            output_format: fields.choice("output_format"),
            output_compression: fields.integer("output_compression"),
            background: fields.choice("background"),
            moderation: fields.choice("moderation"),
            user: fields.text("user"),
            stream: fields.boolean("stream"),
            partial_images: fields.integer("partial_images"),
            native: GenerationRequest::take(fields),
        }
    }
}

impl OpenAiEditRequest {
    /// Reads a request from its form's fields, as [`GenerationRequest::read`] does.
    ///
    /// # Errors
    /// If it is not an object.
    pub fn read(json: Json) -> Result<(Self, Vec<FieldError>), FieldError> {
        let mut fields = Fields::new(json)?;
        let request = Self {
            image: fields.text("image"),
            mask: fields.text("mask"),
            input_fidelity: fields.choice("input_fidelity"),
            request: OpenAiImageRequest::take(&mut fields),
        };
        Ok((request, fields.finish()))
    }
}

named! {
    /// How much work goes into a picture.
    OpenAiQuality {
        /// The model's own number of steps.
        Auto = "auto",
        /// As `auto`.
        Standard = "standard",
        /// Half as many steps.
        Low = "low",
        /// As `auto`.
        Medium = "medium",
        /// Twice as many steps.
        High = "high",
        /// As `high`.
        Hd = "hd",
    }
}

named! {
    /// How an answer carries its pictures.
    OpenAiResponseFormat {
        /// The file in base64, and where it can be fetched.
        B64Json = "b64_json",
        /// Where it can be fetched.
        Url = "url",
    }
}

named! {
    /// What is behind the picture.
    OpenAiBackground {
        Auto = "auto",
        Opaque = "opaque",
        Transparent = "transparent",
    }
}

named! {
    /// How strictly OpenAI judges what is asked for.
    OpenAiModeration {
        Auto = "auto",
        Low = "low",
    }
}

named! {
    /// How much of the edited picture's features is kept.
    OpenAiInputFidelity {
        Low = "low",
        High = "high",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;
    use crate::names::Named as _;

    #[test]
    fn their_fields_and_ours_stand_side_by_side() {
        let json = parse(br#"{"prompt":"bag","size":"28x28","seed":7,"stream":true,"colour":1}"#).unwrap();
        let (request, errors) = OpenAiImageRequest::read(json).unwrap();
        assert_eq!((request.size.as_deref(), request.stream), (Some("28x28"), Some(true)));
        assert_eq!(request.native.prompt.as_deref(), Some("bag"));
        assert_eq!(request.native.seed.map(|seed| seed.0), Some(7));
        let errors: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.code.name())).collect();
        assert_eq!(errors, [("colour", "unknown_parameter")]);
    }
}
