//! The file of keys: what they may do, and no more of them than a digest.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use x0_openapi::{ApiKey, KeyLimits, Scope};

use super::token::{Digest, KeyId, Token};
use crate::clock::now;

/// More than anyone needs; a larger file is not one of ours.
const MAX_BYTES: u64 = 16 << 20;

/// A key, as it is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub id: KeyId,
    pub name: String,
    pub sha256: Digest,
    pub scopes: Vec<Scope>,
    #[serde(default)]
    pub limits: KeyLimits,
    pub created_at: Timestamp,
}

impl Key {
    /// A new key, and what its owner gets.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn random(name: &str, scopes: &[Scope], limits: KeyLimits) -> Result<(Self, Token), getrandom::Error> {
        let token = Token::random()?;
        let (id, sha256) = (token.id(), token.digest());
        let key = Self { id, name: name.to_owned(), sha256, scopes: scopes.to_vec(), limits, created_at: now() };
        Ok((key, token))
    }

    /// What people may know of it.
    pub fn told(&self) -> ApiKey {
        ApiKey {
            id: self.id.to_string(),
            name: self.name.clone(),
            scopes: self.scopes.clone(),
            limits: self.limits,
            created_at: self.created_at,
        }
    }
}

/// The content of a key file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    pub keys: Vec<Key>,
}

/// Why keys cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: not a key file: {message}", path.display())]
    Format { path: PathBuf, message: String },
}

impl KeyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or is not what [`change`](Self::change) writes.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let io = |source| KeyFileError::Io { path: path.to_owned(), source };
        let format = |message: String| KeyFileError::Format { path: path.to_owned(), message };
        if fs::metadata(path).map_err(io)?.len() > MAX_BYTES {
            return Err(format(format!("it is over {MAX_BYTES} bytes")));
        }
        let text = fs::read(path).map_err(io)?;
        let file: Self = serde_json::from_slice(&text).map_err(|error| format(error.to_string()))?;
        let mut ids = HashSet::new();
        match file.keys.iter().find(|key| !ids.insert(key.id)) {
            Some(twice) => Err(format(format!("two keys have the id {}", twice.id))),
            None => Ok(file),
        }
    }

    /// Reads a file, or begins with no keys if there is none, changes it, and writes it back as a whole. Changes made at the same time,
    /// also by other processes, wait for each other.
    ///
    /// # Errors
    /// If it cannot be read or written; then it is as it was.
    pub fn change<T>(path: &Path, change: impl FnOnce(&mut Self) -> T) -> Result<T, KeyFileError> {
        let io = |source| KeyFileError::Io { path: path.to_owned(), source };
        // A symbolic link is followed, so that it stays one.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The folder is what stays the same file while the key file is replaced.
        let lock = File::open(folder).map_err(io)?;
        lock.lock().map_err(io)?;
        let mut file = if fs::exists(path).map_err(io)? { Self::read(path)? } else { Self::default() };
        let before = file.clone();
        let changed = change(&mut file);
        if file != before {
            file.write(path, folder).map_err(io)?;
        }
        Ok(changed)
    }

    /// Takes a key out of a file, and tells whether it was there.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub fn revoke(path: &Path, id: KeyId) -> Result<bool, KeyFileError> {
        Self::change(path, |file| {
            let before = file.keys.len();
            file.keys.retain(|key| key.id != id);
            file.keys.len() < before
        })
    }

    fn write(&self, path: &Path, folder: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::random(name, &[Scope::Read], KeyLimits::default()).unwrap().0
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        assert!(matches!(KeyFile::read(&path), Err(KeyFileError::Io { .. })));
        let (a, b) = (key("a"), key("b"));
        KeyFile::change(&path, |file| file.keys.push(a.clone())).unwrap();
        KeyFile::change(&path, |file| file.keys.push(b.clone())).unwrap();
        assert_eq!(KeyFile::read(&path).unwrap().keys, [a, b]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn changes_at_the_same_time_all_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("keys.json");
        std::thread::scope(|scope| {
            for i in 0..16 {
                scope.spawn(move || KeyFile::change(path, |file| file.keys.push(key(&i.to_string()))).unwrap());
            }
        });
        assert_eq!(KeyFile::read(path).unwrap().keys.len(), 16);
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let twice = KeyFile { keys: vec![key("a"); 2] };
        let twice = serde_json::to_string(&twice).unwrap();
        for text in ["", "{}", "[]", r#"{"keys": [], "more": 1}"#, r#"{"keys": [{"id": "1"}]}"#, &twice] {
            fs::write(&path, text).unwrap();
            assert!(matches!(KeyFile::read(&path), Err(KeyFileError::Format { .. })), "{text}");
            assert!(KeyFile::change(&path, |_| ()).is_err(), "{text}");
        }
    }
}
