//! Keys as clients send them: `x0_<id>_<secret>`.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

const PREFIX: &str = "x0_";
const SECRET_BYTES: usize = 32;
/// Longer ones are none of ours.
const MAX_LENGTH: usize = 256;

/// The part of a key that is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct KeyId(pub u64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// No id of a key: 16 hexadecimal digits, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a key: 16 hexadecimal digits")]
pub struct NotAnId;

impl FromStr for KeyId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(NotAnId)
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for KeyId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        text.parse()
    }
}

/// SHA-256 of a whole key. A key has 256 random bits, so that nothing slower is needed to keep it from being guessed.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(#[serde(with = "hex::serde")] [u8; 32]);

impl Digest {
    /// Whether both are the same, in a time that does not tell how much of them is.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// A key in clear, as its owner has it and as it comes with a request. It is never kept.
#[derive(Clone)]
pub struct Token {
    text: String,
    id: KeyId,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, ..)", self.id)
    }
}

impl Token {
    /// A new key.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn random() -> Result<Self, getrandom::Error> {
        let id = KeyId(getrandom::u64()?);
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret)?;
        Ok(Self { text: format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret)), id })
    }

    /// The key that comes with a request: `Authorization: Bearer KEY`, or `Basic` with the key as password, whatever the user.
    /// AUTOMATIC1111's clients know only the latter. What does not look like a key gives one that opens nothing.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
        let (scheme, credentials) = value.split_once(' ').unwrap_or((value, ""));
        let credentials = credentials.trim();
        let text = if scheme.eq_ignore_ascii_case("basic") {
            let pair =
                BASE64.decode(credentials).ok().and_then(|pair| String::from_utf8(pair).ok()).unwrap_or_default();
            pair.split_once(':').map(|(_, password)| password.to_owned()).unwrap_or_default()
        } else {
            credentials.to_owned()
        };
        if text.is_empty() { None } else { Some(Self::read(text)) }
    }

    /// Takes any text: one that is no key has an id all the same, so that looking it up takes the same time.
    fn read(text: String) -> Self {
        let id = text.strip_prefix(PREFIX).filter(|_| text.len() <= MAX_LENGTH).and_then(|rest| rest.split_once('_'));
        let id = id.and_then(|(id, _)| id.parse().ok()).unwrap_or(KeyId(0));
        Self { text, id }
    }

    pub fn id(&self) -> KeyId {
        self.id
    }

    /// For its owner, once.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    pub fn digest(&self) -> Digest {
        use sha2::Digest as _;
        Digest(Sha256::digest(self.text.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(authorization: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization.parse().unwrap())]);
        Token::of(&headers).map(|token| token.text)
    }

    #[test]
    fn a_key_is_read_as_it_was_made() {
        let token = Token::random().unwrap();
        assert_ne!(token.text, Token::random().unwrap().text);
        let read = Token::read(token.text.clone());
        assert_eq!(read.id, token.id);
        assert!(read.digest().matches(&token.digest()));
        assert!(!Token::read(format!("{}x", token.text)).digest().matches(&token.digest()));
        assert!(!format!("{token:?}").contains(&token.text[21..]), "its secret is not shown");
    }

    #[test]
    fn the_digest_is_sha_256_of_the_whole_key() {
        let token = Token::read("abc".to_owned());
        let expected = "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"";
        assert_eq!(serde_json::to_string(&token.digest()).unwrap(), expected);
    }

    #[test]
    fn keys_come_as_bearer_tokens_and_as_passwords() {
        for authorization in ["Bearer abc", "bearer  abc ", "BASIC dTphYmM=", "Basic OmFiYw=="] {
            assert_eq!(sent(authorization).as_deref(), Some("abc"), "{authorization}");
        }
        for nothing in ["", "Bearer", "Bearer ", "Basic", "Basic dTo=", "Basic dQ==", "Basic ???"] {
            assert_eq!(sent(nothing), None, "{nothing}");
        }
        assert_eq!(Token::of(&HeaderMap::new()).map(|token| token.text), None);
    }

    #[test]
    fn ids_are_sixteen_digits() {
        assert_eq!("00000000000000ff".parse(), Ok(KeyId(255)));
        for wrong in ["", "ff", "00000000000000FF", "+0000000000000ff", "000000000000000ff"] {
            assert_eq!(wrong.parse::<KeyId>(), Err(NotAnId), "{wrong}");
        }
    }
}
