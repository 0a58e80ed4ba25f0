//! Silences: kept whole, ended once, forgotten by id.

use fleetbeat::store::StoredSilence;
use uuid::Uuid;

use super::{Backend, sample::at};

fn silence(comment: &str, made: i64) -> StoredSilence {
    StoredSilence {
        id: Uuid::now_v7(),
        comment: comment.to_owned(),
        label_selector: Some("env in (lab,prod)".to_owned()),
        cluster_ids: "[]".to_owned(),
        scope: r#"{"everything":true}"#.to_owned(),
        starts_at: at(made),
        ends_at: at(made + 60),
        rrule: Some("FREQ=WEEKLY;BYDAY=SU".to_owned()),
        time_zone: "Europe/Berlin".to_owned(),
        created_by: Some("token:first".to_owned()),
        created_at: at(made),
        ended_by: None,
        ended_at: None,
    }
}

pub async fn silences_come_back_as_they_were_the_oldest_first(backend: Backend) {
    let store = backend.store().await;
    let bare = StoredSilence { label_selector: None, rrule: None, created_by: None, ..silence("bäre", 1) };
    let ended = StoredSilence { ended_by: Some("local".to_owned()), ended_at: Some(at(9)), ..silence("ended", 3) };
    let whole = silence("whole", 2);
    for one in [&whole, &ended, &bare] {
        store.insert_silence(one, &[]).await.unwrap();
    }
    assert_eq!(store.silences().await.unwrap(), [bare, whole, ended]);
}

pub async fn a_silence_is_ended_once_and_stays_in_the_list(backend: Backend) {
    let store = backend.store().await;
    let kept = silence("kept", 1);
    store.insert_silence(&kept, &[]).await.unwrap();
    assert!(store.end_silence(kept.id, at(5), Some("somebody"), &[]).await.unwrap());
    assert!(!store.end_silence(kept.id, at(6), None, &[]).await.unwrap());
    assert!(!store.end_silence(Uuid::now_v7(), at(6), None, &[]).await.unwrap());
    let ended = StoredSilence { ended_by: Some("somebody".to_owned()), ended_at: Some(at(5)), ..kept };
    assert_eq!(store.silences().await.unwrap(), [ended]);
}

pub async fn silences_are_forgotten_by_their_ids(backend: Backend) {
    let store = backend.store().await;
    let (gone, kept) = (silence("gone", 1), silence("kept", 2));
    store.insert_silence(&gone, &[]).await.unwrap();
    store.insert_silence(&kept, &[]).await.unwrap();
    assert_eq!(store.forget_silences(&[gone.id, Uuid::now_v7()]).await.unwrap(), 1);
    assert_eq!(store.forget_silences(&[]).await.unwrap(), 0);
    assert_eq!(store.silences().await.unwrap(), [kept]);
}
