//! A form's fields as the JSON that they would be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use x0_openapi::{ErrorCode, FieldError, Json};

use crate::http::form::Part;

/// Fields that are numbers: in a form they are written as text.
const NUMBERS: [&str; 26] = [
    "n",
    "seed",
    "width",
    "height",
    "steps",
    "guidance_scale",
    "guidance_rescale",
    "eta",
    "clip_skip",
    "strength",
    "deadline_seconds",
    "partial_images",
    "output_compression",
    "class_label",
    "preview[every]",
    "preview[max_size]",
    "output[quality]",
    "inpaint[blur]",
    "inpaint[padding]",
    "variation[seed]",
    "variation[strength]",
    "highres[scale]",
    "highres[width]",
    "highres[height]",
    "highres[steps]",
    "highres[strength]",
];

/// Fields that are true or false.
const BOOLEANS: [&str; 4] = ["stream", "output[metadata]", "output[inline]", "inpaint[overlay]"];

/// The form as an object: files in base64, `outer[inner]` as an object within it.
pub(super) fn json(parts: Vec<Part>) -> Result<Json, Vec<FieldError>> {
    let mut object = Map::new();
    let mut errors = Vec::new();
    for Part { name, content } in parts {
        let field = if name == "image[]" { "image" } else { &name };
        let value = match field {
            "image" | "mask" => json!(BASE64.encode(&content)),
            field => match String::from_utf8(content.into()) {
                Ok(text) => scalar(field, text),
                Err(_) => {
                    errors.push(wrong(field, ErrorCode::InvalidType, "is not text"));
                    continue;
                }
            },
        };
        if !insert(&mut object, field, value) {
            let message = if field == "image" { "one picture can be edited at a time" } else { "is given twice" };
            errors.push(wrong(field, ErrorCode::UnsupportedValue, message));
        }
    }
    if errors.is_empty() { Ok(Json(Value::Object(object))) } else { Err(errors) }
}

/// The value of a field that is text in the form.
fn scalar(field: &str, text: String) -> Value {
    let read = serde_json::from_str(&text).ok();
    let fits = |value: &Value| {
        NUMBERS.contains(&field) && value.is_number() || BOOLEANS.contains(&field) && value.is_boolean()
    };
    read.filter(fits).unwrap_or(Value::String(text))
}

/// Puts a value into its place; `false` if something is there.
fn insert(object: &mut Map<String, Value>, field: &str, value: Value) -> bool {
    let nested = field.strip_suffix(']').and_then(|field| field.split_once('['));
    let (object, key) = match nested.filter(|(_, inner)| !inner.is_empty()) {
        None => (object, field),
        Some((outer, inner)) => {
            let Value::Object(within) = object.entry(outer).or_insert_with(|| json!({})) else { return false };
            (within, inner)
        }
    };
    object.insert(key.to_owned(), value).is_none()
}

fn wrong(field: &str, code: ErrorCode, message: &str) -> FieldError {
    let field = field.chars().filter(|c| !c.is_control()).take(64).collect();
    FieldError { field, code, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read(parts: &[(&str, &'static [u8])]) -> Result<Value, Vec<String>> {
        let part = |(name, content): &(&str, &'static [u8])| Part {
            name: (*name).to_owned(),
            content: Bytes::from_static(content),
        };
        let json = json(parts.iter().map(part).collect()).map(|json| json.0);
        json.map_err(|errors| errors.into_iter().map(|e| format!("{}: {}", e.field, e.message)).collect())
    }

    #[test]
    fn each_field_gets_its_type() {
        let form = read(&[
            ("image[]", b"hi"),
            ("prompt", b"42"),
            ("n", b"2"),
            ("stream", b"true"),
            ("strength", b"0.5"),
            ("steps", b"many"),
            ("preview[every]", b"3"),
            ("preview[decoder]", b"full"),
        ]);
        let expected = json!({"image": "aGk=", "prompt": "42", "n": 2, "stream": true, "strength": 0.5, "steps": "many",
            "preview": {"every": 3, "decoder": "full"}});
        assert_eq!(form, Ok(expected));
    }

    /// Whatever else a request may have; pictures come as files.
    #[test]
    fn every_field_of_ours_can_be_sent() {
        let fields = |schema: &str| -> Vec<(String, Value)> {
            let document = serde_json::to_value(crate::http::router::document()).unwrap();
            let properties = document["components"]["schemas"][schema]["properties"].as_object().unwrap().clone();
            properties.into_iter().collect()
        };
        let types = |schema: &Value| serde_json::to_string(schema).unwrap();
        let mut checked = 0;
        for (outer, schema) in [
            ("inpaint", "InpaintRequest"),
            ("variation", "VariationRequest"),
            ("highres", "HighresRequest"),
            ("preview", "PreviewRequest"),
            ("output", "OutputRequest"),
        ] {
            for (inner, property) in fields(schema) {
                let field = format!("{outer}[{inner}]");
                let types = types(&property);
                let number = types.contains("\"integer\"") || types.contains("\"number\"");
                assert_eq!(NUMBERS.contains(&field.as_str()), number || types.contains("Seed"), "{field}: {types}");
                assert_eq!(BOOLEANS.contains(&field.as_str()), types.contains("\"boolean\""), "{field}: {types}");
                checked += 1;
            }
        }
        assert!(checked >= 15, "{checked}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(
            read(&[("image", b"a"), ("image[]", b"b")]).unwrap_err(),
            ["image: one picture can be edited at a time"]
        );
        assert_eq!(read(&[("n", b"1"), ("n", b"1")]).unwrap_err(), ["n: is given twice"]);
        assert_eq!(read(&[("n", b"1"), ("n[x]", b"1")]).unwrap_err(), ["n[x]: is given twice"]);
        assert_eq!(read(&[("prompt", b"\xff")]).unwrap_err(), ["prompt: is not text"]);
    }
}
