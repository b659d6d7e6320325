//! Prompts as the text encoders take them: tokens, a chunk at a time.

use super::components::TextEncoderConfig;
use crate::prompt::{Meaning, Part, Prompt};
use crate::tokenizer::{Tokenizer, Tokens};

/// Chunks of a text; what is beyond is cut off.
pub(super) const MAX_CHUNKS: usize = 16;
/// A full chunk ends behind the last comma, if that is one of its last so many tokens: AUTOMATIC1111's `comma_padding_backtrack`.
const COMMA_BACKTRACK: usize = 20;

/// As many tokens of a text as the encoders take at once; an entry for each encoder.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chunk(pub(super) Vec<WeightedTokens>);

/// What one encoder takes at once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WeightedTokens {
    pub(super) tokens: Tokens,
    /// One for each token; none where all are 1.
    pub(super) weights: Option<Vec<f32>>,
}

/// One condition of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TokenizedText {
    /// How strongly the picture is drawn to it.
    pub(super) weight: f32,
    /// There is at least one.
    pub(super) chunks: Vec<Chunk>,
    /// How many tokens of the text no encoder sees.
    pub(super) removed: usize,
}

impl TokenizedText {
    /// The conditions of a prompt; there is at least one.
    pub(super) fn all(prompt: &Prompt, encoders: &[TextEncoderConfig]) -> Result<Vec<Self>, tokenizers::Error> {
        match prompt.meaning() {
            Meaning::Plain => Ok(vec![Self::plain(prompt.text(), encoders)?]),
            Meaning::A1111(subprompts) => {
                subprompts.iter().map(|one| Self::in_chunks(&one.parts, one.weight, encoders)).collect()
            }
        }
    }

    /// A text that is cut to one chunk, as diffusers cuts it.
    fn plain(text: &str, encoders: &[TextEncoderConfig]) -> Result<Self, tokenizers::Error> {
        let texts = encoders.iter().map(|encoder| encoder.tokenizer.encode(text)).collect::<Result<Vec<_>, _>>()?;
        let removed = texts.iter().map(|tokens| tokens.removed).min().unwrap_or(0);
        let texts = texts.into_iter().map(|tokens| WeightedTokens { tokens, weights: None }).collect();
        Ok(Self { weight: 1.0, chunks: vec![Chunk(texts)], removed })
    }

    fn in_chunks(parts: &[Part], weight: f32, encoders: &[TextEncoderConfig]) -> Result<Self, tokenizers::Error> {
        let chunked = |encoder: &TextEncoderConfig| Chunker::chunks(&encoder.tokenizer, parts);
        let (texts, removed): (Vec<_>, Vec<_>) =
            encoders.iter().map(chunked).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        // Encoders of one model have one vocabulary, and so as many chunks, unless somebody put them together himself.
        let count = texts.iter().map(Vec::len).max().unwrap_or(0);
        let of_encoder = |chunk: usize, (encoder, texts): (&TextEncoderConfig, &Vec<WeightedTokens>)| {
            texts.get(chunk).cloned().unwrap_or_else(|| WeightedTokens::empty(&encoder.tokenizer))
        };
        let chunk = |i| Chunk(encoders.iter().zip(&texts).map(|of| of_encoder(i, of)).collect());
        let removed = removed.into_iter().min().unwrap_or(0);
        Ok(Self { weight, chunks: (0..count).map(chunk).collect(), removed })
    }

    /// Appends empty chunks, so that there are `count`.
    pub(super) fn pad(&mut self, count: usize, encoders: &[TextEncoderConfig]) {
        let empty = || Chunk(encoders.iter().map(|encoder| WeightedTokens::empty(&encoder.tokenizer)).collect());
        self.chunks.resize_with(self.chunks.len().max(count), empty);
    }
}

impl WeightedTokens {
    fn empty(tokenizer: &Tokenizer) -> Self {
        Self { tokens: tokenizer.framed([]), weights: None }
    }
}

/// Divides the tokens of a text into chunks: AUTOMATIC1111's `tokenize_line`.
#[derive(Debug)]
struct Chunker<'a> {
    tokenizer: &'a Tokenizer,
    chunks: Vec<WeightedTokens>,
    removed: usize,
    /// Tokens of the chunk that is being filled, with their weights.
    tokens: Vec<(u32, f32)>,
    /// Where the last comma is among them.
    comma: Option<usize>,
}

impl<'a> Chunker<'a> {
    /// The chunks, of which there is at least one, and how many tokens were cut off.
    fn chunks(tokenizer: &'a Tokenizer, parts: &[Part]) -> Result<(Vec<WeightedTokens>, usize), tokenizers::Error> {
        let mut chunker = Self { tokenizer, chunks: Vec::new(), removed: 0, tokens: Vec::new(), comma: None };
        let comma = tokenizer.comma();
        for part in parts {
            match part {
                Part::Break => chunker.finish(),
                Part::Text { text, weight } => {
                    for id in tokenizer.ids(text)? {
                        chunker.push(id, *weight, Some(id) == comma);
                    }
                }
            }
        }
        if !chunker.tokens.is_empty() || chunker.chunks.is_empty() {
            chunker.finish();
        }
        Ok((chunker.chunks, chunker.removed))
    }

    fn push(&mut self, id: u32, weight: f32, is_comma: bool) {
        let (length, room) = (self.tokens.len(), self.tokenizer.length() - 2);
        match self.comma {
            _ if is_comma => self.comma = Some(length),
            Some(comma) if length == room && length - comma <= COMMA_BACKTRACK => {
                let moved = self.tokens.split_off(comma + 1);
                self.finish();
                self.tokens = moved;
            }
            Some(_) | None => {}
        }
        if self.tokens.len() == room {
            self.finish();
        }
        self.tokens.push((id, weight));
    }

    fn finish(&mut self) {
        let tokens = std::mem::take(&mut self.tokens);
        self.comma = None;
        if self.chunks.len() == MAX_CHUNKS {
            self.removed += tokens.len();
            return;
        }
        let framed = self.tokenizer.framed(tokens.iter().map(|(id, _)| *id));
        let weights = tokens.iter().any(|(_, weight)| *weight != 1.0).then(|| {
            let mut weights: Vec<f32> = [1.0].into_iter().chain(tokens.iter().map(|(_, weight)| *weight)).collect();
            weights.resize(framed.ids.len(), 1.0);
            weights
        });
        self.chunks.push(WeightedTokens { tokens: framed, weights });
    }
}
