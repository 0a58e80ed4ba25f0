//! Rows of the audit log, appended in SQLite.

use sqlx::SqliteConnection;

use crate::store::{audit::AuditRow, bulk::BulkAudit, failure::Failure};

const INSERT: &str = "INSERT INTO audit (position, occurred_at, actor, actor_name, method, action, outcome, cause, \
    cluster_id, object, address, request_id, details, previous, hash) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

impl BulkAudit for SqliteConnection {
    /// There is one writer.
    async fn hold_audit(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    async fn insert_audit(&mut self, rows: Vec<AuditRow>) -> Result<(), Failure> {
        for row in &rows {
            insert_one(self, row).await?;
        }
        Ok(())
    }
}

async fn insert_one(writer: &mut SqliteConnection, row: &AuditRow) -> Result<(), Failure> {
    let entry = &row.entry;
    sqlx::query(INSERT)
        .bind(row.position)
        .bind(entry.at.timestamp_micros())
        .bind(&entry.actor)
        .bind(&entry.actor_name)
        .bind(&*entry.method)
        .bind(&*entry.action)
        .bind(&*entry.outcome)
        .bind(&entry.cause)
        .bind(&entry.cluster_id)
        .bind(&entry.object)
        .bind(&entry.address)
        .bind(&entry.request_id)
        .bind(&entry.details)
        .bind(row.previous.as_slice())
        .bind(row.hash.as_slice())
        .execute(writer)
        .await?;
    Ok(())
}
