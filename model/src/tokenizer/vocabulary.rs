//! The tokens of a byte-pair encoding and the pairs that are merged, in order.

use tokenizers::models::bpe::{Merges, Vocab};

/// OpenAI's merges, `merges.txt` of CLIP; the license lies beside it.
const CLIP_MERGES: &str = include_str!("merges.txt");

/// A byte-pair encoding.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) ids: Vocab,
    pub(super) merges: Merges,
}

impl Vocabulary {
    /// OpenAI's 49408 tokens. They follow from the merges: the bytes, the bytes at a word's end, what each merge makes, then
    /// the start and end tokens.
    pub(super) fn built_in() -> Result<Self, String> {
        let merges = parse_merges(CLIP_MERGES)?;
        let bytes: Vec<String> = byte_characters().iter().map(char::to_string).collect();
        let tokens = bytes
            .iter()
            .cloned()
            .chain(bytes.iter().map(|b| format!("{b}</w>")))
            .chain(merges.iter().map(|(left, right)| format!("{left}{right}")))
            .chain(["<|startoftext|>".to_owned(), "<|endoftext|>".to_owned()]);
        let ids = tokens.zip(0..).collect();
        Ok(Self { ids, merges })
    }
}

/// The pairs of a `merges.txt`: one a line, an optional `#version` line before them.
pub(super) fn parse_merges(text: &str) -> Result<Merges, String> {
    let is_merge = |(i, line): &(usize, &str)| !(line.is_empty() || *i == 0 && line.starts_with("#version"));
    let lines = text.lines().enumerate().filter(is_merge);
    lines.map(|(i, line)| parse_merge(line).ok_or_else(|| format!("line {} is no pair of tokens", i + 1))).collect()
}

/// Two tokens with a space between.
pub(super) fn parse_merge(line: &str) -> Option<(String, String)> {
    let (left, right) = line.split_once(' ')?;
    let valid = !left.is_empty() && !right.is_empty() && !right.contains(' ');
    valid.then(|| (left.to_owned(), right.to_owned()))
}

/// The characters that stand for the bytes 33..=126, 161..=172, 174..=255 (themselves) and for the others (256 onwards), in
/// the order of GPT-2's vocabulary.
fn byte_characters() -> Vec<char> {
    let printable = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let (shown, hidden): (Vec<u32>, Vec<u32>) = (0..256).partition(printable);
    let stand_ins = (0..hidden.len() as u32).map(|i| 256 + i);
    shown.into_iter().chain(stand_ins).filter_map(char::from_u32).collect()
}
