//! What every store does.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use uuid::Uuid;
use x0_openapi::{
    Event, GenerationError, GenerationRecord, GenerationRequest, ImageFormat, ImageRecord, Named as _, PreviewDecoder,
    PreviewEvent, Seed, State, StepEvent,
};

use super::*;
use crate::generation::{FinishedImage, Glimpse};
use crate::samples::{STEPS, record};

pub(super) const ANYONE: Owner = Owner(None);
const SOMEONE: Owner = Owner(Some(crate::auth::KeyId(7)));
pub(super) const OPTIONS: MemoryStoreOptions =
    MemoryStoreOptions { generations: 3, bytes: 1000, age: Duration::from_secs(3600) };

/// Runs a test on a store of each kind.
macro_rules! on_each_store {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            #[tokio::test]
            async fn in_memory() {
                super::$test(&super::MemoryStore::new(super::OPTIONS)).await;
            }

            #[tokio::test]
            async fn durable() {
                let folder = tempfile::tempdir().unwrap();
                super::$test(&super::DurableStore::open(folder.path(), super::OPTIONS).unwrap().0).await;
            }
        }
    )+};
}

on_each_store!(
    who_follows_from_the_beginning_sees_everything,
    a_resumed_stream_is_the_rest_of_the_uninterrupted_one,
    who_comes_late_sees_the_latest_preview,
    nothing_follows_the_end,
    only_what_has_ended_is_forgotten,
    what_belongs_to_others_is_not_there,
    a_key_stands_for_one_request,
    pages_lead_from_the_newest_to_the_oldest,
);

pub(super) fn new(record: GenerationRecord) -> NewGeneration {
    NewGeneration { record, owner: ANYONE, key: None, request: GenerationRequest::default() }
}

pub(super) async fn create(store: &dyn JobStore, n: u32) -> Uuid {
    let record = record(n);
    let id = record.id;
    assert_eq!(store.create(new(record)).await.unwrap(), Created::New);
    id
}

pub(super) fn image(index: u32, bytes: usize) -> Fact {
    let record = ImageRecord {
        index,
        seed: Seed(7 + u64::from(index)),
        url: format!("/images/{index}"),
        width: 8,
        height: 8,
        format: ImageFormat::Png,
        b64: None,
    };
    Fact::Image(FinishedImage { record, file: vec![0; bytes].into() })
}

pub(super) fn step(index: u32, step: u32) -> Glimpse {
    Glimpse::Step(StepEvent { index, step, steps: STEPS, timestep: 1.0, sigma: 1.0 })
}

pub(super) fn preview(step: u32, bytes: usize) -> Glimpse {
    Glimpse::Preview(PreviewEvent {
        index: 0,
        step,
        steps: STEPS,
        timestep: 1.0,
        sigma: 1.0,
        decoder: PreviewDecoder::Full,
        format: ImageFormat::Png,
        width: 8,
        height: 8,
        b64: "x".repeat(bytes),
    })
}

pub(super) async fn stream(store: &dyn JobStore, id: Uuid, after: Option<&str>) -> BoxStream<'static, Delivery> {
    let after = after.map(|id| id.parse().unwrap());
    match store.follow(ANYONE, id, after).await.unwrap().unwrap() {
        Followed::Stream(stream) => stream,
        Followed::Ended => panic!("the generation has ended"),
    }
}

/// An event in a line: its id, its name, and what tells it from others of its name.
pub(super) fn line(delivery: &Delivery) -> String {
    let id = delivery.id.map(|id| format!("{id} ")).unwrap_or_default();
    let detail = match &*delivery.event {
        Event::Queued(queued) => format!(" {}", queued.position),
        Event::Step(step) => format!(" {}/{}", step.index, step.step),
        Event::Preview(preview) => format!(" {}", preview.step),
        Event::Image(image) => format!(" {}", image.index),
        Event::Snapshot(record) => format!(" {} {}", record.state.name(), record.progress.step),
        Event::Succeeded(record) | Event::Failed(record) | Event::Cancelled(record) => {
            format!(" {}", record.images.len())
        }
        Event::Started(_) | Event::Shutdown(_) => String::new(),
    };
    format!("{id}{}{detail}", delivery.event.name())
}

pub(super) async fn lines(store: &dyn JobStore, id: Uuid, after: Option<&str>) -> Vec<String> {
    stream(store, id, after).await.map(|delivery| line(&delivery)).collect().await
}

/// A whole generation of two images.
pub(super) async fn run(store: &dyn JobStore, id: Uuid) {
    store.append(id, Fact::Queued { position: 2, eta_seconds: Some(1.0) }).await.unwrap();
    store.show(id, Glimpse::Moved { position: 1, eta_seconds: None });
    store.append(id, Fact::Started).await.unwrap();
    store.show(id, step(0, 1));
    store.show(id, preview(1, 10));
    store.show(id, step(1, 1));
    store.show(id, step(0, 2));
    store.append(id, image(0, 10)).await.unwrap();
    store.append(id, image(1, 10)).await.unwrap();
    store.append(id, Fact::Succeeded).await.unwrap();
}

async fn who_follows_from_the_beginning_sees_everything(store: &dyn JobStore) {
    let id = create(store, 2).await;
    let stream = stream(store, id, None).await;
    run(store, id).await;
    let seen: Vec<_> = stream.map(|delivery| line(&delivery)).collect().await;
    assert_eq!(
        seen,
        [
            "snapshot succeeded 6",
            "1.1 queued 2",
            "queued 1",
            "1.2 started",
            "step 0/1",
            "preview 1",
            "step 1/1",
            "step 0/2",
            "1.3 image 0",
            "1.4 image 1",
            "1.5 succeeded 2",
        ]
    );
}

async fn a_resumed_stream_is_the_rest_of_the_uninterrupted_one(store: &dyn JobStore) {
    let id = create(store, 2).await;
    run(store, id).await;
    let whole = lines(store, id, None).await;
    let facts: Vec<_> = whole.into_iter().filter(|line| line.starts_with("1.")).collect();
    assert_eq!(facts.len(), 5);
    for cut in 0..facts.len() {
        let mut expected = vec!["snapshot succeeded 6".to_owned()];
        expected.extend_from_slice(&facts[cut..]);
        assert_eq!(lines(store, id, Some(&format!("1.{cut}"))).await, expected);
    }
    let after_the_end = store.follow(ANYONE, id, "1.5".parse().ok()).await.unwrap();
    assert!(matches!(after_the_end, Some(Followed::Ended)));
    for unknown in ["1.6", "2.1", "1.4000000000"] {
        assert_eq!(lines(store, id, Some(unknown)).await.len(), 6, "{unknown} is as good as none");
    }
}

async fn who_comes_late_sees_the_latest_preview(store: &dyn JobStore) {
    let id = create(store, 1).await;
    store.append(id, Fact::Started).await.unwrap();
    for k in 1..=2 {
        store.show(id, step(0, k));
        store.show(id, preview(k, 10));
    }
    let mut stream = stream(store, id, Some("1.1")).await;
    for expected in ["snapshot running 2", "preview 2"] {
        assert_eq!(line(&stream.next().await.unwrap()), expected);
    }
}

async fn nothing_follows_the_end(store: &dyn JobStore) {
    let id = create(store, 1).await;
    store.append(id, Fact::Cancelled).await.unwrap();
    let error = GenerationError { code: x0_openapi::ErrorCode::ModelError, message: "late".to_owned() };
    for fact in [Fact::Succeeded, Fact::Failed(error), Fact::Started, image(0, 1)] {
        store.append(id, fact).await.unwrap();
    }
    store.show(id, step(0, 1));
    let record = store.get(ANYONE, id).await.unwrap().unwrap();
    assert_eq!((record.state, record.images.len(), record.error), (State::Cancelled, 0, None));
    assert_eq!(lines(store, id, None).await, ["snapshot cancelled 0", "1.1 cancelled 0"]);
}

async fn only_what_has_ended_is_forgotten(store: &dyn JobStore) {
    let mut ids = Vec::new();
    for k in 0..6 {
        let id = create(store, 1).await;
        if k >= 2 {
            store.append(id, image(0, 10)).await.unwrap();
            store.append(id, Fact::Succeeded).await.unwrap();
        }
        ids.push(id);
    }
    let known: Vec<bool> = futures::future::join_all(ids.iter().map(|id| store.get(ANYONE, *id)))
        .await
        .into_iter()
        .map(|record| record.unwrap().is_some())
        .collect();
    assert_eq!(known, [true, true, false, false, false, true], "two live ones and the newest");

    let large = create(store, 1).await;
    store.append(large, image(0, 2000)).await.unwrap();
    assert!(store.get(ANYONE, ids[5]).await.unwrap().is_none(), "bytes count, too");
    assert!(store.image(ANYONE, large, 0).await.unwrap().is_some());
}

async fn pages_lead_from_the_newest_to_the_oldest(store: &dyn JobStore) {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(create(store, 1).await);
    }
    store.append(ids[3], Fact::Cancelled).await.unwrap();
    ids.reverse();
    let page = |after, state| async move {
        let list = store.list(ANYONE, Page { limit: 2, after, state }).await.unwrap();
        (list.data.iter().map(|record| record.id).collect::<Vec<_>>(), list.has_more)
    };
    assert_eq!(page(None, None).await, (ids[..2].to_vec(), true));
    assert_eq!(page(Some(ids[1]), None).await, (ids[2..4].to_vec(), true));
    assert_eq!(page(Some(ids[3]), None).await, (ids[4..].to_vec(), false));
    assert_eq!(page(None, Some(State::Cancelled)).await, (vec![ids[1]], false));
}

async fn what_belongs_to_others_is_not_there(store: &dyn JobStore) {
    let id = create(store, 1).await;
    store.append(id, image(0, 10)).await.unwrap();
    assert!(store.get(ANYONE, id).await.unwrap().is_some() && store.get(SOMEONE, id).await.unwrap().is_none());
    assert!(store.image(SOMEONE, id, 0).await.unwrap().is_none());
    assert!(store.follow(SOMEONE, id, None).await.unwrap().is_none());
    let all = Page { limit: 10, after: None, state: None };
    assert!(store.list(SOMEONE, all).await.unwrap().data.is_empty());
    assert_eq!(store.list(ANYONE, all).await.unwrap().data.len(), 1);
}

async fn a_key_stands_for_one_request(store: &dyn JobStore) {
    let first = record(1);
    let key = |fingerprint| Some(IdempotencyKey { key: "k".to_owned(), fingerprint });
    let create =
        |record: GenerationRecord, fingerprint| store.create(NewGeneration { key: key(fingerprint), ..new(record) });
    assert_eq!(create(first.clone(), 1).await.unwrap(), Created::New);
    assert_eq!(create(record(1), 1).await.unwrap(), Created::Replayed(first.id));
    assert_eq!(create(record(1), 2).await.unwrap(), Created::Mismatch);
    store.discard(first.id).await.unwrap();
    assert_eq!(create(record(1), 2).await.unwrap(), Created::New, "a request that was never accepted leaves no key");
    let others = NewGeneration { owner: SOMEONE, key: key(1), ..new(record(1)) };
    assert_eq!(store.create(others).await.unwrap(), Created::New, "keys of others are other keys");
}
