//! Prompts that `AND` joins.

use super::emphasis::{self, Part};
use super::{MAX_SUBPROMPTS, PromptError, bounded, number, words};

const AND: &str = "AND";

/// One condition of several.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subprompt {
    /// How strongly the picture is drawn to it.
    pub(crate) weight: f32,
    pub(crate) parts: Vec<Part>,
}

/// Reads `one AND two :0.5`. A prompt without `AND` is one condition, and may have a weight, too.
pub(super) fn parse(text: &str) -> Result<Vec<Subprompt>, PromptError> {
    let mut subprompts = Vec::new();
    let mut from = 0;
    let ends = words(text, AND).map(|at| (at, at + AND.len())).chain([(text.len(), text.len())]);
    for (end, next) in ends {
        if subprompts.len() == MAX_SUBPROMPTS {
            return Err(PromptError::TooManySubprompts);
        }
        let (text, weight) = weighted(&text[from..end]);
        subprompts.push(Subprompt { weight: bounded(weight), parts: emphasis::parse(text)? });
        from = next;
    }
    Ok(subprompts)
}

/// Takes a weight off the end of a text: `text : number`.
fn weighted(text: &str) -> (&str, f64) {
    let weight = text.rsplit_once(':').and_then(|(text, weight)| Some((text, number(weight.trim())?)));
    weight.unwrap_or((text, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(text: &str) -> Vec<(String, f32)> {
        let text_of = |parts: &[Part]| match parts {
            [Part::Text { text, .. }] => text.trim().to_owned(),
            parts => format!("{parts:?}"),
        };
        parse(text).unwrap().iter().map(|one| (text_of(&one.parts), one.weight)).collect()
    }

    #[test]
    fn conditions_have_weights() {
        let check = |text: &str, expected: &[(&str, f32)]| {
            let expected: Vec<_> = expected.iter().map(|(text, weight)| ((*text).to_owned(), *weight)).collect();
            assert_eq!(weights(text), expected, "{text}");
        };
        check("a cat", &[("a cat", 1.0)]);
        check("a cat AND a dog", &[("a cat", 1.0), ("a dog", 1.0)]);
        check("a cat :1.2 AND a dog:-0.5 AND rain : .5 ", &[("a cat", 1.2), ("a dog", -0.5), ("rain", 0.5)]);
        check("a cat :2", &[("a cat", 2.0)]);
        check("SAND AND _AND_ ANDY", &[("SAND", 1.0), ("_AND_ ANDY", 1.0)]);
        check("a: 1e3 AND b: nan AND c:9 AND d:-9", &[("a: 1e3", 1.0), ("b: nan", 1.0), ("c", 4.0), ("d", -4.0)]);
        check("a:", &[("a:", 1.0)]);
    }

    #[test]
    fn there_may_be_eight() {
        assert_eq!(weights(&["x"; 8].join(" AND ")).len(), 8);
        assert_eq!(parse(&["x"; 9].join(" AND ")), Err(PromptError::TooManySubprompts));
        assert_eq!(parse(&"AND ".repeat(2000)), Err(PromptError::TooManySubprompts));
    }
}
