//! A model's folder in diffusers' layout, on disk or compiled into the program.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use crate::error::LoadError;
use crate::weights::{self, Weights};

/// Longest configuration or vocabulary that is read, in bytes. The longest real one, `tokenizer.json`, has 3.6 MB.
const MAX_TEXT: u64 = 32 << 20;

/// Files of the program: paths within the folder, with `/` between their parts, and contents.
pub type EmbeddedFiles = &'static [(&'static str, &'static [u8])];

/// A folder of configurations and weights.
#[derive(Clone, Debug)]
pub enum Folder {
    OnDisk(PathBuf),
    Embedded {
        /// The folder's path within the files, empty or with a `/` at its end.
        prefix: String,
        files: EmbeddedFiles,
    },
}

impl Folder {
    /// The files of a model that is compiled into the program.
    pub fn embedded(files: EmbeddedFiles) -> Self {
        Self::Embedded { prefix: String::new(), files }
    }

    /// The sub-folder `name`.
    pub fn at(&self, name: &str) -> Self {
        match self {
            Self::OnDisk(path) => Self::OnDisk(path.join(name)),
            Self::Embedded { prefix, files } => Self::Embedded { prefix: format!("{prefix}{name}/"), files },
        }
    }

    /// Whether there is a file of that name in it.
    pub fn contains(&self, file: &str) -> bool {
        match self {
            Self::OnDisk(path) => path.join(file).is_file(),
            Self::Embedded { .. } => self.bytes(file).is_some(),
        }
    }

    /// What stands for the path of a file, or of the folder itself when `file` is empty, in messages.
    pub fn path_of(&self, file: &str) -> String {
        match self {
            Self::OnDisk(path) if file.is_empty() => path.display().to_string(),
            Self::OnDisk(path) => path.join(file).display().to_string(),
            Self::Embedded { prefix, .. } => format!("(built in) {prefix}{file}"),
        }
    }

    /// A file's text.
    ///
    /// # Errors
    /// If it is missing, no UTF-8, or longer than 32 MiB.
    pub fn text(&self, file: &str) -> Result<String, LoadError> {
        let io = |source| LoadError::Io { path: self.path_of(file), source };
        let format = |message: String| LoadError::Format { path: self.path_of(file), message };
        let mut bytes = Vec::new();
        match self {
            Self::OnDisk(path) => {
                let opened = File::open(path.join(file)).map_err(io)?;
                opened.take(MAX_TEXT + 1).read_to_end(&mut bytes).map_err(io)?;
            }
            Self::Embedded { .. } => {
                bytes.extend(self.bytes(file).ok_or_else(|| format("is not part of the program".into()))?);
            }
        }
        if bytes.len() as u64 > MAX_TEXT {
            return Err(format(format!("is longer than {MAX_TEXT} bytes")));
        }
        String::from_utf8(bytes).map_err(|error| format(error.to_string()))
    }

    /// A JSON file's contents.
    ///
    /// # Errors
    /// If it is missing, no JSON, or not of that type; the message has the key.
    pub fn json<T: DeserializeOwned>(&self, file: &str) -> Result<T, LoadError> {
        let text = self.text(file)?;
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&text))
            .map_err(|error| LoadError::Config { path: self.path_of(file), message: error.to_string() })
    }

    /// A JSON file's contents, or nothing when there is no such file.
    pub fn json_if_exists<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, LoadError> {
        if self.contains(file) { self.json(file).map(Some) } else { Ok(None) }
    }

    /// The weights whose files begin with `stem`, see [`weights::find`].
    pub fn weights(&self, stem: &str) -> Result<Weights, LoadError> {
        match self {
            Self::OnDisk(path) => Weights::open(&weights::find(path, stem)?),
            Self::Embedded { .. } => {
                let file = format!("{stem}.safetensors");
                let missing =
                    || LoadError::Format { path: self.path_of(&file), message: "is not part of the program".into() };
                Weights::from_static(&self.path_of(&file), self.bytes(&file).ok_or_else(missing)?)
            }
        }
    }

    fn bytes(&self, file: &str) -> Option<&'static [u8]> {
        let Self::Embedded { prefix, files } = self else { return None };
        let path = format!("{prefix}{file}");
        files.iter().find(|(name, _)| *name == path).map(|(_, bytes)| *bytes)
    }
}
