//! Networks that a prompt adds to the model: `<lora:name:weight>`, `<hypernet:name:weight>`. As in AUTOMATIC1111, the marks are taken out of
//! the text before anything else is read, and only out of prompts: in negative ones they are text.
//!
//! There are no such networks here. A mark without weight changes nothing and is taken out; any other would change the picture, and is
//! refused.

use std::borrow::Cow;

use super::{PromptError, number};

/// Characters of a name.
pub const MAX_NAME: usize = 128;

/// The words that marks begin with. LyCORIS networks are loaded as LoRAs are.
const KINDS: [(&str, Kind); 3] = [("lora", Kind::Lora), ("lyco", Kind::Lora), ("hypernet", Kind::Hypernetwork)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Lora,
    Hypernetwork,
}

/// The text without the marks.
pub(super) fn taken_out(text: &str) -> Result<Cow<'_, str>, PromptError> {
    let mut kept = String::new();
    let (mut from, mut at) = (0, 0);
    while let Some(open) = text[at..].find('<').map(|found| at + found) {
        let Some((kind, begin)) = kind(text, open + 1) else {
            at = open + 1;
            continue;
        };
        // Where this one is not closed, none behind it is.
        let Some(end) = text[begin..].find('>').map(|found| begin + found) else { break };
        if end == begin {
            at = end;
            continue;
        }
        check(kind, &text[begin..end])?;
        kept.push_str(&text[from..open]);
        (from, at) = (end + 1, end + 1);
    }
    if from == 0 {
        return Ok(Cow::Borrowed(text));
    }
    kept.push_str(&text[from..]);
    Ok(Cow::Owned(kept))
}

/// What kind of network the word at the byte `at` stands for, and the byte behind its colon.
fn kind(text: &str, at: usize) -> Option<(Kind, usize)> {
    let is_word = |word: &str| text[at..].get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    let (word, kind) = KINDS.iter().find(|(word, _)| is_word(word))?;
    let colon = at + word.len();
    text[colon..].starts_with(':').then_some((*kind, colon + 1))
}

/// Refuses what changes the picture, and names that are none.
fn check(kind: Kind, arguments: &str) -> Result<(), PromptError> {
    let (name, weights) = arguments.split_once(':').unwrap_or((arguments, ""));
    if !is_name(name) {
        return Err(PromptError::InvalidName);
    }
    if is_weightless(weights) {
        return Ok(());
    }
    Err(match kind {
        Kind::Lora => PromptError::LoraNotFound(name.to_owned()),
        Kind::Hypernetwork => PromptError::Hypernetwork(name.to_owned()),
    })
}

/// Whether it could be the name of a file, and of one in its folder.
fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= MAX_NAME && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(is_allowed)
}

/// Whether both the text encoder's weight and the UNet's are 0: the first two numbers, or `te=` and `unet=`. The UNet's is the text
/// encoder's if it is not said, and that 1; what cannot be read is no 0.
fn is_weightless(weights: &str) -> bool {
    let read = |text: &str| number(text.trim()).unwrap_or(1.0);
    let mut numbers = weights.split(':').filter(|text| !text.contains('=')).map(read);
    let named = |wanted: &str| {
        let mut pairs = weights.split(':').filter_map(|text| text.split_once('='));
        pairs.find(|(name, _)| *name == wanted).map(|(_, weight)| read(weight))
    };
    let (first, second) = (numbers.next(), numbers.next());
    let text_encoder = named("te").or(first).unwrap_or(1.0);
    let unet = named("unet").or(second).unwrap_or(text_encoder);
    text_encoder == 0.0 && unet == 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_network_is_text() {
        for text in [
            "",
            "a cat",
            "a <3 b",
            "<lora>",
            "<lora:>",
            "<lora:a",
            "lora:a:1>",
            "< lora:a:1>",
            "<lora :a:1>",
            "<loraa:a:1>",
            "<model:a:1>",
            "<lora:><hypernet:",
            "<<><é",
        ] {
            assert_eq!(taken_out(text), Ok(Cow::Borrowed(text)), "{text}");
        }
    }

    #[test]
    fn networks_without_weight_are_taken_out() {
        for (text, expected) in [
            ("<lora:a:0>", ""),
            ("a <lora:a-1_b.c:0> cat", "a  cat"),
            ("<LoRA:a:0.0>a<lyco:b:-0>b<hypernet:c: 0 >c", "abc"),
            ("(a<lora:a:0:0>:1.2)", "(a:1.2)"),
            ("<lora:a:0:dyn=4>", ""),
            ("<lora:a:te=0:unet=0>", ""),
            ("<lora:a:te=0>", ""),
            ("<lora:a:1:te=0:unet=0>", ""),
            ("<lora:><lora:a:0>", "<lora:>"),
            ("a <3 <lora:a:0> <é", "a <3  <é"),
        ] {
            assert_eq!(taken_out(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_networks_are_refused_by_name() {
        for text in [
            "<lora:fur:1>",
            "a <lora:fur> b",
            "<LORA:fur:0.5>",
            "<lyco:fur:-1>",
            "<lora:fur:>",
            "<lora:fur::0.5>",
            "<lora:fur:0:1>",
            "<lora:fur:0:unet=1>",
            "<lora:fur:unet=0>",
            "<lora:fur:te=0:unet=0.1>",
            "<lora:fur:zero>",
            "<lora:fur:nan>",
            "<lora:other:0><lora:fur:1e-9>",
        ] {
            assert_eq!(taken_out(text), Err(PromptError::LoraNotFound("fur".to_owned())), "{text}");
        }
        let error = taken_out("<hypernet:fur:1>").unwrap_err();
        assert_eq!(error, PromptError::Hypernetwork("fur".to_owned()));
        let longest = "a".repeat(MAX_NAME);
        assert_eq!(taken_out(&format!("<lora:{longest}:1>")), Err(PromptError::LoraNotFound(longest)));
    }

    #[test]
    fn names_that_are_none_are_refused_whatever_their_weight() {
        let long = "a".repeat(MAX_NAME + 1);
        for name in [
            "../../etc/passwd",
            "..",
            ".hidden",
            "-a",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "%2e%2e%2fa",
            "a b",
            " a",
            "a\0",
            "a<lora:b",
            "fürb",
            "a\u{202e}b",
            "\u{430}",
            long.as_str(),
        ] {
            for mark in [format!("<lora:{name}:1>"), format!("a <lora:{name}:0> b"), format!("<hypernet:{name}:1>")] {
                assert_eq!(taken_out(&mark), Err(PromptError::InvalidName), "{mark}");
            }
        }
        assert_eq!(taken_out("<lora::1>"), Err(PromptError::InvalidName));
    }

    #[test]
    fn reading_takes_as_long_as_the_text() {
        for (text, length) in [("<lora:", 600_000), ("<lora:>", 700_000), ("<", 100_000), ("<lora:a:0>", 0)] {
            assert_eq!(taken_out(&text.repeat(100_000)).map(|text| text.len()), Ok(length), "{text}");
        }
    }
}
