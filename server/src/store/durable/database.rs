//! The database's file, and the thread that writes it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
/// What could not be written is tried again after so long: a disk that is full may not stay so.
const RETRY: Duration = Duration::from_secs(1);

/// A generation's facts are in the order of their numbers. It has a request until it has ended.
const TABLES: &str = "
    CREATE TABLE generations (
        id BLOB NOT NULL PRIMARY KEY,
        owner TEXT,
        idempotency_key TEXT,
        fingerprint INTEGER,
        attempt INTEGER NOT NULL DEFAULT 1,
        crashes INTEGER NOT NULL DEFAULT 0,
        taken_up INTEGER NOT NULL DEFAULT 0,
        acquitted INTEGER NOT NULL DEFAULT 0,
        cancelled INTEGER NOT NULL DEFAULT 0,
        record TEXT NOT NULL
    ) STRICT;
    CREATE TABLE requests (
        generation BLOB NOT NULL PRIMARY KEY REFERENCES generations ON DELETE CASCADE,
        request TEXT NOT NULL
    ) STRICT;
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
    /// Begins another run of a generation that has not ended, with its first fact.
    Begin {
        id: Uuid,
        attempt: u32,
        crashes: u32,
        at: Timestamp,
        queued: Fact,
    },
    /// Remembers that this run of a generation is about to be worked on.
    TakeUp(Uuid),
    /// Remembers that a generation is to end.
    Cancel(Uuid),
    /// That they have not ended is not the fault of those that have not.
    AcquitAll,
    Delete(Uuid),
}

impl Write {
    /// The generation that it changes, for what has to be written in order.
    fn id(&self) -> Option<Uuid> {
        match self {
            Self::Create(new) => Some(new.record.id),
            Self::Append { id, .. }
            | Self::Begin { id, .. }
            | Self::TakeUp(id)
            | Self::Cancel(id)
            | Self::Delete(id) => Some(*id),
            Self::AcquitAll => None,
        }
    }

    /// Whether it is given up when it fails: who asked for it is told, and nothing has happened. All else has happened already, and is
    /// tried until it is written.
    fn may_fail(&self) -> bool {
        match self {
            Self::Create(_) => true,
            Self::Append { .. }
            | Self::Begin { .. }
            | Self::TakeUp(_)
            | Self::Cancel(_)
            | Self::AcquitAll
            | Self::Delete(_) => false,
        }
    }
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

impl Task {
    fn done(self, result: rusqlite::Result<()>) {
        if let Some(done) = self.done {
            // Who does not wait any more does not need to know.
            let _ = done.send(result.map_err(|error| StoreError(error.to_string())));
        }
    }
}

impl Database {
    /// Opens the database in a folder, or begins one, and reads all of it, oldest generation first. A file that is damaged is set aside.
    pub(super) fn open(folder: &Path) -> Result<(Self, Vec<GenerationRow>), OpenStoreError> {
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

    /// Returns when a change is on the disk, however long that takes; a new generation is given up if it cannot be written.
    pub(super) async fn write(&self, write: Write) -> Result<(), StoreError> {
        let (done, written) = oneshot::channel();
        self.send(Task { write, done: Some(done) });
        written.await.unwrap_or_else(|_| Err(StoreError("its thread is gone".to_owned())))
    }

    /// Makes a change without waiting for it.
    pub(super) fn write_later(&self, write: Write) {
        self.send(Task { write, done: None });
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

/// The file's connection and all that is in it. Where there is no file it is made.
fn read(path: &Path) -> Result<(Connection, Vec<GenerationRow>), OpenStoreError> {
    // Prompts and pictures are nobody else's business. What SQLite writes beside the file has its mode.
    fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
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
        let together = std::iter::once(first).chain(tasks.try_iter().take(TOGETHER - 1)).collect();
        // In order; what could not be written. What comes meanwhile is tried with it.
        let mut owed = write_all(&mut connection, together);
        let mut over = false;
        while !owed.is_empty() && !over {
            over = collect(tasks, &mut owed);
            owed = write_all(&mut connection, owed);
        }
    }
}

/// Waits for [`RETRY`] and takes what comes; tells whether nothing will come any more.
fn collect(tasks: &mpsc::Receiver<Task>, into: &mut Vec<Task>) -> bool {
    let until = Instant::now() + RETRY;
    loop {
        match tasks.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(task) => into.push(task),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
}

/// Writes tasks at once, or if that fails one by one, and gives those that are still owed.
fn write_all(connection: &mut Connection, tasks: Vec<Task>) -> Vec<Task> {
    match transact(connection, &tasks) {
        Ok(()) => {
            tasks.into_iter().for_each(|task| task.done(Ok(())));
            return Vec::new();
        }
        Err(error) => tracing::error!(%error, writes = tasks.len(), "the store cannot be written"),
    }
    let mut owed: Vec<Task> = Vec::new();
    let mut waiting: HashSet<Option<Uuid>> = HashSet::new();
    for task in tasks {
        let id = task.write.id();
        // Nothing of a generation is written before what came earlier.
        let written =
            if waiting.contains(&id) { None } else { Some(transact(connection, std::slice::from_ref(&task))) };
        match written {
            Some(Err(_)) | None if !task.write.may_fail() => {
                waiting.insert(id);
                owed.push(task);
            }
            Some(result) => task.done(result),
            // It is the first of its generation, and so waits for nothing.
            None => {}
        }
    }
    owed
}

fn transact(connection: &mut Connection, tasks: &[Task]) -> rusqlite::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::record;
    use crate::store::tests::{image, new};

    /// A change, and what whoever waits for it hears.
    fn task(write: Write) -> (Task, oneshot::Receiver<Result<(), StoreError>>) {
        let (done, heard) = oneshot::channel();
        (Task { write, done: Some(done) }, heard)
    }

    fn facts(connection: &Connection) -> Vec<(Uuid, Fact)> {
        let rows = row::read_all(connection).unwrap();
        rows.into_iter()
            .flat_map(|row| row.facts.into_iter().map(move |(.., fact)| (row.new.record.id, fact)))
            .collect()
    }

    #[test]
    fn what_does_not_fit_is_owed_and_written_in_order_when_it_does() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        let (one, other) = (record(2), record(1));
        let create = |record: &x0_openapi::GenerationRecord| task(Write::Create(Box::new(new(record.clone()))));
        let append = |id, fact| task(Write::Append { id, at: Timestamp::UNIX_EPOCH, fact });
        let created = [create(&one).0, create(&other).0];
        assert!(write_all(&mut connection, created.into()).is_empty());

        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        connection.pragma_update(None, "max_page_count", pages + 2).unwrap();
        let (large, mut large_heard) = append(one.id, image(0, 100_000));
        let (last, mut last_heard) = append(one.id, Fact::Succeeded);
        let (small, mut small_heard) = append(other.id, Fact::Started);
        let mut third = record(1);
        third.warnings = vec!["x".repeat(100_000)];
        let (refused, mut refused_heard) = create(&third);
        let owed = write_all(&mut connection, vec![large, last, small, refused]);
        // The end of a generation does not come before its picture, though it would fit.
        assert_eq!(facts(&connection), [(other.id, Fact::Started)]);
        assert!(large_heard.try_recv().is_err() && last_heard.try_recv().is_err(), "these are waited for");
        assert!(small_heard.try_recv().unwrap().is_ok() && refused_heard.try_recv().unwrap().is_err());

        connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
        assert!(write_all(&mut connection, owed).is_empty());
        let written = facts(&connection);
        assert_eq!(written.iter().filter(|(id, _)| *id == one.id).count(), 2);
        assert!(large_heard.try_recv().unwrap().is_ok() && last_heard.try_recv().unwrap().is_ok());
    }
}
