//! The files of a diffusers `tokenizer/` folder.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::AddedToken;

use super::SpecialTokens;
use super::vocabulary::{Vocabulary, parse_merge, parse_merges};
use crate::error::LoadError;
use crate::folder::Folder;

/// What the folder says.
pub(super) struct TokenizerFiles {
    pub(super) vocabulary: Vocabulary,
    pub(super) special: SpecialTokens,
    /// Tokens beside the vocabulary, in the order of their ids.
    pub(super) added: Vec<AddedToken>,
    pub(super) model_max_length: Option<usize>,
}

impl TokenizerFiles {
    pub(super) fn read(folder: &Folder) -> Result<Self, LoadError> {
        let config: TokenizerConfig = folder.json_if_exists("tokenizer_config.json")?.unwrap_or_default();
        let map: SpecialTokensMap = folder.json_if_exists("special_tokens_map.json")?.unwrap_or_default();
        let format = |file, message| LoadError::Format { path: folder.path_of(file), message };
        let (vocabulary, mut added) = if folder.contains("tokenizer.json") {
            let file: TokenizerJson = folder.json("tokenizer.json")?;
            file.parse().map_err(|message| format("tokenizer.json", message))?
        } else {
            let ids: BTreeMap<String, u32> = folder.json("vocab.json")?;
            let merges = parse_merges(&folder.text("merges.txt")?).map_err(|message| format("merges.txt", message))?;
            (Vocabulary { ids: ids.into_iter().collect(), merges }, BTreeMap::new())
        };
        for (id, token) in &config.added_tokens_decoder {
            if let Ok(id) = id.parse() {
                added.entry(id).or_insert_with(|| token.clone().into_token());
            }
        }
        // transformers asks special_tokens_map.json first.
        let special = map.over(config.special).over_added(&added);
        let added = added.into_values().filter(|token| !special.contains(&token.content)).collect();
        // A length over any that a model has stands for "no limit".
        let model_max_length = config.model_max_length.filter(|length| *length < 1e6).map(|length| length as usize);
        Ok(Self { vocabulary, special, added, model_max_length })
    }
}

#[derive(Default, Deserialize)]
struct TokenizerConfig {
    model_max_length: Option<f64>,
    #[serde(default)]
    added_tokens_decoder: BTreeMap<String, TokenObject>,
    #[serde(flatten)]
    special: SpecialTokensMap,
}

/// A token as a plain string or with its options.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum TokenEntry {
    Plain(String),
    Object(TokenObject),
}

#[derive(Clone, Deserialize)]
struct TokenObject {
    #[serde(default)]
    id: Option<u32>,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

impl TokenObject {
    fn into_token(self) -> AddedToken {
        let Self { id: _, content, single_word, lstrip, rstrip, normalized, special } = self;
        AddedToken { content, single_word, lstrip, rstrip, normalized, special }
    }
}

impl TokenEntry {
    fn into_special(self) -> AddedToken {
        match self {
            Self::Plain(content) => AddedToken::from(content, true),
            Self::Object(token) => token.into_token().special(true),
        }
    }
}

#[derive(Default, Deserialize)]
struct SpecialTokensMap {
    bos_token: Option<TokenEntry>,
    eos_token: Option<TokenEntry>,
    unk_token: Option<TokenEntry>,
    pad_token: Option<TokenEntry>,
}

impl SpecialTokensMap {
    /// These entries, or where they are missing those of `other`, or else CLIP's.
    fn over(self, other: Self) -> SpecialTokens {
        let clip = SpecialTokens::with_pad("<|endoftext|>");
        let pick = |own: Option<TokenEntry>, other: Option<TokenEntry>, clip| {
            own.or(other).map_or(clip, TokenEntry::into_special)
        };
        SpecialTokens {
            start: pick(self.bos_token, other.bos_token, clip.start),
            end: pick(self.eos_token, other.eos_token, clip.end),
            unknown: pick(self.unk_token, other.unk_token, clip.unknown),
            pad: pick(self.pad_token, other.pad_token, clip.pad),
        }
    }
}

impl SpecialTokens {
    fn contains(&self, content: &str) -> bool {
        [&self.start, &self.end, &self.unknown, &self.pad].iter().any(|token| token.content == content)
    }

    /// Takes how a token is matched in texts from `added`, where it is listed there.
    fn over_added(mut self, added: &BTreeMap<u32, AddedToken>) -> Self {
        for token in [&mut self.start, &mut self.end, &mut self.unknown, &mut self.pad] {
            if let Some(listed) = added.values().find(|listed| listed.content == token.content) {
                *token = listed.clone().special(true);
            }
        }
        self
    }
}

/// The parts of `tokenizer.json` that say what kind of tokenizer it is.
#[derive(Deserialize)]
struct TokenizerJson {
    model: BpeJson,
    #[serde(default)]
    added_tokens: Vec<TokenObject>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
}

#[derive(Deserialize)]
struct BpeJson {
    r#type: Option<String>,
    vocab: BTreeMap<String, u32>,
    merges: Vec<MergeJson>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MergeJson {
    Line(String),
    Pair(String, String),
}

impl TokenizerJson {
    fn parse(self) -> Result<(Vocabulary, BTreeMap<u32, AddedToken>), String> {
        let bpe = self.model;
        let plain = !bpe.byte_fallback && !bpe.ignore_merges && bpe.r#type.is_none_or(|kind| kind == "BPE");
        let named = |part: &Option<Value>, kind: &str| part.as_ref().is_some_and(|part| mentions(part, kind));
        let clip = plain
            && bpe.end_of_word_suffix.as_deref() == Some("</w>")
            && named(&self.normalizer, "Lowercase")
            && named(&self.pre_tokenizer, "Split")
            && named(&self.pre_tokenizer, "ByteLevel");
        if !clip {
            return Err("this tokenizer is not CLIP's lower-cased byte-pair encoding with \"</w>\" at word ends".into());
        }
        let pair = |merge| match merge {
            MergeJson::Line(line) => {
                parse_merge(&line).ok_or_else(|| format!("the merge {line:?} is no pair of tokens"))
            }
            MergeJson::Pair(left, right) => Ok((left, right)),
        };
        let merges = bpe.merges.into_iter().map(pair).collect::<Result<_, _>>()?;
        let id = |token: &TokenObject| token.id.ok_or_else(|| format!("the added token {:?} has no id", token.content));
        let added = self.added_tokens.into_iter().map(|token| Ok((id(&token)?, token.into_token())));
        let added = added.collect::<Result<_, String>>()?;
        Ok((Vocabulary { ids: bpe.vocab.into_iter().collect(), merges }, added))
    }
}

/// Whether a (sequence of) normalizers or pre-tokenizers holds one of `kind`.
fn mentions(part: &Value, kind: &str) -> bool {
    let own = part.get("type").and_then(Value::as_str) == Some(kind);
    let parts = ["normalizers", "pretokenizers"].iter().filter_map(|key| part.get(key)?.as_array()).flatten();
    own || parts.into_iter().any(|part| part.get("type").and_then(Value::as_str) == Some(kind))
}
