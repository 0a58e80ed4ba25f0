//! Webhooks: kept whole with their cursors; dead letters move with them, in bounded numbers.

use std::sync::Arc;

use fleetbeat::store::{DeadLetter, StoredWebhook, WebhookCursor, WebhookSeal};
use fleetbeat_actors::{
    event::{Event, EventDraft, EventType},
    roll::ClusterId,
};
use serde_json::json;
use uuid::Uuid;

use super::{Backend, sample::at};

fn webhook(name: &str, made: i64) -> StoredWebhook {
    StoredWebhook {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        format: "cloudevents".to_owned(),
        shown_url: "https://hooks.example/Ł?…".to_owned(),
        event_types: r#"["CLUSTER_DELETED"]"#.to_owned(),
        label_selector: "env in (lab)".to_owned(),
        scope: r#"{"everything":true}"#.to_owned(),
        enabled: true,
        signed: false,
        created_by: Some("token:first".to_owned()),
        created_at: at(made),
        updated_at: at(made + 1),
        seal: WebhookSeal { key_id: "k".to_owned(), nonce: vec![1; 12], sealed: vec![2; 40] },
    }
}

fn letter(webhook: &StoredWebhook, position: i64) -> DeadLetter {
    let draft =
        EventDraft::new(EventType::ClusterDeleted, ClusterId(Uuid::from_u128(7)), at(3), json!({ "n": position }));
    DeadLetter {
        webhook_id: webhook.id,
        event: Arc::new(Event::place(draft, position, position)),
        buried_at: at(4),
        attempts: 3,
        reason: "exhausted".to_owned(),
        last_error: Some("timeout".to_owned()),
    }
}

fn cursor(position: i64) -> WebhookCursor {
    WebhookCursor::beginning(position, at(1))
}

pub async fn webhooks_come_back_as_they_were_with_their_cursors(backend: Backend) {
    let store = backend.store().await;
    let (one, other) = (webhook("one", 1), StoredWebhook { created_by: None, ..webhook("other", 2) });
    store.insert_webhook(&other, 20, &[]).await.unwrap();
    store.insert_webhook(&one, 10, &[]).await.unwrap();
    assert_eq!(
        store.webhooks().await.unwrap(),
        [(one.clone(), cursor(10)), (other.clone(), WebhookCursor::beginning(20, at(2)))]
    );
    let (waiting, gone) =
        (WebhookCursor { position: 12, attempts: 4, retry_at: Some(at(9)), heard_to: at(8) }, Uuid::now_v7());
    store.mark_webhooks(&[(one.id, waiting.clone()), (gone, cursor(99))]).await.unwrap();
    let changed = StoredWebhook { enabled: false, name: "renamed".to_owned(), ..other };
    assert!(store.update_webhook(&changed, Some(30), &[]).await.unwrap());
    assert!(!store.update_webhook(&webhook("unknown", 3), None, &[]).await.unwrap());
    assert_eq!(
        store.webhooks().await.unwrap(),
        [(one.clone(), waiting), (changed, WebhookCursor::beginning(30, at(3)))]
    );
    assert!(store.delete_webhook(one.id, &[]).await.unwrap());
    assert!(!store.delete_webhook(one.id, &[]).await.unwrap());
    assert_eq!(store.webhooks().await.unwrap().len(), 1);
}

pub async fn a_name_is_taken_by_one_webhook(backend: Backend) {
    let store = backend.store().await;
    store.insert_webhook(&webhook("same", 1), 0, &[]).await.unwrap();
    assert!(store.insert_webhook(&webhook("same", 2), 0, &[]).await.is_err());
    assert_eq!(store.webhooks().await.unwrap().len(), 1);
}

pub async fn a_seal_is_replaced_only_where_it_is_still_the_old_one(backend: Backend) {
    let store = backend.store().await;
    let kept = webhook("kept", 1);
    store.insert_webhook(&kept, 0, &[]).await.unwrap();
    let seal = WebhookSeal { key_id: "new".to_owned(), nonce: vec![3; 12], sealed: vec![4; 40] };
    let old = kept.seal.nonce.clone();
    assert_eq!(store.reseal_webhooks(&[(kept.id, old.clone(), seal.clone())], &[]).await.unwrap(), 1);
    assert_eq!(store.reseal_webhooks(&[(kept.id, old, kept.seal.clone())], &[]).await.unwrap(), 0);
    assert_eq!(store.webhooks().await.unwrap()[0].0.seal, seal);
}

pub async fn a_dead_letter_and_its_cursor_are_stored_together_and_the_oldest_go(backend: Backend) {
    let store = backend.store().await;
    let (one, other) = (webhook("one", 1), webhook("other", 2));
    for hook in [&one, &other] {
        store.insert_webhook(hook, 0, &[]).await.unwrap();
    }
    let letters: Vec<_> = (1..=4).map(|position| letter(&one, position)).collect();
    assert_eq!(store.bury_letter(&letter(&other, 9), &cursor(9), 3).await.unwrap(), 0);
    for (position, letter) in (1..).zip(&letters) {
        assert_eq!(store.bury_letter(letter, &cursor(position), 3).await.unwrap(), u64::from(position == 4));
    }
    // The same again, as after a commit of unknown outcome.
    assert_eq!(store.bury_letter(&letters[3], &cursor(4), 3).await.unwrap(), 0);
    assert_eq!(store.webhooks().await.unwrap()[0].1, cursor(4));
    assert_eq!(store.dead_letters(one.id, 0, 10).await.unwrap(), letters[1..]);
    assert_eq!(store.dead_letters(one.id, 2, 1).await.unwrap(), letters[2..3]);
    let mut counts = store.count_letters().await.unwrap();
    counts.sort_by_key(|(_, count)| *count);
    assert_eq!(counts, [(other.id, 1), (one.id, 3)]);
    // Of a webhook that is gone nothing is kept.
    assert_eq!(store.bury_letter(&letter(&webhook("gone", 3), 5), &cursor(5), 3).await.unwrap(), 0);
    assert_eq!(store.count_letters().await.unwrap().len(), 2);
}

pub async fn a_dead_letter_is_tried_again_or_removed(backend: Backend) {
    let store = backend.store().await;
    let hook = webhook("one", 1);
    store.insert_webhook(&hook, 0, &[]).await.unwrap();
    let letter = letter(&hook, 1);
    let event = letter.event.event_id;
    store.bury_letter(&letter, &cursor(1), 3).await.unwrap();
    assert!(store.retried_letter(hook.id, event, "refused", &[]).await.unwrap());
    let again = store.dead_letter(hook.id, event).await.unwrap().unwrap();
    assert_eq!((again.attempts, again.last_error.as_deref()), (4, Some("refused")));
    assert!(store.remove_letter(hook.id, event, &[]).await.unwrap());
    assert!(!store.remove_letter(hook.id, event, &[]).await.unwrap());
    assert!(!store.retried_letter(hook.id, event, "refused", &[]).await.unwrap());
    assert_eq!(store.dead_letter(hook.id, event).await.unwrap(), None);
    store.bury_letter(&letter, &cursor(1), 3).await.unwrap();
    store.delete_webhook(hook.id, &[]).await.unwrap();
    assert_eq!(store.count_letters().await.unwrap(), []);
}
