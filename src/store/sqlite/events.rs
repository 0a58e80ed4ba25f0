//! The event log in SQLite, with the cursor of what is published.

use std::{collections::BTreeMap, sync::Arc};

use fleetbeat_actors::{event::Event, roll::ClusterId};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};
use uuid::Uuid;

use super::{moment, uuid_of};
use crate::store::{
    contract::EventFilter,
    failure::{Failure, json, word},
};

const INSERT: &str = "INSERT INTO events (position, event_id, event_type, cluster_id, sequence, occurred_at, payload) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (event_id) DO UPDATE SET position = excluded.position";
const ADVANCE: &str = "UPDATE cluster_status SET event_sequence = ?2 WHERE cluster_id = ?1 AND event_sequence < ?2";
const ADVANCE_FLEET: &str = "INSERT INTO engine (key, value) VALUES ('fleet_sequence', ?1) \
    ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)";

/// Appends events, moves known ones to their new position, and keeps the last sequence of every cluster that is registered.
pub(super) async fn insert(writer: &mut SqliteConnection, events: &[Arc<Event>]) -> Result<(), Failure> {
    let mut last: BTreeMap<ClusterId, i64> = BTreeMap::new();
    for event in events {
        insert_one(writer, event).await?;
        let sequence = last.entry(event.cluster_id).or_default();
        *sequence = event.sequence.max(*sequence);
    }
    for (id, sequence) in last {
        if id == ClusterId::FLEET {
            sqlx::query(ADVANCE_FLEET).bind(sequence).execute(&mut *writer).await?;
        } else {
            sqlx::query(ADVANCE).bind(id.to_string()).bind(sequence).execute(&mut *writer).await?;
        }
    }
    Ok(())
}

async fn insert_one(writer: &mut SqliteConnection, event: &Event) -> Result<(), Failure> {
    sqlx::query(INSERT)
        .bind(event.position)
        .bind(event.event_id.hyphenated().to_string())
        .bind(event.event_type.as_str())
        .bind(event.cluster_id.to_string())
        .bind(event.sequence)
        .bind(event.timestamp.timestamp_micros())
        .bind(&*event.payload)
        .execute(writer)
        .await?;
    Ok(())
}

const STORED: &str = "SELECT event_id FROM events WHERE event_id IN (SELECT value FROM json_each(?1))";

pub(super) async fn stored(writer: &mut SqliteConnection, events: &[Uuid]) -> Result<Vec<Uuid>, Failure> {
    let rows = sqlx::query(STORED).bind(json(&events)?).fetch_all(writer).await?;
    rows.iter().map(|row| uuid_of(row, "event_id")).collect()
}

const SEQUENCES: &str = "SELECT cluster_id, event_sequence AS sequence FROM cluster_status \
    WHERE cluster_id IN (SELECT value FROM json_each(?1))";
const FLEET_SEQUENCE: &str = "SELECT coalesce((SELECT value FROM engine WHERE key = 'fleet_sequence'), 0)";

pub(super) async fn sequences(readers: &SqlitePool, ids: &[ClusterId]) -> Result<Vec<(ClusterId, i64)>, Failure> {
    let rows = sqlx::query(SEQUENCES).bind(json(&ids)?).fetch_all(readers).await?;
    let mut sequences = rows
        .iter()
        .map(|row| Ok((ClusterId(uuid_of(row, "cluster_id")?), row.try_get("sequence")?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    sequences.push((ClusterId::FLEET, sqlx::query_scalar(FLEET_SEQUENCE).fetch_one(readers).await?));
    Ok(sequences)
}

const AFTER: &str = "SELECT * FROM events WHERE position > ?1 ORDER BY position LIMIT ?2";

pub(super) async fn after(readers: &SqlitePool, position: i64, limit: u32) -> Result<Vec<Arc<Event>>, Failure> {
    let rows = sqlx::query(AFTER).bind(position).bind(limit).fetch_all(readers).await?;
    rows.iter().map(event).collect()
}

const FILTERED: &str = "SELECT * FROM events WHERE position > ?1 \
    AND (json_array_length(?2) = 0 OR event_type IN (SELECT value FROM json_each(?2))) ORDER BY position LIMIT ?3";
// Within one cluster, the order of sequences is the order of positions, and it has an index.
const FILTERED_BY_CLUSTER: &str = "SELECT * FROM events WHERE position > ?1 AND cluster_id = ?4 \
    AND (json_array_length(?2) = 0 OR event_type IN (SELECT value FROM json_each(?2))) ORDER BY sequence LIMIT ?3";
const FILTERED_AMONG: &str = "SELECT * FROM events AS e WHERE position > ?1 \
    AND (json_array_length(?2) = 0 OR event_type IN (SELECT value FROM json_each(?2))) \
    AND (cluster_id IN (SELECT value FROM json_each(?4)) \
    OR (?5 AND NOT EXISTS (SELECT 1 FROM clusters AS c WHERE c.id = e.cluster_id))) \
    ORDER BY position LIMIT ?3";

pub(super) async fn filtered(readers: &SqlitePool, filter: &EventFilter) -> Result<Vec<Arc<Event>>, Failure> {
    let query = match (filter.cluster_id, &filter.among) {
        (Some(_), _) => FILTERED_BY_CLUSTER,
        (None, Some(_)) => FILTERED_AMONG,
        (None, None) => FILTERED,
    };
    let query = sqlx::query(query).bind(filter.after).bind(json(&filter.event_types)?).bind(filter.limit);
    let query = match (filter.cluster_id, &filter.among) {
        (Some(id), _) => query.bind(id.to_string()),
        (None, Some(among)) => query.bind(json(&among.cluster_ids)?).bind(among.removed),
        (None, None) => query,
    };
    query.fetch_all(readers).await?.iter().map(event).collect()
}

const PUBLISHED: &str = "SELECT coalesce((SELECT value FROM engine WHERE key = 'published'), 0)";

pub(super) async fn published(readers: &SqlitePool) -> Result<i64, Failure> {
    Ok(sqlx::query_scalar(PUBLISHED).fetch_one(readers).await?)
}

// A log whose events were all pruned still ends where its readers stand.
const HEAD: &str = "SELECT max(coalesce((SELECT max(position) FROM events), 0), \
    coalesce((SELECT value FROM engine WHERE key = 'published'), 0))";

pub(super) async fn head(readers: &SqlitePool) -> Result<i64, Failure> {
    Ok(sqlx::query_scalar(HEAD).fetch_one(readers).await?)
}

const MARK_PUBLISHED: &str = "INSERT INTO engine (key, value) VALUES ('published', ?1) \
    ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)";

pub(super) async fn mark_published(writer: &mut SqliteConnection, position: i64) -> Result<(), Failure> {
    sqlx::query(MARK_PUBLISHED).bind(position).execute(writer).await?;
    Ok(())
}

const WAITING: &str = "SELECT count(*) FROM events WHERE position > ?1";

pub(super) async fn waiting(readers: &SqlitePool, position: i64) -> Result<u64, Failure> {
    let count: i64 = sqlx::query_scalar(WAITING).bind(position).fetch_one(readers).await?;
    Ok(count.unsigned_abs())
}

fn event(row: &SqliteRow) -> Result<Arc<Event>, Failure> {
    Ok(Arc::new(Event::stored(
        row.try_get("position")?,
        uuid_of(row, "event_id")?,
        word(row.try_get("event_type")?, "event type")?,
        ClusterId(uuid_of(row, "cluster_id")?),
        row.try_get("sequence")?,
        moment(row, "occurred_at")?,
        row.try_get("payload")?,
    )))
}
