//! The event log in PostgreSQL, with the cursor of what is published.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use fleetbeat_actors::{event::Event, roll::ClusterId};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{clusters::uuids, columns::columns};
use crate::store::{
    contract::EventFilter,
    failure::{Failure, word},
};

/// Rows per statement.
const CHUNK: usize = 1_000;

columns! {
    /// Events by column.
    Events {
        position: i64,
        event_id: Uuid,
        cluster_id: Uuid,
        sequence: i64,
        occurred_at: DateTime<Utc>,
        event_type: &'static str,
        payload: String,
    }
}

impl Events {
    fn push(&mut self, event: &Event) {
        self.position.push(event.position);
        self.event_id.push(event.event_id);
        self.cluster_id.push(event.cluster_id.0);
        self.sequence.push(event.sequence);
        self.occurred_at.push(event.timestamp);
        self.event_type.push(event.event_type.as_str());
        self.payload.push(event.payload.to_string());
    }
}

const INSERT: &str = "INSERT INTO clusters.events \
    (position, event_id, cluster_id, sequence, occurred_at, event_type, payload) \
    SELECT * FROM UNNEST($1::bigint[], $2::uuid[], $3::uuid[], $4::bigint[], $5::timestamptz[], $6::text[], \
    $7::text[]) ON CONFLICT (event_id) DO UPDATE SET position = excluded.position \
    WHERE events.position <> excluded.position";
const ADVANCE: &str = "UPDATE clusters.cluster_status AS s SET event_sequence = n.sequence \
    FROM UNNEST($1::uuid[], $2::bigint[]) AS n (cluster_id, sequence) \
    WHERE s.cluster_id = n.cluster_id AND s.event_sequence < n.sequence";
const ADVANCE_FLEET: &str = "INSERT INTO clusters.engine (key, value) VALUES ('fleet_sequence', $1) \
    ON CONFLICT (key) DO UPDATE SET value = greatest(engine.value, excluded.value)";

/// Appends events, moves known ones to their new position, and keeps the last sequence of every cluster that is registered.
pub(super) async fn insert(connection: &mut PgConnection, events: &[Arc<Event>]) -> Result<(), Failure> {
    let mut last: BTreeMap<ClusterId, i64> = BTreeMap::new();
    for chunk in events.chunks(CHUNK) {
        let mut rows = Events::default();
        for event in chunk {
            rows.push(event);
            let sequence = last.entry(event.cluster_id).or_default();
            *sequence = event.sequence.max(*sequence);
        }
        rows.bind(sqlx::query(INSERT)).execute(&mut *connection).await?;
    }
    if let Some(sequence) = last.remove(&ClusterId::FLEET) {
        sqlx::query(ADVANCE_FLEET).bind(sequence).execute(&mut *connection).await?;
    }
    if !last.is_empty() {
        let (ids, sequences): (Vec<Uuid>, Vec<i64>) = last.into_iter().map(|(id, sequence)| (id.0, sequence)).unzip();
        sqlx::query(ADVANCE).bind(ids).bind(sequences).execute(connection).await?;
    }
    Ok(())
}

const STORED: &str = "SELECT event_id FROM clusters.events WHERE event_id = ANY($1)";

pub(super) async fn stored(connection: &mut PgConnection, events: &[Uuid]) -> Result<Vec<Uuid>, Failure> {
    Ok(sqlx::query_scalar(STORED).bind(events).fetch_all(connection).await?)
}

const SEQUENCES: &str = "SELECT cluster_id, event_sequence FROM clusters.cluster_status WHERE cluster_id = ANY($1)";
const FLEET_SEQUENCE: &str = "SELECT coalesce((SELECT value FROM clusters.engine WHERE key = 'fleet_sequence'), 0)";

pub(super) async fn sequences(
    connection: &mut PgConnection,
    ids: &[ClusterId],
) -> Result<Vec<(ClusterId, i64)>, Failure> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(SEQUENCES).bind(uuids(ids)).fetch_all(&mut *connection).await?;
    let mut sequences: Vec<_> = rows.into_iter().map(|(id, sequence)| (ClusterId(id), sequence)).collect();
    sequences.push((ClusterId::FLEET, sqlx::query_scalar(FLEET_SEQUENCE).fetch_one(connection).await?));
    Ok(sequences)
}

const AFTER: &str = "SELECT * FROM clusters.events WHERE position > $1 ORDER BY position LIMIT $2";

pub(super) async fn after(
    connection: &mut PgConnection,
    position: i64,
    limit: u32,
) -> Result<Vec<Arc<Event>>, Failure> {
    let rows = sqlx::query(AFTER).bind(position).bind(i64::from(limit)).fetch_all(connection).await?;
    rows.iter().map(event).collect()
}

const FILTERED: &str = "SELECT * FROM clusters.events WHERE position > $1 \
    AND (cardinality($2::text[]) = 0 OR event_type = ANY($2)) ORDER BY position LIMIT $3";
// Within one cluster, the order of sequences is the order of positions, and it has an index.
const FILTERED_BY_CLUSTER: &str = "SELECT * FROM clusters.events WHERE position > $1 AND cluster_id = $4 \
    AND (cardinality($2::text[]) = 0 OR event_type = ANY($2)) ORDER BY sequence LIMIT $3";
const FILTERED_AMONG: &str = "SELECT * FROM clusters.events AS e WHERE position > $1 \
    AND (cardinality($2::text[]) = 0 OR event_type = ANY($2)) AND (cluster_id = ANY($4::uuid[]) \
    OR ($5 AND NOT EXISTS (SELECT 1 FROM clusters.clusters AS c WHERE c.id = e.cluster_id))) \
    ORDER BY position LIMIT $3";

pub(super) async fn filtered(connection: &mut PgConnection, filter: &EventFilter) -> Result<Vec<Arc<Event>>, Failure> {
    let types: Vec<&str> = filter.event_types.iter().map(|event_type| event_type.as_str()).collect();
    let query = match (filter.cluster_id, &filter.among) {
        (Some(_), _) => FILTERED_BY_CLUSTER,
        (None, Some(_)) => FILTERED_AMONG,
        (None, None) => FILTERED,
    };
    let query = sqlx::query(query).bind(filter.after).bind(types).bind(i64::from(filter.limit));
    let query = match (filter.cluster_id, &filter.among) {
        (Some(id), _) => query.bind(id.0),
        (None, Some(among)) => query.bind(uuids(&among.cluster_ids)).bind(among.removed),
        (None, None) => query,
    };
    query.fetch_all(connection).await?.iter().map(event).collect()
}

const PUBLISHED: &str = "SELECT coalesce((SELECT value FROM clusters.engine WHERE key = 'published'), 0)";

pub(super) async fn published(connection: &mut PgConnection) -> Result<i64, Failure> {
    Ok(sqlx::query_scalar(PUBLISHED).fetch_one(connection).await?)
}

// A log whose events were all pruned still ends where its readers stand.
const HEAD: &str = "SELECT greatest(coalesce((SELECT max(position) FROM clusters.events), 0), \
    coalesce((SELECT value FROM clusters.engine WHERE key = 'published'), 0))";

pub(super) async fn head(connection: &mut PgConnection) -> Result<i64, Failure> {
    Ok(sqlx::query_scalar(HEAD).fetch_one(connection).await?)
}

const MARK_PUBLISHED: &str = "INSERT INTO clusters.engine (key, value) VALUES ('published', $1) \
    ON CONFLICT (key) DO UPDATE SET value = greatest(engine.value, excluded.value)";

pub(super) async fn mark_published(connection: &mut PgConnection, position: i64) -> Result<(), Failure> {
    sqlx::query(MARK_PUBLISHED).bind(position).execute(connection).await?;
    Ok(())
}

const WAITING: &str = "SELECT count(*) FROM clusters.events WHERE position > $1";

pub(super) async fn waiting(connection: &mut PgConnection, position: i64) -> Result<u64, Failure> {
    let count: i64 = sqlx::query_scalar(WAITING).bind(position).fetch_one(connection).await?;
    Ok(count.unsigned_abs())
}

fn event(row: &PgRow) -> Result<Arc<Event>, Failure> {
    Ok(Arc::new(Event::stored(
        row.try_get("position")?,
        row.try_get("event_id")?,
        word(row.try_get("event_type")?, "event type")?,
        ClusterId(row.try_get("cluster_id")?),
        row.try_get("sequence")?,
        row.try_get("occurred_at")?,
        row.try_get("payload")?,
    )))
}
