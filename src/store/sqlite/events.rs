//! Events, appended in SQLite.

use std::{collections::BTreeMap, sync::Arc};

use fleetbeat_actors::{event::Event, roll::ClusterId};
use sqlx::SqliteConnection;

use crate::store::{bulk::BulkEvents, failure::Failure};

const INSERT: &str = "INSERT INTO events (position, event_id, event_type, cluster_id, sequence, occurred_at, payload) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (event_id) DO UPDATE SET position = excluded.position";

const ADVANCE: &str = "UPDATE cluster_status SET event_sequence = ?2 WHERE cluster_id = ?1 AND event_sequence < ?2";

impl BulkEvents for SqliteConnection {
    async fn insert_events(&mut self, events: &[Arc<Event>]) -> Result<(), Failure> {
        for event in events {
            sqlx::query(INSERT)
                .bind(event.position)
                .bind(event.event_id.hyphenated().to_string())
                .bind(event.event_type.as_str())
                .bind(event.cluster_id.to_string())
                .bind(event.sequence)
                .bind(event.timestamp.timestamp_micros())
                .bind(&*event.payload)
                .execute(&mut *self)
                .await?;
        }
        Ok(())
    }

    async fn advance_sequences(&mut self, last: BTreeMap<ClusterId, i64>) -> Result<(), Failure> {
        for (id, sequence) in last {
            sqlx::query(ADVANCE).bind(id.to_string()).bind(sequence).execute(&mut *self).await?;
        }
        Ok(())
    }
}
