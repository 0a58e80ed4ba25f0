//! Opening: again, twice at once, and a database that is not ours to touch.

use std::os::unix::fs::PermissionsExt;

use fleetbeat::store::OpenError;
use fleetbeat_actors::{
    health::State,
    ports::{Batch, StoreError},
};

use super::{
    Backend,
    sample::{at, event, register, rollup, status, transition, window_start},
};

pub async fn opening_again_finds_everything(backend: Backend) {
    let store = backend.store().await;
    let id = register(&*store, &["spoke"], 10).await[0].id;
    let batch = Batch {
        statuses: vec![(id, status(7, State::Online).into())],
        transitions: vec![transition(id, 5, State::Unknown, State::Online)],
        events: vec![event(id, 11, 2)],
        rollups: vec![rollup(id, 0, 1)],
        alive_at: Some(at(9)),
    };
    store.record(&batch).await.unwrap();
    store.mark_published(10).await.unwrap();
    store.close().await;

    let store = backend.store().await;
    let stored = store.fetch(None).await.unwrap().remove(0);
    assert_eq!((stored.status, stored.sequence), (status(7, State::Online), 2));
    assert_eq!(store.transitions(id, at(0), at(10), 10).await.unwrap().len(), 1);
    assert_eq!(store.rollups(id, window_start(0), window_start(1)).await.unwrap().len(), 1);
    assert_eq!(store.last_alive().await.unwrap(), Some(at(9)));
    assert_eq!((store.head().await.unwrap(), store.published().await.unwrap()), (11, 10));
}

pub async fn a_closed_store_says_that_it_is_unavailable(backend: Backend) {
    let store = backend.store().await;
    store.close().await;
    for answer in [store.ping().await, store.mark_published(1).await] {
        assert!(matches!(answer, Err(StoreError::Unavailable { doubtful: false, .. })), "{answer:?}");
    }
}

pub async fn a_database_newer_than_the_binary_is_refused(backend: Backend) {
    backend.store().await.close().await;
    backend
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (4711, 'of the future', true, x'00', 0)",
            "INSERT INTO clusters.migrations (version, description, success, checksum, execution_time) \
             VALUES (4711, 'of the future', true, '\\x00', 0)",
        )
        .await;
    let refused = backend.try_store().await.err().unwrap();
    assert!(matches!(refused, OpenError::Newer { found: 4711, .. }), "{refused:?}");
    assert!(refused.to_string().contains("schema version 4711, this fleetbeat knows versions up to"), "{refused}");
}

pub async fn several_may_open_a_new_database_at_once(backend: Backend) {
    let opened = futures_util::future::join_all((0..4).map(|_| backend.try_store())).await;
    let mut count = 0;
    for answer in opened {
        match answer {
            Ok(store) => {
                store.ping().await.unwrap();
                count += 1;
            }
            Err(refused) => assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}"),
        }
    }
    assert_eq!(count, 1, "a database has one owner");
}

pub async fn nobody_else_may_read_an_embedded_database(backend: Backend) {
    let Some(file) = backend.file() else { return };
    let store = backend.store().await;
    register(&*store, &["spoke"], 10).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    for entry in std::fs::read_dir(file.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

pub async fn no_password_is_displayed(backend: Backend) {
    let text = format!("{:?}", backend.options);
    assert!(!text.contains("pa$$word") && !text.contains("pa%24%24word"), "{text}");
}
