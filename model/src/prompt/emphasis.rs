//! Brackets and weights in a prompt: what AUTOMATIC1111's `parse_prompt_attention` does, without recursion, in linear time.

use super::{MAX_DEPTH, PromptError, bounded, number, words};

const BREAK: &str = "BREAK";
/// What means something other than itself.
const MARKS: [char; 6] = ['\\', '(', ')', '[', ']', ':'];
/// What a pair of round brackets multiplies by; a pair of square ones divides.
const STEP: f64 = 1.1;

/// A part of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Text {
        text: String,
        weight: f32,
    },
    /// What follows is encoded apart.
    Break,
}

/// What a text consists of. Everything from an opening bracket to the one that closes it, or to the end, is multiplied. The two
/// kinds of brackets do not see each other: they may overlap, as in `(a [b) c]`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Item<'a> {
    Text(&'a str),
    Break,
    OpenRound(f64),
    CloseRound,
    OpenSquare,
    CloseSquare,
}

/// Reads the marks of a text.
pub(super) fn parse(text: &str) -> Result<Vec<Part>, PromptError> {
    let mut reader = Reader { text, items: Vec::new(), round: Vec::new(), square: Vec::new() };
    let mut at = 0;
    while at < text.len() {
        at += reader.item(at)?;
    }
    Ok(weigh(&reader.items))
}

#[derive(Debug)]
struct Reader<'a> {
    text: &'a str,
    items: Vec<Item<'a>>,
    /// Which items are the round brackets that are open.
    round: Vec<usize>,
    /// The square brackets that are open.
    square: Vec<Square>,
}

/// What an open square bracket has in it, as far as it was read.
#[derive(Debug, Default)]
struct Square {
    /// The byte behind the last colon.
    colon: Option<usize>,
    has_bar: bool,
}

impl<'a> Reader<'a> {
    /// Reads what begins at the byte `at`, and says how long it is.
    fn item(&mut self, at: usize) -> Result<usize, PromptError> {
        let rest = &self.text[at..];
        let item = match rest.chars().next() {
            Some('\\') => return Ok(self.escape(rest)),
            Some('(') => {
                self.round.push(self.items.len());
                Item::OpenRound(STEP)
            }
            Some('[') => {
                self.square.push(Square::default());
                Item::OpenSquare
            }
            Some(')') if self.round.pop().is_some() => Item::CloseRound,
            Some(']') if !self.square.is_empty() => {
                self.check_square(at)?;
                Item::CloseSquare
            }
            Some(':') => return Ok(self.colon(at)),
            Some(')' | ']') => Item::Text(&rest[..1]),
            Some(_) | None => return Ok(self.run(&rest[..rest.find(MARKS).unwrap_or(rest.len())])),
        };
        self.items.push(item);
        if self.round.len().max(self.square.len()) > MAX_DEPTH { Err(PromptError::TooDeep) } else { Ok(1) }
    }

    /// A backslash makes a mark a character like others; before anything else it stands for nothing.
    fn escape(&mut self, rest: &'a str) -> usize {
        match rest[1..].chars().next() {
            Some(next) if next == '|' || MARKS.contains(&next) => {
                self.items.push(Item::Text(&rest[1..2]));
                2
            }
            Some(_) | None => 1,
        }
    }

    /// A colon may begin the weight of a round bracket, with which the bracket closes.
    fn colon(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        if let (Some((weight, length)), Some(open)) = (weight_and_bracket(rest), self.round.last()) {
            self.items[*open] = Item::OpenRound(weight);
            self.items.push(Item::CloseRound);
            self.round.pop();
            return length;
        }
        if let Some(square) = self.square.last_mut() {
            square.colon = Some(at + 1);
        }
        self.items.push(Item::Text(&rest[..1]));
        1
    }

    /// Text without marks.
    fn run(&mut self, text: &'a str) -> usize {
        if let Some(square) = self.square.last_mut() {
            square.has_bar |= text.contains('|');
        }
        let mut from = 0;
        for at in words(text, BREAK) {
            self.items.extend([Item::Text(&text[from..at]), Item::Break]);
            from = at + BREAK.len();
        }
        self.items.push(Item::Text(&text[from..]));
        text.len()
    }

    /// Refuses the square bracket that closes at the byte `at` if it is one that changes the prompt on the way.
    fn check_square(&mut self, at: usize) -> Result<(), PromptError> {
        match self.square.pop() {
            Some(Square { has_bar: true, .. }) => Err(PromptError::Alternation),
            Some(Square { colon: Some(colon), .. }) if number(self.text[colon..at].trim()).is_some() => {
                Err(PromptError::Editing)
            }
            Some(Square { .. }) | None => Ok(()),
        }
    }
}

/// `: number )`, and how long it is.
fn weight_and_bracket(text: &str) -> Option<(f64, usize)> {
    let behind_colon = text.strip_prefix(':')?.trim_start();
    let end = behind_colon.find(|c: char| !matches!(c, '+' | '-' | '.' | '0'..='9')).unwrap_or(behind_colon.len());
    let (weight, rest) = behind_colon.split_at(end);
    let rest = rest.trim_start().strip_prefix(')')?;
    Some((f64::from(bounded(number(weight)?)), text.len() - rest.len()))
}

/// Gives each part the product of the brackets around it; neighbours of one weight are one part.
fn weigh(items: &[Item]) -> Vec<Part> {
    let (mut round, mut square) = (vec![1.0], vec![1.0]);
    let mut parts: Vec<(Option<String>, f64)> = Vec::new();
    for item in items {
        let top = |products: &[f64]| products.last().copied().unwrap_or(1.0);
        match item {
            Item::OpenRound(factor) => round.push(top(&round) * factor),
            Item::OpenSquare => square.push(top(&square) / STEP),
            Item::CloseRound => drop(round.pop()),
            Item::CloseSquare => drop(square.pop()),
            Item::Break => parts.push((None, 1.0)),
            Item::Text(text) => {
                let weight = top(&round) * top(&square);
                match parts.last_mut() {
                    Some((Some(before), same)) if *same == weight => before.push_str(text),
                    Some(_) | None => parts.push((Some((*text).to_owned()), weight)),
                }
            }
        }
    }
    let part = |(text, weight): (Option<String>, f64)| match text {
        Some(text) => Part::Text { text, weight: bounded(weight) },
        None => Part::Break,
    };
    parts.into_iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each part with its weight in hundredths; `|` for a break.
    fn parts(text: &str) -> String {
        let shown = |part: &Part| match part {
            Part::Text { text, weight } => format!("{text}={}", (weight * 100.0).round()),
            Part::Break => "|".to_owned(),
        };
        parse(text).unwrap().iter().map(shown).collect::<Vec<_>>().join(";")
    }

    #[test]
    fn brackets_weigh_what_is_in_them() {
        for (text, expected) in [
            ("", ""),
            ("a cat", "a cat=100"),
            ("(a) [b]", "a=110; =100;b=91"),
            ("((a:1.3))", "a=143"),
            ("(a:1.3) (b :\t.5 )", "a=130; =100;b =50"),
            ("(a(b)c:2)", "a=200;b=220;c=200"),
            ("a (b [c) d] e", "a =100;b =110;c=100; d=91; e=100"),
            ("(a:0)(b:-1)", "a=0;b=-100"),
            // What is not closed reaches to the end; what was not opened is text.
            ("(a [b", "a =110;b=100"),
            ("a) b] c:1.5)", "a) b] c:1.5)=100"),
            ("a:b", "a:b=100"),
            ("(a:b)", "a:b=110"),
            ("(a:1.2.3) (b:1e3) (c:nan) (d:)", "a:1.2.3=110; =100;b:1e3=110; =100;c:nan=110; =100;d:=110"),
            (r"\(a\) \[b\] \\ c\d (e\:2)", r"(a) [b] \ cd =100;e:2=110"),
            (r"[a\|b] [c\:0.5]", "a|b=91; =100;c:0.5=91"),
            ("(a:9) (b:-1000) (c:99999)", "a=400; =100;b=-400; =100;c=400"),
            ("(((((((((((((((((((((a)))))))))))))))))))))", "a=400"),
            ("a BREAK b", "a =100;|; b=100"),
            ("(a BREAK b:1.5) BREAKFAST", "a =150;|; b=150; BREAKFAST=100"),
            ("(ä:1.2)漢(字:1.2)", "ä=120;漢=100;字=120"),
            ("[a:b] [a: b: c]", "a:b=91; =100;a: b: c=91"),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn what_changes_on_the_way_is_refused() {
        for text in ["[a:b:0.5]", "[a::10]", "[:b: -3 ]", "[a:.5]", "([a:b:0.5]:1.2)", "[(a:1.2):b:0.5]"] {
            assert_eq!(parse(text), Err(PromptError::Editing), "{text}");
        }
        for text in ["[a|b]", "[a|b|c:0.5]", "[|]"] {
            assert_eq!(parse(text), Err(PromptError::Alternation), "{text}");
        }
    }

    #[test]
    fn brackets_have_a_depth() {
        for bracket in ["(", "["] {
            assert!(parse(&bracket.repeat(MAX_DEPTH)).is_ok());
            assert_eq!(parse(&bracket.repeat(MAX_DEPTH + 1)), Err(PromptError::TooDeep));
            assert_eq!(parse(&bracket.repeat(10_000)), Err(PromptError::TooDeep));
        }
        let deep = format!("{}a{}", "(".repeat(MAX_DEPTH), ":9)".repeat(MAX_DEPTH));
        assert_eq!(parts(&deep), "a=400");
        assert_eq!(parts(&"(a)".repeat(10_000)), format!("{}=110", "a".repeat(10_000)));
    }
}
