//! The event log.

use std::{collections::BTreeMap, sync::Arc};

use fleetbeat_actors::{event::Event, roll::ClusterId};
use uuid::Uuid;

use super::engine::{self, FLEET_SEQUENCE};
use crate::store::{
    bulk::Bulk,
    contract::EventFilter,
    failure::Failure,
    statement::{Connection, Row, Text, statement},
};

/// Appends events, moves known ones to their new position, and keeps the last sequence of every cluster that is registered.
pub(in crate::store) async fn insert(connection: &mut impl Bulk, events: &[Arc<Event>]) -> Result<(), Failure> {
    connection.insert_events(events).await?;
    let mut last: BTreeMap<ClusterId, i64> = BTreeMap::new();
    for event in events {
        let sequence = last.entry(event.cluster_id).or_default();
        *sequence = event.sequence.max(*sequence);
    }
    if let Some(sequence) = last.remove(&ClusterId::FLEET) {
        engine::keep(connection, FLEET_SEQUENCE, sequence).await?;
    }
    connection.advance_sequences(last).await
}

const STORED: Text = Text {
    postgres: "SELECT event_id FROM events WHERE event_id = ANY($1)",
    sqlite: "SELECT event_id FROM events WHERE event_id IN (SELECT value FROM json_each($1))",
};

pub(in crate::store) async fn stored(connection: &mut impl Connection, events: &[Uuid]) -> Result<Vec<Uuid>, Failure> {
    statement(STORED).bind(events).fetch_all(connection, |row| row.get("event_id")).await
}

const SEQUENCES: Text = Text {
    postgres: "SELECT cluster_id, event_sequence FROM cluster_status WHERE cluster_id = ANY($1)",
    sqlite: "SELECT cluster_id, event_sequence FROM cluster_status \
        WHERE cluster_id IN (SELECT value FROM json_each($1))",
};

pub(in crate::store) async fn sequences(
    connection: &mut impl Connection,
    ids: &[ClusterId],
) -> Result<Vec<(ClusterId, i64)>, Failure> {
    let read = statement(SEQUENCES).bind(ids);
    let mut sequences =
        read.fetch_all(connection, |row| Ok((row.get("cluster_id")?, row.get("event_sequence")?))).await?;
    sequences.push((ClusterId::FLEET, engine::kept(connection, FLEET_SEQUENCE).await?.unwrap_or(0)));
    Ok(sequences)
}

const AFTER: &str = "SELECT * FROM events WHERE position > $1 ORDER BY position LIMIT $2";

pub(in crate::store) async fn after(
    connection: &mut impl Connection,
    position: i64,
    limit: u32,
) -> Result<Vec<Arc<Event>>, Failure> {
    statement(AFTER).bind(position).bind(limit).fetch_all(connection, event).await
}

const FILTERED: Text = Text {
    postgres: "SELECT * FROM events WHERE position > $1 \
        AND (cardinality($2::text[]) = 0 OR event_type = ANY($2)) ORDER BY position LIMIT $3",
    sqlite: "SELECT * FROM events WHERE position > $1 \
        AND (json_array_length($2) = 0 OR event_type IN (SELECT value FROM json_each($2))) ORDER BY position LIMIT $3",
};
// Within one cluster, the order of sequences is the order of positions, and it has an index.
const FILTERED_BY_CLUSTER: Text = Text {
    postgres: "SELECT * FROM events WHERE position > $1 AND cluster_id = $4 \
        AND (cardinality($2::text[]) = 0 OR event_type = ANY($2)) ORDER BY sequence LIMIT $3",
    sqlite: "SELECT * FROM events WHERE position > $1 AND cluster_id = $4 \
        AND (json_array_length($2) = 0 OR event_type IN (SELECT value FROM json_each($2))) ORDER BY sequence LIMIT $3",
};
const FILTERED_AMONG: Text = Text {
    postgres: "SELECT * FROM events AS e WHERE position > $1 \
        AND (cardinality($2::text[]) = 0 OR event_type = ANY($2)) AND (cluster_id = ANY($4::uuid[]) \
        OR ($5 AND NOT EXISTS (SELECT 1 FROM clusters AS c WHERE c.id = e.cluster_id))) \
        ORDER BY position LIMIT $3",
    sqlite: "SELECT * FROM events AS e WHERE position > $1 \
        AND (json_array_length($2) = 0 OR event_type IN (SELECT value FROM json_each($2))) \
        AND (cluster_id IN (SELECT value FROM json_each($4)) \
        OR ($5 AND NOT EXISTS (SELECT 1 FROM clusters AS c WHERE c.id = e.cluster_id))) \
        ORDER BY position LIMIT $3",
};

pub(in crate::store) async fn filtered(
    connection: &mut impl Connection,
    filter: &EventFilter,
) -> Result<Vec<Arc<Event>>, Failure> {
    let types: Vec<_> = filter.event_types.iter().map(|event_type| event_type.as_str()).collect();
    let text = match (filter.cluster_id, &filter.among) {
        (Some(_), _) => FILTERED_BY_CLUSTER,
        (None, Some(_)) => FILTERED_AMONG,
        (None, None) => FILTERED,
    };
    let read = statement(text).bind(filter.after).bind(types).bind(filter.limit);
    let read = match (filter.cluster_id, &filter.among) {
        (Some(id), _) => read.bind(id),
        (None, Some(among)) => read.bind(among.cluster_ids.as_slice()).bind(among.removed),
        (None, None) => read,
    };
    read.fetch_all(connection, event).await
}

// A log whose events were all pruned still ends where its readers stand.
const HEAD: Text = Text {
    postgres: "SELECT greatest(coalesce((SELECT max(position) FROM events), 0), \
        coalesce((SELECT value FROM engine WHERE key = 'published'), 0)) AS head",
    sqlite: "SELECT max(coalesce((SELECT max(position) FROM events), 0), \
        coalesce((SELECT value FROM engine WHERE key = 'published'), 0)) AS head",
};

pub(in crate::store) async fn head(connection: &mut impl Connection) -> Result<i64, Failure> {
    Ok(statement(HEAD).fetch_optional(connection, |row| row.get("head")).await?.unwrap_or(0))
}

const WAITING: &str = "SELECT count(*) AS waiting FROM events WHERE position > $1";

pub(in crate::store) async fn waiting(connection: &mut impl Connection, position: i64) -> Result<u64, Failure> {
    let count = statement(WAITING).bind(position).fetch_optional(connection, |row| row.number("waiting", "count"));
    Ok(count.await?.unwrap_or(0))
}

/// An event, in whichever table its columns stand.
pub(super) fn event(row: &impl Row) -> Result<Arc<Event>, Failure> {
    Ok(Arc::new(Event::stored(
        row.get("position")?,
        row.get("event_id")?,
        row.word("event_type", "event type")?,
        row.get("cluster_id")?,
        row.get("sequence")?,
        row.get("occurred_at")?,
        row.plain("payload")?,
    )))
}
