use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use tempfile::TempDir;
use x0_openapi::{ErrorCode, GenerationError, Seed, State};

use super::*;
use crate::auth::KeyId;
use crate::samples::record;
use crate::store::IdempotencyKey;
use crate::store::tests::{ANYONE, OPTIONS, create, image, lines, new, run};

fn open(folder: &TempDir) -> (DurableStore, Vec<Unfinished>) {
    DurableStore::open(folder.path(), OPTIONS).unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// How many files there are in the folder, of the store and set aside.
fn files(folder: &TempDir) -> usize {
    folder.path().read_dir().unwrap().count()
}

#[tokio::test]
async fn what_has_ended_is_the_same_for_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let (store, unfinished) = open(&folder);
    assert!(unfinished.is_empty());
    let made = create(&store, 2).await;
    run(&store, made).await;
    let failed = create(&store, 1).await;
    let error = GenerationError { code: ErrorCode::NanOutput, message: "why".to_owned() };
    store.append(failed, Fact::Failed(error)).await.unwrap();
    // Glimpses are for those who watch.
    let facts = |lines: Vec<String>| lines.into_iter().filter(|line| line.starts_with("1.")).collect::<Vec<_>>();
    let before = (
        store.list(ANYONE, Page { limit: 9, after: None, state: None }).await.unwrap(),
        facts(lines(&store, made, None).await),
        store.image(ANYONE, made, 1).await.unwrap(),
    );
    drop(store);
    let (store, unfinished) = open(&folder);
    assert!(unfinished.is_empty());
    let after = (
        store.list(ANYONE, Page { limit: 9, after: None, state: None }).await.unwrap(),
        facts(lines(&store, made, None).await),
        store.image(ANYONE, made, 1).await.unwrap(),
    );
    assert_eq!(before, after);
    assert!(matches!(store.follow(ANYONE, made, "1.5".parse().ok()).await.unwrap(), Some(Followed::Ended)));
}

#[tokio::test]
async fn what_has_not_ended_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    let request = GenerationRequest { seed: Some(Seed(u64::MAX)), strength: Some(0.1), ..Default::default() };
    let owner = Owner(Some(KeyId(u64::MAX)));
    let (waits, runs) = (record(1), record(2));
    for record in [&waits, &runs] {
        let new = NewGeneration { owner, request: request.clone(), ..new(record.clone()) };
        store.create(new).await.unwrap();
    }
    store.append(runs.id, Fact::Queued { position: 1, eta_seconds: None }).await.unwrap();
    store.append(runs.id, Fact::Started).await.unwrap();
    store.append(runs.id, image(1, 10)).await.unwrap();
    drop(store);

    let (store, unfinished) = open(&folder);
    let left: Vec<_> = unfinished.iter().map(|one| (one.id, one.owner, one.created_at, one.crashes)).collect();
    assert_eq!(left, [(waits.id, owner, waits.created_at, 0), (runs.id, owner, runs.created_at, 1)]);
    assert!(unfinished.iter().all(|one| one.request == request));
    let record = store.get(owner, runs.id).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.position, record.started_at, record.progress.step),
        (State::Queued, Some(1), None, 0)
    );
    assert_eq!(record.images.len(), 1, "what is made stays made");

    // The second run makes both images; the one that is there is no news.
    for fact in [Fact::Started, image(0, 10), image(1, 10), Fact::Succeeded] {
        store.append(runs.id, fact).await.unwrap();
    }
    let seen = move |store: DurableStore| async move {
        let Some(Followed::Stream(stream)) = store.follow(owner, runs.id, "1.2".parse().ok()).await.unwrap() else {
            panic!("nothing is to be followed")
        };
        use futures::StreamExt as _;
        let line = |delivery: super::super::Delivery| {
            format!("{} {}", delivery.id.map_or("-".to_owned(), |id| id.to_string()), delivery.event.name())
        };
        (stream.map(line).collect::<Vec<_>>().await, store)
    };
    let expected = ["- snapshot", "1.3 image", "2.1 queued", "2.2 started", "2.3 image", "2.4 succeeded"];
    let (lines, store) = seen(store).await;
    assert_eq!(lines, expected);
    drop(store);
    let (store, unfinished) = open(&folder);
    assert_eq!(unfinished.iter().map(|one| (one.id, one.crashes)).collect::<Vec<_>>(), [(waits.id, 0)]);
    assert_eq!(seen(store).await.0, expected);
}

#[tokio::test]
async fn only_breaking_down_counts_against_a_generation() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    let id = create(&store, 1).await;
    drop(store);
    for (taken_up, started, stopped, crashes) in [
        (false, false, false, 0),
        (false, true, true, 0),
        (false, true, false, 1),
        (true, true, true, 1),
        (false, false, false, 1),
        // The process may break down before it has written that something began.
        (true, false, false, 2),
        (true, true, false, 3),
    ] {
        let (store, _) = open(&folder);
        if taken_up {
            store.taking_up(id).await.unwrap();
        }
        if stopped {
            store.acquit_all().await.unwrap();
        }
        if started {
            store.append(id, Fact::Started).await.unwrap();
        }
        drop(store);
        let (_, unfinished) = open(&folder);
        assert_eq!(unfinished[0].crashes, crashes);
    }
}

#[tokio::test]
async fn what_was_to_be_cancelled_is() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    let id = create(&store, 1).await;
    store.append(id, Fact::Started).await.unwrap();
    for _ in 0..2 {
        store.cancelling(id);
    }
    drop(store);
    for _ in 0..2 {
        let (store, unfinished) = open(&folder);
        assert!(unfinished.is_empty());
        assert_eq!(lines(&store, id, None).await, ["snapshot cancelled 0", "1.1 started", "1.2 cancelled 0"]);
    }
}

#[tokio::test]
async fn what_is_written_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("made");
    let (store, _) = DurableStore::open(&inner, OPTIONS).unwrap();
    create(&store, 1).await;
    assert_eq!(mode(&inner), 0o700);
    for entry in inner.read_dir().unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn a_key_finds_its_generation_in_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    let key = |fingerprint| Some(IdempotencyKey { key: "k".to_owned(), fingerprint });
    let first = record(1);
    store.create(NewGeneration { key: key(u64::MAX), ..new(first.clone()) }).await.unwrap();
    drop(store);
    let (store, _) = open(&folder);
    let again = |fingerprint| store.create(NewGeneration { key: key(fingerprint), ..new(record(1)) });
    assert_eq!(again(u64::MAX).await.unwrap(), Created::Replayed(first.id));
    assert_eq!(again(2).await.unwrap(), Created::Mismatch);
    store.discard(first.id).await.unwrap();
    drop(store);
    let (store, unfinished) = open(&folder);
    assert!(unfinished.is_empty());
    assert_eq!(store.create(NewGeneration { key: key(2), ..new(record(1)) }).await.unwrap(), Created::New);
}

#[tokio::test]
async fn what_the_memory_forgets_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    let mut ids = Vec::new();
    for _ in 0..5 {
        let id = create(&store, 1).await;
        store.append(id, image(0, 10)).await.unwrap();
        store.append(id, Fact::Succeeded).await.unwrap();
        ids.push(id);
    }
    drop(store);
    let (_, rows) = Database::open(folder.path()).unwrap();
    assert_eq!(rows.iter().map(|row| row.new.record.id).collect::<Vec<_>>(), ids[2..]);
}

/// A machine whose clock is not set yet when it starts.
#[tokio::test]
async fn a_clock_that_was_set_back_makes_nothing_old() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder);
    let ids = [create(&store, 1).await, create(&store, 1).await];
    drop(store);
    let (database, _) = Database::open(folder.path()).unwrap();
    let later = now() + jiff::SignedDuration::from_hours(24 * 7);
    for id in ids {
        database.write(Write::Append { id, at: later, fact: Fact::Succeeded }).await.unwrap();
    }
    drop(database);
    let (store, _) = open(&folder);
    create(&store, 1).await;
    for id in ids {
        assert!(store.get(ANYONE, id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_folder_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, _) = open(&folder);
    assert!(matches!(DurableStore::open(folder.path(), OPTIONS), Err(OpenStoreError::InUse)));
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("generations.sqlite"), [7; 10_000]).unwrap();
    let (store, unfinished) = open(&folder);
    assert!(unfinished.is_empty() && files(&folder) >= 2);
    create(&store, 1).await;
    for file in ["generations.sqlite", "generations.sqlite-wal"] {
        assert_eq!(mode(&folder.path().join(file)), 0o600, "the new one is its owner's, too");
    }
    drop(store);
    assert_eq!(open(&folder).1.len(), 1);
}

#[tokio::test]
async fn a_later_versions_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    let file = rusqlite::Connection::open(folder.path().join("generations.sqlite")).unwrap();
    file.pragma_update(None, "user_version", 1000).unwrap();
    drop(file);
    assert!(matches!(DurableStore::open(folder.path(), OPTIONS), Err(OpenStoreError::Newer)));
}

/// What may happen in any order.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Create,
    Start(usize),
    Image(usize, u32),
    End(usize),
    TakeUp(usize),
    Reopen,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        Just(Happens::Create),
        (0_usize..4).prop_map(Happens::Start),
        (0_usize..4, 0_u32..2).prop_map(|(which, index)| Happens::Image(which, index)),
        (0_usize..4).prop_map(Happens::End),
        (0_usize..4).prop_map(Happens::TakeUp),
        Just(Happens::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However often a process ends: what was accepted is there, ends once, keeps its images, and is unfinished until then.
    #[test]
    fn nothing_is_lost_between_processes(script in prop::collection::vec(happens(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let options = MemoryStoreOptions { generations: 100, bytes: 1 << 20, ..OPTIONS };
            let (mut store, _) = DurableStore::open(folder.path(), options).unwrap();
            let mut made: Vec<(Uuid, Vec<u32>, bool)> = Vec::new();
            for happens in script {
                match happens {
                    Happens::Create => made.push((create(&store, 2).await, Vec::new(), false)),
                    Happens::Start(which) => {
                        if let Some((id, ..)) = made.get(which) {
                            store.append(*id, Fact::Started).await.unwrap();
                        }
                    }
                    Happens::Image(which, index) => {
                        if let Some((id, images, ended)) = made.get_mut(which) {
                            store.append(*id, image(index, 10)).await.unwrap();
                            if !*ended && !images.contains(&index) {
                                images.push(index);
                                images.sort_unstable();
                            }
                        }
                    }
                    Happens::End(which) => {
                        if let Some((id, _, ended)) = made.get_mut(which) {
                            store.append(*id, Fact::Cancelled).await.unwrap();
                            *ended = true;
                        }
                    }
                    Happens::TakeUp(which) => {
                        if let Some((id, ..)) = made.get(which) {
                            store.taking_up(*id).await.unwrap();
                        }
                    }
                    Happens::Reopen => {
                        drop(store);
                        let unfinished;
                        (store, unfinished) = DurableStore::open(folder.path(), options).unwrap();
                        assert!(unfinished.is_sorted_by_key(|one| (one.crashes, one.id)), "suspects come last");
                        let mut left: Vec<_> = unfinished.iter().map(|one| one.id).collect();
                        left.sort();
                        let expected: Vec<_> = made.iter().filter(|(.., ended)| !ended).map(|(id, ..)| *id).collect();
                        assert_eq!(left, expected);
                    }
                }
                for (id, images, ended) in &made {
                    let record = store.get(ANYONE, *id).await.unwrap().unwrap();
                    assert_eq!(record.state.is_terminal(), *ended);
                    assert_eq!(record.images.iter().map(|image| image.index).collect::<Vec<_>>(), *images);
                    for index in images {
                        assert!(store.image(ANYONE, *id, *index).await.unwrap().is_some());
                    }
                }
            }
        });
    }
}
