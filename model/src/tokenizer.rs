//! CLIP's tokenizer: lower-cased byte-pair encoding, padded or cut to the length that the text encoder takes.

mod files;
mod vocabulary;

use std::sync::{Arc, OnceLock};

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::Split;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use crate::error::LoadError;
use crate::folder::Folder;
use vocabulary::Vocabulary;

/// Where words end before they are encoded; transformers' `tokenization_clip.py`.
const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Turns text into the ids that a CLIP text encoder takes.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    length: usize,
    start: u32,
    end: u32,
    pad: u32,
    vocabulary_size: usize,
}

/// What short texts are filled up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pad {
    /// The end token, as for OpenAI's text encoders.
    End,
    /// The token `!`, which is the first of the vocabulary, as for OpenCLIP's text encoders.
    ExclamationMark,
}

/// A text as ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tokens {
    /// As many as [`Tokenizer::length`]: start, text, end, padding.
    pub ids: Vec<u32>,
    /// How many tokens of the text were cut off since it was too long.
    pub removed: usize,
}

/// The tokens that mean something other than text.
#[derive(Clone, Debug)]
struct SpecialTokens {
    start: AddedToken,
    end: AddedToken,
    unknown: AddedToken,
    pad: AddedToken,
}

impl SpecialTokens {
    fn with_pad(pad: &str) -> Self {
        let special = |content: &str| AddedToken::from(content, true);
        Self {
            start: special("<|startoftext|>"),
            end: special("<|endoftext|>"),
            unknown: special("<|endoftext|>"),
            pad: special(pad),
        }
    }
}

impl Tokenizer {
    /// Reads a diffusers `tokenizer/` folder: `tokenizer.json`, or `vocab.json` and `merges.txt`, with `tokenizer_config.json`
    /// and `special_tokens_map.json` where they exist. Ids are padded or cut to `model_max_length`, and to no more than the
    /// `positions` that the text encoder has. A `tokenizer.json` of another kind than CLIP's is refused.
    pub fn from_folder(folder: &Folder, positions: usize) -> Result<Self, LoadError> {
        let files = files::TokenizerFiles::read(folder)?;
        let length = files.model_max_length.unwrap_or(positions).min(positions);
        Self::new(files.vocabulary, &files.special, files.added, length)
            .map_err(|message| LoadError::Format { path: folder.path_of(""), message })
    }

    /// OpenAI's vocabulary, for checkpoints that come without one: 49408 tokens, length 77. All of them share it.
    pub fn built_in(pad: Pad) -> Result<Arc<Self>, LoadError> {
        static SHARED: [OnceLock<Arc<Tokenizer>>; 2] = [OnceLock::new(), OnceLock::new()];
        let (shared, content) = match pad {
            Pad::End => (&SHARED[0], "<|endoftext|>"),
            Pad::ExclamationMark => (&SHARED[1], "!"),
        };
        if let Some(tokenizer) = shared.get() {
            return Ok(Arc::clone(tokenizer));
        }
        let tokenizer = Vocabulary::built_in()
            .and_then(|vocabulary| Self::new(vocabulary, &SpecialTokens::with_pad(content), Vec::new(), 77))
            .map_err(|message| LoadError::Format { path: "built-in vocabulary".into(), message })?;
        Ok(Arc::clone(shared.get_or_init(|| Arc::new(tokenizer))))
    }

    fn new(
        vocabulary: Vocabulary,
        special: &SpecialTokens,
        added: Vec<AddedToken>,
        length: usize,
    ) -> Result<Self, String> {
        if length < 3 {
            return Err(format!("a length of {length} leaves no room between the start and end tokens"));
        }
        let message = |error: tokenizers::Error| error.to_string();
        let bpe = BPE::builder()
            .vocab_and_merges(vocabulary.ids, vocabulary.merges)
            .unk_token(special.unknown.content.clone())
            .end_of_word_suffix("</w>".into())
            .continuing_subword_prefix(String::new())
            .build()
            .map_err(message)?;
        let mut inner = tokenizers::Tokenizer::new(bpe);
        let whitespace = Replace::new(tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s+".into()), " ");
        let normalizers = vec![NFC.into(), whitespace.map_err(message)?.into(), Lowercase.into()];
        inner.with_normalizer(Some(Normalizers::new(normalizers))).map_err(message)?;
        let words = tokenizers::pre_tokenizers::split::SplitPattern::Regex(WORDS.into());
        let split = Split::new(words, SplitDelimiterBehavior::Removed, true).map_err(message)?;
        let bytes = ByteLevel::new(false, true, true);
        inner.with_pre_tokenizer(Some(PreTokenizers::new(vec![split.into(), bytes.into()])));
        let SpecialTokens { start, end, unknown, pad } = special.clone();
        inner.add_special_tokens([start, end, unknown, pad]).map_err(message)?;
        inner.add_tokens(added).map_err(message)?;
        let id = |token: &AddedToken| {
            inner.token_to_id(&token.content).ok_or_else(|| format!("the vocabulary lacks {:?}", token.content))
        };
        let (start_id, end_id, pad_id) = (id(&special.start)?, id(&special.end)?, id(&special.pad)?);
        let ends =
            RobertaProcessing::new((special.end.content.clone(), end_id), (special.start.content.clone(), start_id));
        inner.with_post_processor(Some(ends.trim_offsets(false).add_prefix_space(false)));
        let vocabulary_size = inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1);
        Ok(Self { inner, length, start: start_id, end: end_id, pad: pad_id, vocabulary_size })
    }

    /// How many ids each text becomes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// One more than the highest id.
    pub fn vocabulary_size(&self) -> usize {
        self.vocabulary_size
    }

    /// The ids of `text`. A text that is too long is cut before its end token, as diffusers cuts it.
    pub fn encode(&self, text: &str) -> Result<Tokens, tokenizers::Error> {
        let mut ids = self.inner.encode_fast(text, true)?.get_ids().to_vec();
        let removed = ids.len().saturating_sub(self.length);
        if removed > 0 {
            ids.truncate(self.length - 1);
            ids.push(self.end);
        }
        ids.resize(self.length, self.pad);
        Ok(Tokens { ids, removed })
    }

    /// The ids of `text` alone, as many as there are.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, tokenizers::Error> {
        Ok(self.inner.encode_fast(text, false)?.get_ids().to_vec())
    }

    /// The id of a comma that ends a word, if there is one.
    pub fn comma(&self) -> Option<u32> {
        self.inner.token_to_id(",</w>")
    }

    /// `ids`, at most [`Self::length`] less the two that are put around them, as a text encoder takes them.
    pub fn framed(&self, ids: impl IntoIterator<Item = u32>) -> Tokens {
        let text = ids.into_iter().take(self.length - 2);
        let mut ids: Vec<u32> = [self.start].into_iter().chain(text).chain([self.end]).collect();
        ids.resize(self.length, self.pad);
        Tokens { ids, removed: 0 }
    }
}
