//! The audit log: rows chained without gaps, written with what they tell of, and every tampering found.

use std::sync::Arc;

use chrono::TimeDelta;
use fleetbeat::{
    audit::{Action, Broken, Fault, Origin, verify},
    store::{AuditEntry, AuditFilter, AuditOrder, AuditOutcome, AuditRow, Store, StoredToken},
};
use fleetbeat_actors::{health::Status, ports::StoreError, roll::ClusterId};
use serde_json::json;
use uuid::Uuid;

use super::{
    Backend,
    sample::{at, cluster, event, register},
};

fn entry(seconds: i64) -> AuditEntry {
    Origin::system("a test").did(Action::ClusterUpdate, at(seconds)).with("n", json!(seconds))
}

/// An entry with every field set.
fn full(seconds: i64) -> AuditEntry {
    let origin = Origin {
        actor: "token:1".into(),
        name: Some("ops \u{1F4A5}'\";--".into()),
        method: "token",
        address: Some("[::1]:4711".parse().unwrap()),
        request_id: Some("request-1".into()),
    };
    let entry = origin.did(Action::TokenCreate, at(seconds)).of_cluster(ClusterId(Uuid::max())).of_object("object");
    entry.ended(AuditOutcome::Refused, "PERMISSION_DENIED").with("scope", json!({"everything": true}))
}

async fn oldest_first(store: &dyn Store) -> Vec<AuditRow> {
    let filter = AuditFilter { order: AuditOrder::OldestFirst, limit: 10_000, ..AuditFilter::default() };
    store.audit(&filter).await.unwrap()
}

async fn with_rows(backend: &Backend, rows: i64) -> Arc<dyn Store> {
    let store = backend.store().await;
    let entries: Vec<_> = (1..=rows).map(entry).collect();
    store.append_audit(&entries).await.unwrap();
    assert_eq!(verify(&*store).await.unwrap().broken, None);
    store
}

/// What is found after a statement that somebody runs behind the store's back on ten rows.
async fn found_after(backend: &Backend, sqlite: &'static str, postgresql: &'static str) -> Option<(i64, Fault)> {
    let store = with_rows(backend, 10).await;
    backend.execute(sqlite, postgresql).await;
    verify(&*store).await.unwrap().broken.map(|Broken { position, fault }| (position, fault))
}

pub async fn rows_come_back_as_they_were_told_and_are_chained(backend: Backend) {
    let store = backend.store().await;
    store.append_audit(&[full(1), entry(2)]).await.unwrap();
    store.append_audit(&[]).await.unwrap();
    store.append_audit(&[entry(3)]).await.unwrap();
    let rows = oldest_first(&*store).await;
    assert_eq!(rows.iter().map(|row| row.position).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(rows.iter().map(|row| row.entry.clone()).collect::<Vec<_>>(), [full(1), entry(2), entry(3)]);
    assert!(rows.iter().all(AuditRow::is_whole));
    assert_eq!((rows[0].previous, rows[1].previous, rows[2].previous), ([0; 32], rows[0].hash, rows[1].hash));
    let found = verify(&*store).await.unwrap();
    assert_eq!((found.rows, found.last, found.broken), (3, rows[2].link(), None));
}

pub async fn an_empty_log_is_whole(backend: Backend) {
    let found = verify(&*backend.store().await).await.unwrap();
    assert_eq!((found.rows, found.broken), (0, None));
}

pub async fn a_change_and_what_tells_of_it_are_stored_together_or_not_at_all(backend: Backend) {
    let store = backend.store().await;
    let spoke = cluster("spoke");
    let rows = [(Arc::clone(&spoke), Status::unknown(at(0)))];
    store.insert(&rows, &[event(spoke.id, 10, 1)], &[entry(1)]).await.unwrap();
    assert!(matches!(store.insert(&rows, &[], &[entry(90)]).await, Err(StoreError::NameTaken(_))));
    let mut changed = (*spoke).clone();
    changed.generation = 2;
    store.update(&changed, 1, &[event(spoke.id, 11, 2)], &[], &[entry(2)]).await.unwrap();
    assert!(matches!(store.update(&changed, 1, &[], &[], &[entry(91)]).await, Err(StoreError::Stale)));
    store.write_credentials(spoke.id, &[], &[], &[event(spoke.id, 12, 3)], &[entry(3)]).await.unwrap();
    let stranger = ClusterId::generate();
    let refused = store.write_credentials(stranger, &[], &[], &[], &[entry(92)]).await;
    assert!(matches!(refused, Err(StoreError::NotFound)));
    assert_eq!(store.reseal_credentials(&[], &[entry(93)]).await.unwrap(), 0);
    let token = a_token();
    store.insert_token(&token, &[entry(4)]).await.unwrap();
    assert!(store.insert_token(&token, &[entry(94)]).await.is_err());
    assert!(store.revoke_token(token.id, at(9), &[entry(5)]).await.unwrap());
    assert!(!store.revoke_token(token.id, at(9), &[entry(95)]).await.unwrap());
    store.delete(spoke.id, None, &event(spoke.id, 13, 4), &[entry(6)]).await.unwrap();
    let refused = store.delete(spoke.id, None, &event(spoke.id, 14, 5), &[entry(96)]).await;
    assert!(matches!(refused, Err(StoreError::NotFound)));
    let told: Vec<_> = oldest_first(&*store).await.into_iter().map(|row| (row.position, row.entry)).collect();
    assert_eq!(told, (1..=6).map(|n| (n, entry(n))).collect::<Vec<_>>());
    assert_eq!(verify(&*store).await.unwrap().broken, None);
}

fn a_token() -> StoredToken {
    StoredToken {
        id: Uuid::now_v7(),
        name: "ci".to_owned(),
        hash: [7; 32],
        role: "viewer".to_owned(),
        scope: r#"{"everything":true}"#.to_owned(),
        created_by: None,
        created_at: at(0),
        expires_at: None,
        revoked_at: None,
    }
}

pub async fn many_writers_leave_no_gap(backend: Backend) {
    let store = backend.store().await;
    let writers = (0..20).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..5 {
                store.append_audit(&[entry(writer), entry(n)]).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let found = verify(&*store).await.unwrap();
    assert_eq!((found.rows, found.last.position, found.broken), (200, 200, None));
}

pub async fn rows_are_filtered_and_paged(backend: Backend) {
    let store = with_rows(&backend, 10).await;
    store.append_audit(&[full(20)]).await.unwrap();
    let positions = async |filter: AuditFilter| {
        let rows = store.audit(&AuditFilter { limit: 3, ..filter }).await.unwrap();
        rows.into_iter().map(|row| row.position).collect::<Vec<_>>()
    };
    let all = AuditFilter::default;
    assert_eq!(positions(all()).await, [11, 10, 9]);
    assert_eq!(positions(AuditFilter { before: Some(9), ..all() }).await, [8, 7, 6]);
    assert_eq!(positions(AuditFilter { after: Some(9), ..all() }).await, [11, 10]);
    for filter in [
        AuditFilter { actor: Some("token:1".to_owned()), ..all() },
        AuditFilter { action: Some("token.create".to_owned()), ..all() },
        AuditFilter { outcome: Some(AuditOutcome::Refused), ..all() },
        AuditFilter { cluster_id: Some(ClusterId(Uuid::max())), ..all() },
        AuditFilter { request_id: Some("request-1".to_owned()), ..all() },
        AuditFilter { from: Some(at(20)), ..all() },
    ] {
        assert_eq!(positions(filter.clone()).await, [11], "{filter:?}");
    }
    assert_eq!(positions(AuditFilter { from: Some(at(2)), to: Some(at(4)), ..all() }).await, [3, 2]);
}

pub async fn a_changed_row_is_named(backend: Backend) {
    let change = (
        "UPDATE audit SET actor = 'nobody' WHERE position = 4",
        "UPDATE clusters.audit SET actor = 'nobody' WHERE position = 4",
    );
    assert_eq!(found_after(&backend, change.0, change.1).await, Some((4, Fault::Changed)));
}

pub async fn a_changed_time_is_named(backend: Backend) {
    let found = found_after(
        &backend,
        "UPDATE audit SET occurred_at = occurred_at + 1 WHERE position = 4",
        "UPDATE clusters.audit SET occurred_at = occurred_at + interval '1 microsecond' WHERE position = 4",
    );
    assert_eq!(found.await, Some((4, Fault::Changed)));
}

pub async fn a_strange_hash_is_named(backend: Backend) {
    let found = found_after(
        &backend,
        "UPDATE audit SET hash = x'00' WHERE position = 10",
        "UPDATE clusters.audit SET hash = '\\x00' WHERE position = 10",
    );
    assert_eq!(found.await, Some((10, Fault::Changed)));
}

pub async fn a_deleted_row_is_named(backend: Backend) {
    let found =
        found_after(&backend, "DELETE FROM audit WHERE position = 7", "DELETE FROM clusters.audit WHERE position = 7");
    assert_eq!(found.await, Some((7, Fault::Missing)));
}

pub async fn a_row_of_another_chain_is_named(backend: Backend) {
    // Row 3 takes the content and the hashes of row 2: whole in itself, but not in its place.
    let found = found_after(
        &backend,
        "DELETE FROM audit WHERE position = 3; UPDATE audit SET position = 3 WHERE position = 2;",
        "DELETE FROM clusters.audit WHERE position = 3; UPDATE clusters.audit SET position = 3 WHERE position = 2;",
    );
    assert_eq!(found.await, Some((2, Fault::Missing)));
}

pub async fn rows_cut_off_the_end_are_missed(backend: Backend) {
    let found = found_after(
        &backend,
        "DELETE FROM audit WHERE position >= 9",
        "DELETE FROM clusters.audit WHERE position >= 9",
    );
    assert_eq!(found.await, Some((9, Fault::Missing)));
}

pub async fn rows_cut_off_the_beginning_are_missed(backend: Backend) {
    let found = found_after(
        &backend,
        "DELETE FROM audit WHERE position <= 2",
        "DELETE FROM clusters.audit WHERE position <= 2",
    );
    assert_eq!(found.await, Some((1, Fault::Missing)));
}

pub async fn an_anchor_moved_by_hand_is_noticed(backend: Backend) {
    let found = found_after(
        &backend,
        "UPDATE audit_ends SET position = 2, hash = (SELECT hash FROM audit WHERE position = 2) WHERE which = 'anchor'; \
         DELETE FROM audit WHERE position <= 2",
        "UPDATE clusters.audit_ends SET position = 2, hash = (SELECT hash FROM clusters.audit WHERE position = 2) \
         WHERE which = 'anchor'; DELETE FROM clusters.audit WHERE position <= 2",
    );
    assert_eq!(found.await, Some((2, Fault::Anchor)));
}

pub async fn a_removed_note_of_the_end_is_noticed(backend: Backend) {
    let found = found_after(
        &backend,
        "DELETE FROM audit_ends WHERE which = 'head'",
        "DELETE FROM clusters.audit_ends WHERE which = 'head'",
    );
    assert_eq!(found.await, Some((10, Fault::Head)));
}

pub async fn after_a_tampering_the_log_goes_on(backend: Backend) {
    let store = with_rows(&backend, 10).await;
    let broken = async || verify(&*store).await.unwrap().broken.map(|broken| (broken.position, broken.fault));
    let head = "UPDATE audit_ends SET position = 3, hash = x'00' WHERE which = 'head'";
    let server = "UPDATE clusters.audit_ends SET position = 3, hash = '\\x00' WHERE which = 'head'";
    backend.execute(head, server).await;
    assert_eq!(broken().await, Some((10, Fault::Head)));
    store.append_audit(&[entry(11)]).await.unwrap();
    assert_eq!(broken().await, None, "the note is made anew, and no row was touched");
    backend.execute("DELETE FROM audit WHERE position = 11", "DELETE FROM clusters.audit WHERE position = 11").await;
    store.append_audit(&[entry(12)]).await.unwrap();
    assert_eq!(broken().await, Some((11, Fault::Missing)));
}

pub async fn what_the_janitor_leaves_is_verifiable(backend: Backend) {
    let store = with_rows(&backend, 10).await;
    let late = at(0) + TimeDelta::days(1);
    assert_eq!(store.prune_audit(at(0), 3, late).await.unwrap(), 0, "nothing is that old");
    assert_eq!(store.prune_audit(at(6), 3, late).await.unwrap(), 3, "a batch");
    assert_eq!(store.prune_audit(at(6), 3, late).await.unwrap(), 2, "the rest");
    assert_eq!(store.prune_audit(at(6), 3, late).await.unwrap(), 0);
    let found = verify(&*store).await.unwrap();
    assert_eq!((found.broken, found.anchor.position, found.rows), (None, 5, 7));
    let rows = oldest_first(&*store).await;
    assert_eq!(rows.iter().map(|row| row.position).collect::<Vec<_>>(), (6..=12).collect::<Vec<_>>());
    assert!(rows[6].entry.tells_of_pruning(&found.anchor));
    store.append_audit(&[entry(99)]).await.unwrap();
    assert_eq!(verify(&*store).await.unwrap().broken, None);
}

pub async fn a_log_pruned_whole_keeps_its_place(backend: Backend) {
    let store = with_rows(&backend, 3).await;
    assert_eq!(store.prune_audit(at(50), 100, at(60)).await.unwrap(), 3);
    let rows = oldest_first(&*store).await;
    assert_eq!(rows.iter().map(|row| row.position).collect::<Vec<_>>(), [4]);
    assert_eq!(verify(&*store).await.unwrap().broken, None);
    store.close().await;
    let store = backend.store().await;
    register(&*store, &["spoke"], 10).await;
    store.append_audit(&[entry(70)]).await.unwrap();
    assert_eq!(verify(&*store).await.unwrap().last.position, 5);
}

pub async fn a_walk_while_others_write_and_prune_finds_nothing(backend: Backend) {
    let store = with_rows(&backend, 2_500).await;
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..30 {
                store.append_audit(&[entry(3_000 + n)]).await.unwrap();
                store.prune_audit(at(60 * n), 100, at(4_000)).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        assert_eq!(verify(&*store).await.unwrap().broken, None);
    }
    writer.await.unwrap();
    assert_eq!(verify(&*store).await.unwrap().broken, None);
}
