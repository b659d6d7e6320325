//! Prompts: plain text, or AUTOMATIC1111's syntax, in which marks in the text weigh its parts.
//!
//! | | |
//! |---|---|
//! | `(word)`, `[word]` | 1.1 times as much weight, or as little; brackets may be nested |
//! | `(word:1.3)` | 1.3 times as much |
//! | `\(`, `\)`, `\[`, `\]`, `\\` | the character itself |
//! | `BREAK` | what follows is encoded apart from what came before |
//! | `one AND two :0.5` | several conditions, each with a weight (Liu et al. 2022, "composable diffusion") |
//! | `<lora:name:0>` | nothing, for want of weight |
//!
//! Reading takes time in proportion to the text. Prompts that change on the way (`[one:two:0.5]`, `[one|two]`) are refused: to read
//! them as plain words would silently give another picture. So are networks of which there are none (`<lora:name:1>`).

mod composition;
mod emphasis;
mod networks;

pub(crate) use composition::Subprompt;
pub(crate) use emphasis::Part;
pub use networks::MAX_NAME;

/// Brackets within brackets.
pub const MAX_DEPTH: usize = 64;
/// Conditions that `AND` joins.
pub const MAX_SUBPROMPTS: usize = 8;
/// Weights lie between this and its negative.
pub const MAX_WEIGHT: f32 = 4.0;

/// How a prompt is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PromptSyntax {
    /// Every character is text. Text that is longer than the encoder takes is cut, as diffusers cuts it.
    #[default]
    Plain,
    /// As AUTOMATIC1111 reads it. Long text is encoded in chunks.
    A1111,
}

/// A text, and what it means.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    text: String,
    meaning: Meaning,
}

/// What a text means in its syntax.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Meaning {
    #[default]
    Plain,
    /// There is at least one.
    A1111(Vec<Subprompt>),
}

/// A text that means nothing in its syntax.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    #[error("has brackets within brackets, more than the {MAX_DEPTH} that are allowed")]
    TooDeep,
    #[error("joins more than the {MAX_SUBPROMPTS} prompts by AND that are allowed")]
    TooManySubprompts,
    #[error(
        "has [from:to:when], which changes the prompt on the way and is not supported; \\[ and \\] are plain brackets"
    )]
    Editing,
    #[error(
        "has [one|another], which changes the prompt at each step and is not supported; \\[ and \\] are plain brackets"
    )]
    Alternation,
    #[error("names the LoRA {0}; there are none")]
    LoraNotFound(String),
    #[error("names the hypernetwork {0}; hypernetworks are not supported")]
    Hypernetwork(String),
    #[error(
        "has <lora:...> or <hypernet:...> without a name: a letter or digit, and up to {MAX_NAME} letters, digits, points, dashes and \
         underscores in all"
    )]
    InvalidName,
}

impl Prompt {
    /// Reads a prompt.
    ///
    /// # Errors
    /// If it has marks that mean something which is not supported, or too many of them.
    pub fn new(text: impl Into<String>, syntax: PromptSyntax) -> Result<Self, PromptError> {
        let text = text.into();
        let meaning = match syntax {
            PromptSyntax::Plain => Meaning::Plain,
            PromptSyntax::A1111 => Meaning::A1111(composition::parse(&networks::taken_out(&text)?)?),
        };
        Ok(Self { text, meaning })
    }

    /// Reads a negative prompt, in which `AND` and the marks of networks are words like others.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn negative(text: impl Into<String>, syntax: PromptSyntax) -> Result<Self, PromptError> {
        let text = text.into();
        let meaning = match syntax {
            PromptSyntax::Plain => Meaning::Plain,
            PromptSyntax::A1111 => Meaning::A1111(vec![Subprompt { weight: 1.0, parts: emphasis::parse(&text)? }]),
        };
        Ok(Self { text, meaning })
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn syntax(&self) -> PromptSyntax {
        match self.meaning {
            Meaning::Plain => PromptSyntax::Plain,
            Meaning::A1111(_) => PromptSyntax::A1111,
        }
    }

    pub(crate) fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// Whether it is more than one condition of weight 1.
    pub(crate) fn is_composed(&self) -> bool {
        match &self.meaning {
            Meaning::Plain => false,
            Meaning::A1111(subprompts) => subprompts.len() > 1 || subprompts.iter().any(|one| one.weight != 1.0),
        }
    }

    /// Whether it has weights as great as they can be; greater ones were taken as these.
    pub(crate) fn reaches_max_weight(&self) -> bool {
        let is_max = |weight: f32| weight.abs() == MAX_WEIGHT;
        match &self.meaning {
            Meaning::Plain => false,
            Meaning::A1111(subprompts) => subprompts.iter().any(|one| {
                let part = |part: &Part| matches!(part, Part::Text { weight, .. } if is_max(*weight));
                is_max(one.weight) || one.parts.iter().any(part)
            }),
        }
    }
}

/// A plain prompt.
impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), meaning: Meaning::Plain }
    }
}

/// A plain prompt.
impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self { text, meaning: Meaning::Plain }
    }
}

/// A number as people write it in prompts: a sign, digits and points.
fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit());
    // Enough digits make an infinity, which is not one that anybody writes.
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

/// A weight within its bounds.
fn bounded(weight: f64) -> f32 {
    (weight as f32).clamp(-MAX_WEIGHT, MAX_WEIGHT)
}

/// Places of `word` in `text` where it is a word of its own.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let (before, after) = (&text[..*at], &text[at + word.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}
