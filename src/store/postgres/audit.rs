//! Rows of the audit log, appended in PostgreSQL by the thousand.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::columns::{CHUNK, columns};
use crate::store::{audit::AuditRow, bulk::BulkAudit, failure::Failure};

columns! {
    /// Rows by column.
    Rows {
        position: i64,
        occurred_at: DateTime<Utc>,
        actor: String,
        actor_name: Option<String>,
        method: String,
        action: String,
        outcome: String,
        cause: Option<String>,
        cluster_id: Option<String>,
        object: Option<String>,
        address: Option<String>,
        request_id: Option<String>,
        details: String,
        previous: Vec<u8>,
        hash: Vec<u8>,
    }
}

impl Rows {
    fn push(&mut self, row: AuditRow) {
        let AuditRow { position, entry, previous, hash } = row;
        self.position.push(position);
        self.occurred_at.push(entry.at);
        self.actor.push(entry.actor);
        self.actor_name.push(entry.actor_name);
        self.method.push(entry.method.into_owned());
        self.action.push(entry.action.into_owned());
        self.outcome.push(entry.outcome.into_owned());
        self.cause.push(entry.cause);
        self.cluster_id.push(entry.cluster_id);
        self.object.push(entry.object);
        self.address.push(entry.address);
        self.request_id.push(entry.request_id);
        self.details.push(entry.details);
        self.previous.push(previous.to_vec());
        self.hash.push(hash.to_vec());
    }
}

const INSERT: &str = "INSERT INTO clusters.audit (position, occurred_at, actor, actor_name, method, action, outcome, \
    cause, cluster_id, object, address, request_id, details, previous, hash) \
    SELECT * FROM UNNEST($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
    $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[], $15::bytea[])";

// One writer of the chain at a time, until the end of its transaction: "audit" in ASCII.
const HOLD: &str = "SELECT pg_advisory_xact_lock(418581342580)";

impl BulkAudit for PgConnection {
    async fn hold_audit(&mut self) -> Result<(), Failure> {
        sqlx::query(HOLD).execute(self).await?;
        Ok(())
    }

    async fn insert_audit(&mut self, rows: Vec<AuditRow>) -> Result<(), Failure> {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let mut chunk = Rows::default();
            rows.by_ref().take(CHUNK).for_each(|row| chunk.push(row));
            chunk.bind(sqlx::query(INSERT)).execute(&mut *self).await?;
        }
        Ok(())
    }
}
