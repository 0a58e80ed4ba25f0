//! Events, appended in PostgreSQL by the thousand.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use fleetbeat_actors::{event::Event, roll::ClusterId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::columns::{CHUNK, columns};
use crate::store::{bulk::BulkEvents, failure::Failure};

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

impl BulkEvents for PgConnection {
    async fn insert_events(&mut self, events: &[Arc<Event>]) -> Result<(), Failure> {
        for chunk in events.chunks(CHUNK) {
            let mut rows = Events::default();
            chunk.iter().for_each(|event| rows.push(event));
            rows.bind(sqlx::query(INSERT)).execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn advance_sequences(&mut self, last: BTreeMap<ClusterId, i64>) -> Result<(), Failure> {
        if last.is_empty() {
            return Ok(());
        }
        let (ids, sequences): (Vec<Uuid>, Vec<i64>) = last.into_iter().map(|(id, sequence)| (id.0, sequence)).unzip();
        sqlx::query(ADVANCE).bind(ids).bind(sequences).execute(self).await?;
        Ok(())
    }
}
