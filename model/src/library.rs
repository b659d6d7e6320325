//! The models that there are: those of a folder and those compiled into the program.

mod blueprint;
pub(crate) mod defaults;
pub(crate) mod description;
mod embedded;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use crate::error::LoadError;
use crate::folder::Folder;
use crate::info::ModelInfo;
use crate::model::{Model, PreviewDecoder};
use crate::placement::Placement;
use crate::request::{Cost, Request, RequestError};
use crate::shape::Shape;
use crate::stage::{Network, Stage};

pub(crate) use blueprint::{Blueprint, Index};

const INDEX: &str = "model_index.json";

/// Knows every model by its configuration, and loads the weights of one when it is first asked for.
#[derive(Debug)]
pub struct Library {
    entries: Vec<Entry>,
    problems: Vec<(String, String)>,
    /// In bytes.
    memory_limit: Option<u64>,
    placement: Placement,
}

#[derive(Debug)]
struct Entry {
    blueprint: Blueprint,
    model: RwLock<Option<Arc<Model>>>,
    /// The one before, which pictures that are under way may still use.
    before: Mutex<Weak<Model>>,
    /// Held while the weights are read, so that they are read once; how long it took, the last time.
    loading: Mutex<Option<Duration>>,
}

impl Library {
    /// The models of the program, then those of `models` by name: each folder in it that has a `model_index.json`, and each
    /// single-file checkpoint `name.safetensors`. A model that cannot be served is left out, and [`Self::problems`] says why.
    ///
    /// # Errors
    /// If `models` cannot be listed.
    pub fn open(models: Option<&Path>) -> Result<Self, LoadError> {
        Self::open_within(models, None)
    }

    /// [`Self::open`] on a machine with so many bytes of memory: requests that cannot fit are refused by [`Self::plan`], and large
    /// pictures are decoded in tiles where they do not fit as a whole.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_within(models: Option<&Path>, memory_limit: Option<u64>) -> Result<Self, LoadError> {
        let mut library = Self { entries: Vec::new(), problems: Vec::new(), memory_limit, placement: Placement::cpu() };
        for (name, files) in embedded::MODELS {
            library.add(name, |limit| Blueprint::read(name, &Folder::embedded(files), true, limit));
        }
        for (name, found) in models.map(find).transpose()?.unwrap_or_default() {
            library.add(&name, |limit| match &found {
                Found::Folder(path) => Blueprint::read(&name, &Folder::OnDisk(path.clone()), false, limit),
                Found::Checkpoint(path) => Blueprint::read_checkpoint(&name, path, limit),
            });
        }
        Ok(library)
    }

    /// A library of one model of that shape, whose weights are random.
    ///
    /// # Errors
    /// Only if what is part of the program is wrong.
    pub fn of_shape(shape: Shape) -> Result<Self, LoadError> {
        let blueprint = Blueprint::of_shape(shape, None)?;
        let entry = Entry::new(blueprint);
        Ok(Self { entries: vec![entry], problems: Vec::new(), memory_limit: None, placement: Placement::cpu() })
    }

    fn add(&mut self, name: &str, read: impl FnOnce(Option<u64>) -> Result<Blueprint, LoadError>) {
        if self.info(name).is_some() {
            self.problems.push((name.to_owned(), "another model has this name".to_owned()));
            return;
        }
        match read(self.memory_limit) {
            Ok(blueprint) => self.entries.push(Entry::new(blueprint)),
            Err(error) => self.problems.push((name.to_owned(), error.to_string())),
        }
    }

    /// The same models, whose weights are loaded to `placement`; without it that is the processor.
    #[must_use]
    pub fn placed(self, placement: Placement) -> Self {
        Self { placement, ..self }
    }

    /// Where models are loaded to.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Name of each model that was left out, and why.
    pub fn problems(&self) -> &[(String, String)] {
        &self.problems
    }

    /// Every model, those of the program first.
    pub fn infos(&self) -> impl Iterator<Item = &ModelInfo> {
        self.entries.iter().map(|entry| entry.blueprint.info())
    }

    /// The model of that name.
    pub fn info(&self, name: &str) -> Option<&ModelInfo> {
        self.infos().find(|info| info.name == name)
    }

    /// Checks a request against the model `name` and says what it costs.
    ///
    /// # Errors
    /// The first field that the model cannot serve; field `model` if there is no such model.
    pub fn plan(&self, name: &str, request: &Request) -> Result<Cost, RequestError> {
        let unknown = || RequestError { field: "model", message: format!("there is no model {name:?}") };
        self.entry(name).ok_or_else(unknown)?.blueprint.plan(request)
    }

    /// The decoders by which previews of the model `name` can be made; [`PreviewDecoder::Auto`] is always possible.
    pub fn preview_decoders(&self, name: &str) -> &'static [PreviewDecoder] {
        self.entry(name).map_or(&[], |entry| entry.blueprint.preview_decoders())
    }

    /// The decoder that [`PreviewDecoder::Auto`] stands for. The request is one that [`Self::plan`] accepts.
    pub fn auto_preview(&self, name: &str, request: &Request) -> PreviewDecoder {
        self.entry(name).map_or(PreviewDecoder::Full, |entry| entry.blueprint.auto_preview(request))
    }

    /// What a user should know about how the model `name` will serve the request. The request is one that [`Self::plan`] accepts.
    pub fn warnings(&self, name: &str, request: &Request) -> Vec<String> {
        self.entry(name).map(|entry| entry.blueprint.warnings(request)).unwrap_or_default()
    }

    /// The model of that name, with its weights. The first call reads them, further ones share them; calls for other models
    /// do not wait.
    ///
    /// # Errors
    /// If there is no such model, or its weights cannot be read; the next call tries again.
    pub fn load(&self, name: &str) -> Result<Arc<Model>, LoadError> {
        let unknown = || LoadError::Format { path: name.to_owned(), message: "there is no such model".to_owned() };
        let entry = self.entry(name).ok_or_else(unknown)?;
        let mut loading = entry.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = entry.model() {
            return Ok(model);
        }
        if let Some(model) = entry.still_used() {
            // Of one model there is one instance: pictures of two would not be of the same network, and share its calls.
            entry.put(Some(Arc::clone(&model)));
            return Ok(model);
        }
        let start = Instant::now();
        let model = {
            let _aside = self.placement.aside();
            Arc::new(Model::load(&entry.blueprint, &self.placement)?)
        };
        *loading = Some(start.elapsed());
        entry.put(Some(Arc::clone(&model)));
        Ok(model)
    }

    /// Forgets the weights of the model `name`; they leave the memory with the last who uses them. The next call of [`Self::load`] after that
    /// reads them again.
    pub fn unload(&self, name: &str) {
        if let Some(entry) = self.entry(name) {
            // Weights that are being read at the moment are forgotten, too.
            let _loading = entry.loading.lock().unwrap_or_else(PoisonError::into_inner);
            let _aside = self.placement.aside();
            entry.put(None);
        }
    }

    /// The networks of the model `name` that can be called one by one.
    pub fn stages(&self, name: &str) -> Vec<Stage> {
        self.entry(name).map(|entry| entry.blueprint.stages()).unwrap_or_default()
    }

    /// One network of the model `name`, read anew: [`Self::load`] shares nothing with it.
    ///
    /// # Errors
    /// If there is no such model or network, or its weights cannot be read.
    pub fn network(&self, name: &str, stage: Stage) -> Result<Network, LoadError> {
        let unknown = || LoadError::Format { path: name.to_owned(), message: format!("has no {}", stage.name()) };
        let network = self.entry(name).map(|entry| entry.blueprint.network(stage, &self.placement)).transpose()?;
        network.flatten().ok_or_else(unknown)
    }

    /// How long reading the weights of the model `name` took, the last time; `None` when they never were, or are being read.
    pub fn load_duration(&self, name: &str) -> Option<Duration> {
        *self.entry(name)?.loading.try_lock().ok()?
    }

    /// Whether the weights of the model `name` are in memory.
    pub fn is_loaded(&self, name: &str) -> bool {
        self.entry(name).is_some_and(|entry| entry.model().is_some())
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.blueprint.info().name == name)
    }
}

impl Entry {
    fn new(blueprint: Blueprint) -> Self {
        Self { blueprint, model: RwLock::default(), before: Mutex::default(), loading: Mutex::default() }
    }

    /// The instance that was forgotten, as long as somebody uses it.
    fn still_used(&self) -> Option<Arc<Model>> {
        // Nothing panics while it holds the lock.
        self.before.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn model(&self) -> Option<Arc<Model>> {
        // Nothing panics while it holds the lock.
        self.model.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, model: Option<Arc<Model>>) {
        let before = std::mem::replace(&mut *self.model.write().unwrap_or_else(PoisonError::into_inner), model);
        if let Some(before) = before {
            *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&before);
            // Not while the lock is held: it may be gigabytes that are given back.
            drop(before);
        }
    }
}

/// A model among the files of a folder.
enum Found {
    Folder(PathBuf),
    /// A single file; it may be one that is refused.
    Checkpoint(PathBuf),
}

/// The models in a folder, by name. Pickled checkpoints are among them, so that they are refused with advice.
fn find(models: &Path) -> Result<Vec<(String, Found)>, LoadError> {
    let io = |source| LoadError::Io { path: models.display().to_string(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(models).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        if path.join(INDEX).is_file() {
            found.push((name(path.file_name()), Found::Folder(path)));
        } else if path.is_file()
            && path.extension().is_some_and(|ending| ["safetensors", "ckpt"].iter().any(|e| ending == *e))
        {
            found.push((name(path.file_stem()), Found::Checkpoint(path)));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}
