//! The database's file, and the thread that writes it.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::row::{self, GenerationRow};
use crate::generation::Fact;
use crate::store::{NewGeneration, StoreError};

const FILE: &str = "generations.sqlite";
/// Of the tables below; a file says in its `user_version` which it has.
const VERSION: i64 = 1;
/// How long another process may take to let go of the file.
const PATIENCE: Duration = Duration::from_secs(2);
/// Writes that share a transaction, and so the wait for the disk.
const TOGETHER: usize = 256;

/// A generation's facts are in the order of their numbers. `request` is there until the generation has ended.
const TABLES: &str = "
    CREATE TABLE generations (
        id BLOB PRIMARY KEY,
        owner TEXT,
        idempotency_key TEXT,
        fingerprint INTEGER,
        record TEXT NOT NULL,
        request TEXT,
        attempt INTEGER NOT NULL DEFAULT 1,
        crashes INTEGER NOT NULL DEFAULT 0,
        acquitted INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE facts (
        number INTEGER PRIMARY KEY,
        generation BLOB NOT NULL REFERENCES generations ON DELETE CASCADE,
        attempt INTEGER NOT NULL,
        at TEXT NOT NULL,
        fact TEXT NOT NULL,
        file BLOB
    ) STRICT;
    CREATE INDEX facts_of_generation ON facts (generation);
";

/// A change of the database.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Create(Box<NewGeneration>),
    Append {
        id: Uuid,
        at: Timestamp,
        fact: Fact,
    },
    /// Begins another run of a generation that has not ended.
    Begin {
        id: Uuid,
        attempt: u32,
        crashes: u32,
    },
    /// That this run is not finished is not the generation's fault.
    Acquit(Uuid),
    Delete(Uuid),
}

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    #[error("another process uses it")]
    InUse,
    #[error("a later version of x0 wrote it")]
    Newer,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is damaged: {0}")]
    Damaged(rusqlite::Error),
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    #[error(transparent)]
    Write(#[from] StoreError),
}

impl From<rusqlite::Error> for OpenStoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error),
            Some(_) | None => Self::Sqlite(error),
        }
    }
}

/// The database, written by a thread of its own. When this is dropped, what was asked for is written before the file is closed.
#[derive(Debug)]
pub(super) struct Database {
    /// Taken when it is dropped.
    writes: Option<mpsc::Sender<Task>>,
    thread: Option<JoinHandle<()>>,
}

/// A change, and who waits for it.
struct Task {
    write: Write,
    done: Option<oneshot::Sender<Result<(), StoreError>>>,
}

impl Database {
    /// Opens the database in a folder, or begins one, and reads all of it, oldest generation first. A file that is damaged is set aside.
    pub(super) fn open(folder: &Path) -> Result<(Self, Vec<GenerationRow>), OpenStoreError> {
        // Prompts and pictures are nobody else's business.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(FILE);
        let (connection, rows) = match read(&path) {
            Err(OpenStoreError::Damaged(error)) => {
                let aside = set_aside(&path)?;
                tracing::error!(%error, aside = %aside.display(), "the store is damaged; it was set aside, and a new one begun");
                read(&path)?
            }
            opened => opened?,
        };
        let (writes, tasks) = mpsc::channel();
        let thread = std::thread::Builder::new().name("x0-store".to_owned());
        let thread = thread.spawn(move || work(connection, &tasks))?;
        Ok((Self { writes: Some(writes), thread: Some(thread) }, rows))
    }

    /// Returns when a change is on the disk.
    pub(super) async fn write(&self, write: Write) -> Result<(), StoreError> {
        let (done, written) = oneshot::channel();
        self.send(Task { write, done: Some(done) });
        written.await.unwrap_or_else(|_| Err(StoreError("its thread is gone".to_owned())))
    }

    /// Makes a change without waiting for it. That it fails is told in the log.
    pub(super) fn write_later(&self, write: Write) {
        self.send(Task { write, done: None });
    }

    /// Returns when all changes are on the disk; for a thread that may wait.
    pub(super) fn write_at_once(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let waiting: Vec<_> = writes
            .into_iter()
            .map(|write| {
                let (done, written) = oneshot::channel();
                self.send(Task { write, done: Some(done) });
                written
            })
            .collect();
        let written = |written: oneshot::Receiver<_>| futures::executor::block_on(written);
        waiting.into_iter().try_for_each(|waiting| {
            written(waiting).unwrap_or_else(|_| Err(StoreError("its thread is gone".to_owned())))
        })
    }

    fn send(&self, task: Task) {
        if let Some(writes) = &self.writes {
            // A thread that is gone answers nobody, which those who wait find out.
            let _ = writes.send(task);
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.writes.take();
        if let Some(thread) = self.thread.take() {
            // It panics nowhere; and then there is nothing more to be done.
            let _ = thread.join();
        }
    }
}

/// The file's connection and all that is in it.
fn read(path: &Path) -> Result<(Connection, Vec<GenerationRow>), OpenStoreError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What was committed survives the loss of power, too.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Err(OpenStoreError::Newer);
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if version == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    let rows = row::read_all(&transaction)?;
    transaction.commit()?;
    Ok((connection, rows))
}

/// Writes what is asked for until nobody can ask any more. What comes while the disk is waited for is written together.
fn work(mut connection: Connection, tasks: &mpsc::Receiver<Task>) {
    while let Ok(first) = tasks.recv() {
        let together: Vec<Task> = std::iter::once(first).chain(tasks.try_iter().take(TOGETHER - 1)).collect();
        let written = write_all(&mut connection, &together).map_err(|error| StoreError(error.to_string()));
        if let Err(error) = &written {
            tracing::error!(%error, writes = together.len(), "the store cannot be written");
        }
        for done in together.into_iter().filter_map(|task| task.done) {
            // Who does not wait any more does not need to know.
            let _ = done.send(written.clone());
        }
    }
}

fn write_all(connection: &mut Connection, tasks: &[Task]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    tasks.iter().try_for_each(|task| row::write(&transaction, &task.write))?;
    transaction.commit()
}

/// Gives the file and what belongs to it another name.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let ending = Timestamp::now().as_millisecond();
    let named = |ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    for part in ["", "-wal", "-shm"] {
        let from = named(part);
        if from.exists() {
            fs::rename(&from, named(&format!(".damaged-{ending}{part}")))?;
        }
    }
    Ok(named(&format!(".damaged-{ending}")))
}
