use std::convert::Infallible;

use x0_engine::fake::{self, FakeDenoiser};
use x0_engine::{Engine, EngineOptions};
use x0_model::Channels;

use super::*;
use crate::auth::Owner;
use crate::generation::{Inboxes, Outlet};
use crate::samples;
use crate::shutdown::Lifecycle;
use crate::store::{MemoryStore, MemoryStoreOptions, NewGeneration};
use x0_openapi::{GenerationRequest, State};

/// Lets a recorder write down `events` of a generation of `n` images, with the engine gone after them. Gives the record.
async fn recorded(n: u32, events: Vec<Event<Picture>>) -> x0_openapi::GenerationRecord {
    let options = MemoryStoreOptions { generations: 1, bytes: 1 << 20, age: Duration::from_secs(60) };
    let store = Arc::new(MemoryStore::new(options));
    let metrics = Metrics::new("cpu").unwrap();
    let outlet = Outlet::new(Arc::new(Inboxes::default()), metrics.clone(), Lifecycle::new());
    let denoiser = || Ok::<_, Infallible>(FakeDenoiser::adapted(|_: &Work| fake::Work::default(), |_| picture()));
    let engine = Engine::spawn(EngineOptions::default(), denoiser, outlet).unwrap();

    let record = samples::record(n);
    let id = record.id;
    let new = NewGeneration { record, owner: Owner(None), key: None, request: GenerationRequest::default() };
    store.create(new).await.unwrap();
    let recorder = Recorder {
        id,
        order: samples::order(n),
        store: store.clone(),
        engine: engine.handle(),
        metrics: metrics.clone(),
        encoders: Arc::new(Semaphore::new(1)),
        accepted: Instant::now(),
        queued: false,
        waits: None,
        phase: Span::none(),
    };
    let (sender, inbox) = mpsc::channel(64);
    for event in events {
        sender.send(event).await.unwrap();
    }
    drop(sender);
    recorder.run(inbox).await;
    let record = store.get(Owner(None), id).await.unwrap().unwrap();
    let outcome = x0_openapi::Named::name(record.state);
    let line = format!("x0_jobs_finished_total{{model=\"toy\",outcome=\"{outcome}\"}} 1");
    assert!(metrics.render().contains(&line), "{line}");
    record
}

fn picture() -> Picture {
    Picture { width: 8, height: 8, channels: Channels::Gray, bytes: vec![7; 64] }
}

#[tokio::test]
async fn a_generation_ends_even_when_the_engine_is_gone() {
    let record = recorded(2, vec![Event::Started, Event::Image { image: 0, picture: picture() }]).await;
    assert_eq!((record.state, record.images.len()), (State::Failed, 1));
    assert_eq!(record.error.unwrap().code, ErrorCode::EngineUnavailable);
}

#[tokio::test]
async fn a_picture_that_cannot_be_encoded_fails_its_generation() {
    let empty = Picture { width: 0, height: 0, channels: Channels::Gray, bytes: Vec::new() };
    let record = recorded(1, vec![Event::Started, Event::Image { image: 0, picture: empty }, Event::Succeeded]).await;
    assert_eq!((record.state, record.images.len()), (State::Failed, 0));
    assert_eq!(record.error.unwrap().code, ErrorCode::InternalError);
}

#[tokio::test]
async fn the_place_in_the_queue_is_a_fact_once_and_then_a_glimpse() {
    let queued = |position| Event::Queued { position, eta: Duration::from_millis(1500) };
    let record = recorded(1, vec![queued(2), queued(1), Event::Started, Event::Cancelled]).await;
    assert_eq!(record.state, State::Cancelled);
    assert_eq!((record.position, record.eta_seconds), (None, None));
}
