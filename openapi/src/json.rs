//! Reading JSON objects field by field, so that everything that is wrong is reported at once.
//!
//! serde's derive stops at the first error, fills a struct from an array by position, and takes 1e39 for an `f32` as
//! infinity. A request from outside deserves better.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::names::Named;
use crate::problem::{ErrorCode, FieldError};
use crate::request::ClassLabel;
use crate::seed::Seed;

/// A JSON value in which no object has the same key twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Json(pub Value);

/// Reads a JSON text. Duplicate keys, values nested deeper than 128, and anything after the value are errors.
pub fn parse(text: &[u8]) -> Result<Json, serde_json::Error> {
    serde_json::from_slice(text)
}

/// The fields of one object, taken by name; what is left at the end is unknown.
#[derive(Debug)]
pub struct Fields {
    /// The object's own name and a dot; empty for the outermost.
    prefix: String,
    object: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Begins to read the outermost object.
    pub fn new(json: Json) -> Result<Self, FieldError> {
        Self::within(String::new(), json.0).map_err(|found| FieldError {
            field: String::new(),
            code: ErrorCode::InvalidJsonType,
            message: format!("the body must be a JSON object, not {found}"),
        })
    }

    fn within(prefix: String, value: Value) -> Result<Self, &'static str> {
        let Value::Object(object) = value else { return Err(describe(&value)) };
        Ok(Self { prefix, object, errors: Vec::new() })
    }

    /// Ends the reading: everything that was wrong.
    pub fn finish(mut self) -> Vec<FieldError> {
        self.refuse_rest();
        self.errors
    }

    /// A string.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let value = self.take(name)?;
        let Value::String(text) = value else { return self.wrong_type(name, "a string", &value) };
        Some(text)
    }

    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?;
        let Value::Bool(boolean) = value else { return self.wrong_type(name, "true or false", &value) };
        Some(boolean)
    }

    /// Any number; it is finite, as JSON has no others.
    pub fn number(&mut self, name: &str) -> Option<f64> {
        let value = self.take(name)?;
        let Value::Number(number) = value else { return self.wrong_type(name, "a number", &value) };
        number.as_f64()
    }

    /// An integer, however it is written: `100`, `1e2` or `100.0`.
    pub fn integer(&mut self, name: &str) -> Option<i64> {
        let value = self.take(name)?;
        let Value::Number(number) = value else { return self.wrong_type(name, "an integer", &value) };
        self.whole(name, &number)
    }

    /// One word of a closed set.
    pub fn choice<T: Named>(&mut self, name: &str) -> Option<T> {
        let word = self.text(name)?;
        let choice = T::from_name(&word);
        if choice.is_none() {
            let all: Vec<_> = T::ALL.iter().map(|value| value.name()).collect();
            self.error(name, ErrorCode::UnsupportedValue, format!("must be one of {}", all.join(", ")));
        }
        choice
    }

    /// A seed: an integer, or a string of digits.
    pub fn seed(&mut self, name: &str) -> Option<Seed> {
        let value = self.take(name)?;
        let seed = if let Value::Number(number) = &value {
            number.as_u64().or_else(|| u64::try_from(integer_of(number)?).ok())
        } else if let Some(text) = value.as_str().filter(|text| text.parse::<f64>().is_ok()) {
            text.parse().ok().filter(|_| !text.starts_with('+'))
        } else {
            return self.wrong_type(name, "an integer, or a string of digits", &value);
        };
        if seed.is_none() {
            let range = "must be an integer from 0 to 18446744073709551615";
            self.error(name, ErrorCode::OutOfRange, range.to_owned());
        }
        seed.map(Seed)
    }

    /// A seed, where -1 stands for none.
    pub fn seed_or_random(&mut self, name: &str) -> Option<Seed> {
        let number = self.object.get(name).and_then(Value::as_number);
        let random = number.and_then(integer_of) == Some(-1);
        if random { self.take(name).and(None) } else { self.seed(name) }
    }

    /// A boolean, or 0 or 1 for one.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?;
        match (value.as_bool(), value.as_i64()) {
            (Some(flag), _) => Some(flag),
            (None, Some(number @ (0 | 1))) => Some(number == 1),
            (None, _) => self.wrong_type(name, "true or false", &value),
        }
    }

    /// An array of strings. Of those after the first `most` only the type is looked at.
    pub fn texts(&mut self, name: &str, most: usize) -> Option<Vec<String>> {
        let value = self.take(name)?;
        let Value::Array(values) = value else { return self.wrong_type(name, "an array of strings", &value) };
        match values.iter().find(|value| !value.is_string()) {
            Some(other) => self.wrong_type(name, "an array of strings", other),
            None => Some(values.iter().take(most).filter_map(|value| value.as_str().map(str::to_owned)).collect()),
        }
    }

    /// A field that can only be taken where it asks for nothing; `null` does.
    pub fn neutral(&mut self, name: &str, asks_for_nothing: impl FnOnce(&Value) -> bool) {
        if let Some(value) = self.take(name)
            && !asks_for_nothing(&value)
        {
            let message = "this server has nothing for it; leave it out".to_owned();
            self.error(name, ErrorCode::UnsupportedValue, message);
        }
    }

    /// Takes all fields that are left and that ask for nothing.
    pub fn neutral_rest(&mut self) {
        self.object.retain(|_, value| !asks_for_nothing(value));
    }

    /// Finds something wrong with a field that was read.
    pub fn fail(&mut self, name: &str, code: ErrorCode, message: &str) {
        self.error(name, code, message.to_owned());
    }

    /// Whether something was wrong with a field.
    pub fn failed(&self, name: &str) -> bool {
        self.errors.iter().any(|error| error.field.strip_prefix(&self.prefix) == Some(name))
    }

    /// A class label: an integer, or a class's name.
    pub fn class_label(&mut self, name: &str) -> Option<ClassLabel> {
        let value = self.take(name)?;
        if let Value::Number(number) = &value {
            return self.whole(name, number).map(ClassLabel::Index);
        }
        let Value::String(class) = value else { return self.wrong_type(name, "an integer or a string", &value) };
        Some(ClassLabel::Name(class))
    }

    /// A field that may be there and makes no difference.
    pub fn ignore(&mut self, name: &str) {
        self.object.remove(name);
    }

    /// A field that this server cannot honour: an error if it is given.
    pub fn refuse(&mut self, name: &str, why: &str) {
        if self.take(name).is_some() {
            self.error(name, ErrorCode::UnsupportedValue, why.to_owned());
        }
    }

    /// An object within this one.
    pub fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields) -> T) -> Option<T> {
        let prefix = format!("{}{name}.", self.prefix);
        match Fields::within(prefix, self.take(name)?) {
            Ok(mut fields) => {
                let value = read(&mut fields);
                fields.refuse_rest();
                self.errors.append(&mut fields.errors);
                Some(value)
            }
            Err(found) => {
                self.error(name, ErrorCode::InvalidJsonType, format!("must be an object, not {found}"));
                None
            }
        }
    }

    /// The field's value; `null` is as good as none.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name).filter(|value| !value.is_null())
    }

    fn whole(&mut self, name: &str, number: &Number) -> Option<i64> {
        // serde_json reads an integer that fits into neither i64 nor u64 as a float.
        let huge = number.is_u64() || number.as_f64().is_some_and(|value| value.fract() == 0.0 && value.abs() >= EXACT);
        match integer_of(number) {
            Some(integer) => Some(integer),
            None if huge => {
                self.error(name, ErrorCode::OutOfRange, format!("{number} is too large"));
                None
            }
            None => {
                self.error(name, ErrorCode::InvalidType, "must be an integer, not a number with a fraction".to_owned());
                None
            }
        }
    }

    fn wrong_type<T>(&mut self, name: &str, wanted: &str, found: &Value) -> Option<T> {
        self.error(name, ErrorCode::InvalidType, format!("must be {wanted}, not {}", describe(found)));
        None
    }

    fn refuse_rest(&mut self) {
        for name in std::mem::take(&mut self.object).keys() {
            self.error(&printable(name), ErrorCode::UnknownParameter, "is not a field of this request".to_owned());
        }
    }

    fn error(&mut self, name: &str, code: ErrorCode, message: String) {
        self.errors.push(FieldError { field: format!("{}{name}", self.prefix), code, message });
    }
}

/// Floats below 2^32 that have no fraction are the integer that was written. Of longer ones serde_json may read a neighbour.
const EXACT: f64 = 4_294_967_296.0;

/// The integer that a number is: serde_json reads one with an exponent, with a fraction of zeros, or `-0`, as a float.
fn integer_of(number: &Number) -> Option<i64> {
    let float = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < EXACT);
    number.as_i64().or(float.map(|value| value as i64))
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Whether a value is what clients send who do not want a thing: null, false, 0, or empty.
pub(crate) fn asks_for_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(wanted) => !wanted,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// At most 64 characters of what a client sent, without control characters, to be shown to it again.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(Json(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Json(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let Json(value) = map.next_value()?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {:?} appears twice", printable(&key))));
            }
            object.insert(key, value);
        }
        Ok(Json(Value::Object(object)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Priority;

    fn refused(text: &str) -> bool {
        parse(text.as_bytes()).is_err()
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            "{}x",
            "\u{feff}{}",
            "{\"a\":1,\"a\":2}",
            "{\"b\":{\"a\":1,\"a\":2}}",
            "[NaN]",
            "[1e400]",
            "{a:1}",
        ] {
            assert!(refused(text), "{text}");
        }
        assert!(refused(&"[".repeat(200)));
        assert!(parse(b"\"\xff\"").is_err());
        assert!(refused(r#""\ud800""#), "a lone surrogate");
    }

    #[test]
    fn an_array_is_no_object() {
        for text in ["[]", "null", "7", "\"x\""] {
            let error = Fields::new(parse(text.as_bytes()).unwrap()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidJsonType);
        }
    }

    /// Reads one field of each type from `text` and lists the errors as `field code`.
    fn errors(text: &str) -> Vec<String> {
        let mut fields = Fields::new(parse(text.as_bytes()).unwrap()).unwrap();
        fields.text("text");
        fields.boolean("boolean");
        fields.number("number");
        fields.integer("integer");
        fields.seed("seed");
        fields.class_label("label");
        fields.choice::<Priority>("choice");
        fields.object("inner", |inner| inner.integer("integer"));
        fields.finish().into_iter().map(|error| format!("{} {}", error.field, error.code.name())).collect()
    }

    #[test]
    fn every_wrong_field_is_reported() {
        assert_eq!(errors("{}"), [""; 0]);
        assert_eq!(errors(r#"{"text":null,"inner":null,"seed":null}"#), [""; 0]);
        assert_eq!(
            errors(
                r#"{"text":1,"boolean":"true","number":"5","integer":1.5,"seed":-1,"label":true,"choice":"urgent",
                    "inner":{"integer":"1","more":0},"other":1}"#
            ),
            [
                "text invalid_type",
                "boolean invalid_type",
                "number invalid_type",
                "integer invalid_type",
                "seed out_of_range",
                "label invalid_type",
                "choice unsupported_value",
                "inner.integer invalid_type",
                "inner.more unknown_parameter",
                "other unknown_parameter",
            ]
        );
        assert_eq!(errors(r#"{"inner":[1]}"#), ["inner invalid_json_type"]);
    }

    #[test]
    fn integers_have_their_range() {
        for text in ["18446744073709551615", "18446744073709551616", "-9223372036854775809", "1e19", "5e12"] {
            assert_eq!(errors(&format!("{{\"integer\":{text}}}")), ["integer out_of_range"], "{text}");
        }
        for text in ["1.5", "1e-2", "-0.5"] {
            assert_eq!(errors(&format!("{{\"integer\":{text}}}")), ["integer invalid_type"], "{text}");
        }
        for (text, integer) in
            [("1e2", 100), ("-1.0", -1), ("-0", 0), ("0e9", 0), ("4294967295.0", (1 << 32) - 1), ("7", 7)]
        {
            let mut fields = Fields::new(parse(format!("{{\"a\":{text},\"b\":{text}}}").as_bytes()).unwrap()).unwrap();
            assert_eq!(fields.integer("a"), Some(integer), "{text}");
            assert_eq!(fields.seed_or_random("b"), u64::try_from(integer).ok().map(Seed), "{text}");
            assert!(fields.finish().is_empty(), "{text}");
        }
        for text in ["-1", "1.5", "18446744073709551616", "\"18446744073709551616\"", "\"-1\"", "\"1.5\"", "\"+1\""] {
            assert_eq!(errors(&format!("{{\"seed\":{text}}}")), ["seed out_of_range"], "{text}");
        }
        for text in ["true", "\"x\"", "\"\"", "[]"] {
            assert_eq!(errors(&format!("{{\"seed\":{text}}}")), ["seed invalid_type"], "{text}");
        }
        for text in ["0", "18446744073709551615", "\"18446744073709551615\""] {
            assert_eq!(errors(&format!("{{\"seed\":{text}}}")), [""; 0], "{text}");
        }
    }
}
