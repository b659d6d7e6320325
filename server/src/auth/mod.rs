//! Who may do what, and how much of it.
//!
//! A request carries a key ([`Token`]); the [`Keyring`] finds the [`Account`] that it opens; [`Access`] says which scope the request's
//! route needs; the account's [`Allowance`] says how much of the server it may use. What a request may then see is bound to its
//! [`Caller`]: the generations of other keys are, for it, not there.

mod access;
mod account;
mod allowance;
mod key_file;
mod keyring;
mod limiter;
mod token;

use axum::http::HeaderMap;

pub use access::Access;
pub use account::{Account, Caller, Owner};
pub use allowance::{Allowance, Exceeded, Hold, Limits};
pub use key_file::{Key, KeyFile, KeyFileError};
pub use keyring::Keyring;
pub use limiter::{Budget, Limiter};
pub use token::{Digest, KeyId, Token};

/// Whether the server asks for keys.
#[derive(Debug)]
pub enum Auth {
    /// Everyone may make pictures and look at all of them.
    Open {
        /// Whether everyone may do what needs [`x0_openapi::Scope::Admin`], too.
        admin: bool,
    },
    Keys(Keyring),
}

/// Why a request's sender is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It sent no key.
    NoKey,
    /// It sent something that is none of the keys.
    UnknownKey,
}

impl Auth {
    /// Takes a place in its owner's part of the queue for what an earlier process accepted, where keys have such a part.
    pub fn granted_job(&self, owner: Owner) -> Option<Hold> {
        match (self, owner.0) {
            (Auth::Keys(keyring), Some(id)) => keyring.account(id).map(|account| account.allowance.granted_job()),
            (Auth::Keys(_), None) | (Auth::Open { .. }, _) => None,
        }
    }

    /// Who sends a request with these headers.
    ///
    /// # Errors
    /// When the server asks for keys and none, or none that it knows, was sent.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Stranger> {
        match self {
            Auth::Open { admin } => Ok(Caller::Anyone { admin: *admin }),
            Auth::Keys(keyring) => {
                let token = Token::of(headers).ok_or(Stranger::NoKey)?;
                keyring.find(&token).map(Caller::Account).ok_or(Stranger::UnknownKey)
            }
        }
    }
}
