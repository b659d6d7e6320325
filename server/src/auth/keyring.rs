//! The keys that the server knows, kept as their file is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use x0_openapi::ApiKey;

use super::account::Account;
use super::allowance::{Allowance, Limits};
use super::key_file::{KeyFile, KeyFileError};
use super::token::{KeyId, Token};

/// The keys of a file.
#[derive(Debug)]
pub struct Keyring {
    path: PathBuf,
    /// For keys that have none of their own.
    limits: Limits,
    known: RwLock<Arc<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    file: KeyFile,
    accounts: HashMap<KeyId, Arc<Account>>,
}

impl Keyring {
    /// # Errors
    /// If the file cannot be read.
    pub fn open(path: PathBuf, limits: Limits) -> Result<Self, KeyFileError> {
        let keyring = Self { path, limits, known: RwLock::default() };
        keyring.refresh()?;
        Ok(keyring)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The account that a key opens.
    pub fn find(&self, token: &Token) -> Option<Arc<Account>> {
        // Always computed, so that the time tells nothing about which ids there are.
        let digest = token.digest();
        let account = self.known().accounts.get(&token.id()).cloned()?;
        account.key.sha256.matches(&digest).then_some(account)
    }

    /// The account of an id, if there is one still.
    pub fn account(&self, id: KeyId) -> Option<Arc<Account>> {
        self.known().accounts.get(&id).cloned()
    }

    /// Reads the file again, and tells whether it has changed. Keys that have not keep what they have used.
    ///
    /// # Errors
    /// If the file cannot be read; then everything stays as it was.
    pub fn refresh(&self) -> Result<bool, KeyFileError> {
        let file = KeyFile::read(&self.path)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if file == known.file {
            return Ok(false);
        }
        let account = |key: &super::Key| {
            let limits = self.limits.with(key.limits);
            let allowance = match known.accounts.get(&key.id) {
                Some(account) if account.key == *key => return account.clone(),
                Some(account) => account.allowance.renewed(limits),
                None => Allowance::new(limits),
            };
            Arc::new(Account { key: key.clone(), allowance })
        };
        let accounts = file.keys.iter().map(|key| (key.id, account(key))).collect();
        *known = Arc::new(Known { file, accounts });
        Ok(true)
    }

    pub fn list(&self) -> Vec<ApiKey> {
        self.known().file.keys.iter().map(super::Key::told).collect()
    }

    pub fn len(&self) -> usize {
        self.known().file.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a key out of the file; from then on it opens nothing. Tells whether it was there.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn revoke(&self, id: KeyId) -> Result<bool, KeyFileError> {
        let revoked = KeyFile::revoke(&self.path, id)?;
        self.refresh()?;
        Ok(revoked)
    }

    fn known(&self) -> Arc<Known> {
        // Nothing panics while it holds the lock.
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use x0_openapi::{KeyLimits, Scope};

    use super::super::Key;
    use super::*;

    const LIMITS: Limits =
        Limits { requests_per_minute: None, pixel_steps_per_minute: None, queue_size: Some(1), streams: None };

    fn add(path: &Path, name: &str) -> Token {
        let (key, token) = Key::random(name, &[Scope::Read], KeyLimits::default()).unwrap();
        KeyFile::change(path, |file| file.keys.push(key)).unwrap();
        token
    }

    #[test]
    fn keys_come_and_go_with_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        assert!(Keyring::open(path.clone(), LIMITS).is_err());
        let first = add(&path, "first");
        let keyring = Keyring::open(path.clone(), LIMITS).unwrap();
        let account = keyring.find(&first).unwrap();
        let _job = account.allowance.job(1).unwrap();

        let second = add(&path, "second");
        assert!(keyring.find(&second).is_none());
        assert_eq!((keyring.refresh().unwrap(), keyring.refresh().unwrap()), (true, false));
        assert!(keyring.find(&second).is_some());
        assert!(keyring.find(&first).unwrap().allowance.job(1).is_err(), "what was used stays used");

        std::fs::write(&path, "{").unwrap();
        assert!(keyring.refresh().is_err());
        assert!(keyring.find(&first).is_some(), "a broken file changes nothing");
        std::fs::remove_file(&path).unwrap();
        assert!(keyring.refresh().is_err() && keyring.find(&first).is_some());
    }

    #[test]
    fn revoked_keys_open_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let (first, second) = (add(&path, "first"), add(&path, "second"));
        let keyring = Keyring::open(path, LIMITS).unwrap();
        assert!(keyring.revoke(first.id()).unwrap());
        assert!(!keyring.revoke(first.id()).unwrap());
        assert!(keyring.find(&first).is_none() && keyring.find(&second).is_some());
        assert_eq!(keyring.list().len(), 1);
    }
}
