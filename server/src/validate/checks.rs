//! Checking field after field, and remembering all that is wrong.

use std::ops::RangeInclusive;

use x0_openapi::{ErrorCode, FieldError};

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Checks {
    errors: Vec<FieldError>,
}

impl Checks {
    /// Goes on after `errors` were found.
    pub(super) fn after(errors: Vec<FieldError>) -> Self {
        Self { errors }
    }

    /// Remembers what is wrong with a field, unless something is known already: one reason a field is enough.
    pub(super) fn fail(&mut self, field: &str, code: ErrorCode, message: impl Into<String>) {
        if self.found(field) {
            return;
        }
        self.errors.push(FieldError { field: field.to_owned(), code, message: message.into() });
    }

    /// Whether something is known to be wrong with a field.
    pub(super) fn found(&self, field: &str) -> bool {
        self.errors.iter().any(|error| error.field == field)
    }

    /// A field that is given although it means nothing here.
    pub(super) fn refuse<T>(&mut self, field: &str, given: Option<&T>, why: &str) {
        if given.is_some() {
            self.fail(field, ErrorCode::ConflictingParameters, why);
        }
    }

    /// An integer within its range; `code` says what it is when it is not.
    pub(super) fn integer(
        &mut self,
        field: &str,
        value: Option<i64>,
        range: RangeInclusive<u32>,
        code: ErrorCode,
    ) -> Option<u32> {
        let value = value?;
        let (least, most) = (*range.start(), *range.end());
        let valid = u32::try_from(value).ok().filter(|value| range.contains(value));
        match valid {
            None if value < i64::from(least) => self.fail(field, code, format!("{value} is less than {least}")),
            None => self.fail(field, code, format!("{value} is more than the {most} that this server allows")),
            Some(_) => {}
        }
        valid
    }

    /// A number within its range.
    pub(super) fn number(&mut self, field: &str, value: Option<f64>, range: RangeInclusive<f64>) -> Option<f64> {
        let value = value?;
        if range.contains(&value) {
            return Some(value);
        }
        let (least, most) = (shown(*range.start()), shown(*range.end()));
        self.fail(field, ErrorCode::OutOfRange, format!("{} is not between {least} and {most}", shown(value)));
        None
    }

    /// Whether anything was wrong.
    pub(super) fn any(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The value, if nothing was wrong.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<FieldError>> {
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            Some(_) | None => Err(self.errors),
        }
    }
}

/// A number as people write it: without the fraction that it does not have, and with an exponent where it would have hundreds of digits.
fn shown(number: f64) -> String {
    let shown = format!("{number:?}");
    shown.strip_suffix(".0").unwrap_or(&shown).to_owned()
}

/// What a client sent, to be shown to it again: no control characters, at most 64 others.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_in_few_digits() {
        for (number, text) in
            [(31.0, "31"), (-0.5, "-0.5"), (0.0, "0"), (1e308, "1e308"), (-1e39, "-1e39"), (1e-300, "1e-300")]
        {
            assert_eq!(shown(number), text);
        }
    }
}
