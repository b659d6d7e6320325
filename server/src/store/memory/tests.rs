use futures::StreamExt as _;

use super::*;
use crate::store::tests::{ANYONE, OPTIONS, create, image, line, preview, step, stream};

#[tokio::test]
async fn a_slow_reader_misses_glimpses_but_no_fact() {
    let store = MemoryStore::new(OPTIONS);
    let id = create(&store, 1).await;
    let stream = stream(&store, id, None).await;
    store.append(id, Fact::Started).await.unwrap();
    for k in 1..=1000 {
        store.show(id, step(0, k));
        if k % 100 == 0 {
            store.show(id, preview(k, 3 << 20));
        }
    }
    store.append(id, image(0, 1)).await.unwrap();
    store.append(id, Fact::Succeeded).await.unwrap();
    assert!(store.bytes.load(Ordering::Relaxed) <= (6 << 20), "previews are bounded");
    let seen: Vec<_> = stream.map(|delivery| line(&delivery)).collect().await;
    assert_eq!(seen.len(), 1 + 3 + 64);
    assert_eq!(seen[..3], ["snapshot succeeded 3", "1.1 started", "step 0/938"]);
    assert_eq!(seen[seen.len() - 3..], ["preview 1000", "1.2 image 0", "1.3 succeeded 1"]);
    assert_eq!(store.bytes.load(Ordering::Relaxed), 1, "the last reader takes the glimpses along");
}

#[tokio::test]
async fn what_is_forgotten_does_not_count_although_it_is_read() {
    let store = MemoryStore::new(MemoryStoreOptions { generations: 100, ..OPTIONS });
    let make = async |bytes: usize| {
        let id = create(&store, 1).await;
        store.append(id, image(0, bytes)).await.unwrap();
        store.append(id, Fact::Succeeded).await.unwrap();
        id
    };
    let large = make(900).await;
    let reader = stream(&store, large, None).await;
    let small = [make(10).await, make(20).await];
    // The largest goes; with it the rest has room.
    let last = make(500).await;
    assert!(store.get(ANYONE, large).await.unwrap().is_none());
    for id in [small[0], small[1], last] {
        assert!(store.get(ANYONE, id).await.unwrap().is_some());
    }
    assert_eq!(store.bytes.load(Ordering::Relaxed), 530);
    assert_eq!(reader.count().await, 3, "it is read to its end");
    assert_eq!(store.bytes.load(Ordering::Relaxed), 530);
}
