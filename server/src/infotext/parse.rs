//! Reading it, whoever wrote it: what cannot be read is left out. The time is linear in the length.

/// A line with fewer settings than this belongs to the prompt.
const FEWEST: usize = 3;
/// The longest name of a setting, in bytes.
const LONGEST_NAME: usize = 64;

/// An infotext, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Infotext {
    pub prompt: String,
    pub negative_prompt: String,
    /// Names and values in the order in which they stand there.
    pub settings: Vec<(String, String)>,
}

impl Infotext {
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let (head, last) = text.rsplit_once('\n').unwrap_or(("", text));
        let settings = pairs(last);
        let (head, settings) = if settings.len() < FEWEST { (text, Vec::new()) } else { (head, settings) };
        let mut parsed = Self { settings, ..Self::default() };
        let mut negative = false;
        for line in head.split('\n').map(str::trim) {
            let line = match line.strip_prefix("Negative prompt:") {
                Some(rest) => {
                    negative = true;
                    rest.trim()
                }
                None => line,
            };
            let part = if negative { &mut parsed.negative_prompt } else { &mut parsed.prompt };
            if !part.is_empty() {
                part.push('\n');
            }
            part.push_str(line);
        }
        parsed
    }

    /// The value of a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The settings in a line: `Name: value, Name: "a value, quoted", ...`.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = line;
    while let Some(end) = rest.find([':', ',']) {
        let (name, after) = (rest[..end].trim(), &rest[end + 1..]);
        if rest.as_bytes()[end] == b',' {
            rest = after;
            continue;
        }
        let (value, after) = value(after.trim_start());
        if is_name(name) {
            pairs.push((name.to_owned(), value));
        }
        rest = after;
    }
    pairs
}

fn is_name(name: &str) -> bool {
    (2..=LONGEST_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ' ' | '-' | '/'))
}

/// The value that a text begins with, and what comes after it and its comma.
fn value(text: &str) -> (String, &str) {
    if let Some((value, rest)) = quoted(text) {
        return (value, rest);
    }
    let (value, rest) = text.split_once(',').unwrap_or((text, ""));
    (value.trim().to_owned(), rest)
}

/// A JSON string with a comma or nothing after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inner.find(|c| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    })?;
    let (string, rest) = text.split_at(end + 2);
    let rest = rest.trim_start();
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix(',')? };
    Some((serde_json::from_str(string).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs_of(parsed: &Infotext) -> Vec<(&str, &str)> {
        parsed.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn a_text_of_automatic1111_is_taken_apart() {
        let parsed = Infotext::parse(
            "a cat, (masterpiece:1.2)\nsecond line\nNegative prompt: dog, ugly\nmore of it\n\
             Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, \
             CFG scale: 7, Seed: 965400086, Size: 512x512, Model hash: 6ce0161689, Model: v1-5, Lora hashes: \"a: 1, b: \\\"2\\\"\", \
             Version: v1.10.1\n",
        );
        assert_eq!(parsed.prompt, "a cat, (masterpiece:1.2)\nsecond line");
        assert_eq!(parsed.negative_prompt, "dog, ugly\nmore of it");
        assert_eq!(
            pairs_of(&parsed),
            [
                ("Steps", "20"),
                ("Sampler", "DPM++ 2M"),
                ("Schedule type", "Karras"),
                ("CFG scale", "7"),
                ("Seed", "965400086"),
                ("Size", "512x512"),
                ("Model hash", "6ce0161689"),
                ("Model", "v1-5"),
                ("Lora hashes", "a: 1, b: \"2\""),
                ("Version", "v1.10.1"),
            ]
        );
        assert_eq!((parsed.get("Seed"), parsed.get("Sead")), (Some("965400086"), None));
    }

    #[test]
    fn any_text_is_a_prompt() {
        for (text, prompt, negative) in [
            ("", "", ""),
            ("a cat", "a cat", ""),
            ("a: b, c: d", "a: b, c: d", ""),
            ("Negative prompt: dog", "", "dog"),
            ("a\n\nb", "a\n\nb", ""),
            ("Steps: 20, Sampler: Euler a, Seed: 1", "", ""),
        ] {
            let parsed = Infotext::parse(text);
            assert_eq!((parsed.prompt.as_str(), parsed.negative_prompt.as_str()), (prompt, negative), "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_read_as_far_as_it_goes() {
        for (line, expected) in [
            (
                "Steps: 20,, Seed: 1, : x, Size: , Model: a:b",
                vec![("Steps", "20"), ("Seed", "1"), ("Size", ""), ("Model", "a:b")],
            ),
            ("aa: \"open, bb: 1, cc: 2", vec![("aa", "\"open"), ("bb", "1"), ("cc", "2")]),
            ("aa: \"shut\" late, bb: \"\\x\", cc: \"\"", vec![("aa", "\"shut\" late"), ("bb", "\"\\x\""), ("cc", "")]),
            ("nothing, aa: 1, b!: 2, bb: 3, cc:4", vec![("aa", "1"), ("bb", "3"), ("cc", "4")]),
        ] {
            assert_eq!(pairs_of(&Infotext::parse(line)), expected, "{line}");
        }
    }

    #[test]
    fn the_time_is_linear() {
        for unit in ["aa: \"", "a:", ",", "aa: \"\\\"", "aa: \"x\" ", "\n", "Negative prompt:", "aa: 1, "] {
            let text = unit.repeat((1 << 20) / unit.len());
            // A quadratic parser would take minutes.
            let start = std::time::Instant::now();
            Infotext::parse(&text);
            assert!(start.elapsed().as_secs() < 10, "{unit}");
        }
    }
}
