//! Tokens of the API: kept whole, revoked once.

use fleetbeat::store::StoredToken;
use uuid::Uuid;

use super::{Backend, sample::at};

fn token(name: &str, made: i64) -> StoredToken {
    StoredToken {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        hash: [7; 32],
        role: "viewer".to_owned(),
        scope: r#"{"label_selector":"env=lab"}"#.to_owned(),
        created_by: Some("token:first".to_owned()),
        created_at: at(made),
        expires_at: Some(at(made + 10)),
        revoked_at: None,
    }
}

pub async fn tokens_come_back_as_they_were_the_oldest_first(backend: Backend) {
    let store = backend.store().await;
    let bare = StoredToken { created_by: None, expires_at: None, ..token("bare", 1) };
    let whole = token("whole", 2);
    store.insert_token(&whole, &[]).await.unwrap();
    store.insert_token(&bare, &[]).await.unwrap();
    assert_eq!(store.tokens().await.unwrap(), [bare, whole]);
}

pub async fn a_token_is_revoked_once_and_stays_in_the_list(backend: Backend) {
    let store = backend.store().await;
    let kept = token("kept", 1);
    store.insert_token(&kept, &[]).await.unwrap();
    assert!(store.revoke_token(kept.id, at(5), &[]).await.unwrap());
    assert!(!store.revoke_token(kept.id, at(6), &[]).await.unwrap());
    assert!(!store.revoke_token(Uuid::now_v7(), at(6), &[]).await.unwrap());
    assert_eq!(store.tokens().await.unwrap()[0].revoked_at, Some(at(5)));
}

pub async fn tokens_that_ended_long_ago_are_forgotten(backend: Backend) {
    let store = backend.store().await;
    let endless = StoredToken { expires_at: None, ..token("endless", 1) };
    let revoked = StoredToken { expires_at: None, ..token("revoked", 2) };
    let [ended, valid] = [token("ended", 3), token("valid", 20)];
    for token in [&endless, &revoked, &ended, &valid] {
        store.insert_token(token, &[]).await.unwrap();
    }
    store.revoke_token(revoked.id, at(15), &[]).await.unwrap();
    assert_eq!(store.forget_tokens(at(13)).await.unwrap(), 0, "it ends at 13");
    assert_eq!(store.forget_tokens(at(14)).await.unwrap(), 1);
    assert_eq!(store.forget_tokens(at(16)).await.unwrap(), 1);
    assert_eq!(store.tokens().await.unwrap(), [endless, valid]);
}
