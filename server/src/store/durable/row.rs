//! Generations and facts as rows of tables.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;
use x0_openapi::{GenerationRecord, GenerationRequest};

use super::database::Write;
use crate::auth::Owner;
use crate::generation::Fact;
use crate::store::{IdempotencyKey, NewGeneration};

/// What the database knows of a generation.
#[derive(Clone, Debug)]
pub(super) struct GenerationRow {
    /// As it was created. Its request is empty when the generation has ended.
    pub(super) new: NewGeneration,
    pub(super) attempt: u32,
    pub(super) crashes: u32,
    pub(super) taken_up: bool,
    pub(super) acquitted: bool,
    pub(super) cancelled: bool,
    /// Each with the run that it belongs to, and when it happened.
    pub(super) facts: Vec<(u32, Timestamp, Fact)>,
}

/// Why a row means nothing to this program.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("the time {0}")]
    Time(#[from] jiff::Error),
    #[error("the owner {0}")]
    Owner(String),
    #[error("the request: {0}")]
    Request(String),
}

/// Carries out a change.
pub(super) fn write(connection: &Connection, write: &Write) -> rusqlite::Result<()> {
    match write {
        Write::Create(new) => {
            let NewGeneration { record, owner, key, request } = &**new;
            let (key, fingerprint) = key.as_ref().map(|key| (&key.key, key.fingerprint.cast_signed())).unzip();
            let owner = owner.0.map(|id| id.to_string());
            let sql =
                "INSERT INTO generations (id, owner, idempotency_key, fingerprint, record) VALUES (?, ?, ?, ?, ?)";
            connection.execute(sql, params![record.id.as_bytes(), owner, key, fingerprint, json(record)?])?;
            let sql = "INSERT INTO requests (generation, request) VALUES (?, ?)";
            connection.execute(sql, params![record.id.as_bytes(), json(request)?])?;
        }
        Write::Append { id, at, fact } => append(connection, *id, *at, fact)?,
        Write::Begin { id, attempt, crashes, at, queued } => {
            let sql = "UPDATE generations SET attempt = ?2, crashes = ?3, taken_up = 0, acquitted = 0 WHERE id = ?1";
            connection.execute(sql, params![id.as_bytes(), attempt, crashes])?;
            append(connection, *id, *at, queued)?;
        }
        Write::TakeUp(id) => {
            connection.execute("UPDATE generations SET taken_up = 1 WHERE id = ?", [id.as_bytes()])?;
        }
        Write::Cancel(id) => {
            connection.execute("UPDATE generations SET cancelled = 1 WHERE id = ?", [id.as_bytes()])?;
        }
        Write::AcquitAll => {
            let sql = "UPDATE generations SET acquitted = 1 WHERE id IN (SELECT generation FROM requests)";
            connection.execute(sql, [])?;
        }
        Write::Delete(id) => {
            connection.execute("DELETE FROM generations WHERE id = ?", [id.as_bytes()])?;
        }
    }
    Ok(())
}

fn append(connection: &Connection, id: Uuid, at: Timestamp, fact: &Fact) -> rusqlite::Result<()> {
    let (fact, file) = without_file(fact);
    let sql = "INSERT INTO facts (generation, attempt, at, fact, file) SELECT id, attempt, ?2, ?3, ?4 FROM generations WHERE id = ?1";
    connection.execute(sql, params![id.as_bytes(), at.to_string(), json(&fact)?, file.as_deref()])?;
    if is_terminal(&fact) {
        // Nobody will make these pictures again.
        connection.execute("DELETE FROM requests WHERE generation = ?", [id.as_bytes()])?;
    }
    Ok(())
}

/// All generations, oldest first: their ids are UUIDs of version 7. What means nothing to this program is left out, and told in the log.
pub(super) fn read_all(connection: &Connection) -> rusqlite::Result<Vec<GenerationRow>> {
    let mut generations = BTreeMap::new();
    let mut statement = connection.prepare("SELECT * FROM generations LEFT JOIN requests ON generation = id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: [u8; 16] = row.get("id")?;
        match generation(row)? {
            Ok(generation) => drop(generations.insert(id, generation)),
            Err(error) => tell(id, &error),
        }
    }
    let mut statement = connection.prepare("SELECT * FROM facts ORDER BY number")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: [u8; 16] = row.get("generation")?;
        let Some(generation) = generations.get_mut(&id) else { continue };
        match fact(row, generation.new.record.request.output.inline)? {
            Ok(fact) => generation.facts.push(fact),
            Err(error) => {
                tell(id, &error);
                generations.remove(&id);
            }
        }
    }
    Ok(generations.into_values().collect())
}

fn tell(id: [u8; 16], error: &Unreadable) {
    tracing::error!(generation = %Uuid::from_bytes(id), %error, "what the store has of a generation cannot be read");
}

fn generation(row: &Row<'_>) -> rusqlite::Result<Result<GenerationRow, Unreadable>> {
    let owner: Option<String> = row.get("owner")?;
    let key: Option<String> = row.get("idempotency_key")?;
    let fingerprint: Option<i64> = row.get("fingerprint")?;
    let record: String = row.get("record")?;
    let request: Option<String> = row.get("request")?;
    let key = key.zip(fingerprint);
    let key = key.map(|(key, fingerprint)| IdempotencyKey { key, fingerprint: fingerprint.cast_unsigned() });
    let new = || {
        Ok(NewGeneration {
            record: serde_json::from_str::<GenerationRecord>(&record)?,
            owner: Owner(owner.map(|id| id.parse().map_err(|_| Unreadable::Owner(id))).transpose()?),
            key,
            request: request.as_deref().map(request_of).transpose()?.unwrap_or_default(),
        })
    };
    let (attempt, crashes) = (row.get("attempt")?, row.get("crashes")?);
    let (taken_up, acquitted, cancelled) = (row.get("taken_up")?, row.get("acquitted")?, row.get("cancelled")?);
    Ok(new().map(|new| GenerationRow { new, attempt, crashes, taken_up, acquitted, cancelled, facts: Vec::new() }))
}

/// A fact, with its file and, where the request wants it `inline`, its base64.
fn fact(row: &Row<'_>, inline: bool) -> rusqlite::Result<Result<(u32, Timestamp, Fact), Unreadable>> {
    let (attempt, at, fact): (u32, String, String) = (row.get("attempt")?, row.get("at")?, row.get("fact")?);
    let file: Option<Vec<u8>> = row.get("file")?;
    let whole = || {
        let mut fact = serde_json::from_str(&fact)?;
        if let Fact::Image(image) = &mut fact {
            image.file = file.map(Bytes::from).unwrap_or_default();
            image.record.b64 = inline.then(|| BASE64.encode(&image.file));
        }
        Ok((attempt, at.parse()?, fact))
    };
    Ok(whole())
}

fn request_of(text: &str) -> Result<GenerationRequest, Unreadable> {
    let json = x0_openapi::parse(text.as_bytes())?;
    match GenerationRequest::read(json) {
        Ok((request, errors)) if errors.is_empty() => Ok(request),
        Ok((_, errors)) => Err(Unreadable::Request(format!("{errors:?}"))),
        Err(error) => Err(Unreadable::Request(format!("{error:?}"))),
    }
}

/// A fact as it is written, and its file, which has a column of its own.
fn without_file(fact: &Fact) -> (Fact, Option<Bytes>) {
    let mut fact = fact.clone();
    let file = match &mut fact {
        Fact::Image(image) => {
            image.record.b64 = None;
            Some(image.file.clone())
        }
        Fact::Queued { .. } | Fact::Started | Fact::Succeeded | Fact::Failed(_) | Fact::Cancelled => None,
    };
    (fact, file)
}

fn is_terminal(fact: &Fact) -> bool {
    match fact {
        Fact::Succeeded | Fact::Failed(_) | Fact::Cancelled => true,
        Fact::Queued { .. } | Fact::Started | Fact::Image(_) => false,
    }
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
