//! Sessions of browsers: kept whole, ended one by one or when they are over.

use fleetbeat::store::StoredSession;

use super::{Backend, sample::at};

fn session(of: u8, made: i64) -> StoredSession {
    StoredSession {
        hash: [of; 32],
        subject: "ada|1".to_owned(),
        name: "Ada Ł".to_owned(),
        groups: r#"["admins"]"#.to_owned(),
        created_at: at(made),
        expires_at: at(made + 10),
    }
}

pub async fn sessions_come_back_as_they_were_the_oldest_first(backend: Backend) {
    let store = backend.store().await;
    let (one, other) = (session(2, 1), session(1, 2));
    store.insert_session(&other, &[]).await.unwrap();
    store.insert_session(&one, &[]).await.unwrap();
    assert_eq!(store.sessions().await.unwrap(), [one, other]);
}

pub async fn a_session_ends_once_or_when_it_is_over(backend: Backend) {
    let store = backend.store().await;
    for (of, made) in [(1, 1), (2, 2), (3, 3)] {
        store.insert_session(&session(of, made), &[]).await.unwrap();
    }
    assert!(store.delete_session(&[3; 32], &[]).await.unwrap());
    assert!(!store.delete_session(&[3; 32], &[]).await.unwrap());
    assert_eq!(store.delete_sessions_over(at(11)).await.unwrap(), 1);
    assert_eq!(store.sessions().await.unwrap(), [session(2, 2)]);
}
