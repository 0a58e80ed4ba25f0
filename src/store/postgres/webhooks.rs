//! Webhooks, their cursors and their dead letters in PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use fleetbeat_actors::{event::Event, ports::StoreError, roll::ClusterId};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{PostgresStore, audit};
use crate::store::{
    audit::AuditEntry,
    failure::{Failure, number, word},
    webhooks::{DeadLetter, StoredWebhook, WebhookCursor, WebhookRows, WebhookSeal},
};

#[async_trait]
impl WebhookRows for PostgresStore {
    async fn webhooks(&self) -> Result<Vec<(StoredWebhook, WebhookCursor)>, StoreError> {
        call!(self, |connection| all(connection))
    }

    async fn insert_webhook(
        &self,
        webhook: &StoredWebhook,
        position: i64,
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        write!(self, |connection| async {
            insert(connection, webhook, position).await?;
            audit::append(connection, audit).await
        })
    }

    async fn update_webhook(
        &self,
        webhook: &StoredWebhook,
        position: Option<i64>,
        audit: &[AuditEntry],
    ) -> Result<bool, StoreError> {
        write!(self, |connection| async {
            let found = update(connection, webhook, position).await?;
            if found {
                audit::append(connection, audit).await?;
            }
            Ok(found)
        })
    }

    async fn delete_webhook(&self, id: Uuid, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        write!(self, |connection| async {
            let found = delete(connection, id).await?;
            if found {
                audit::append(connection, audit).await?;
            }
            Ok(found)
        })
    }

    async fn reseal_webhooks(
        &self,
        seals: &[(Uuid, Vec<u8>, WebhookSeal)],
        audit: &[AuditEntry],
    ) -> Result<u64, StoreError> {
        write!(self, |connection| async {
            let replaced = reseal(connection, seals).await?;
            if replaced > 0 {
                audit::append(connection, audit).await?;
            }
            Ok(replaced)
        })
    }

    async fn mark_webhooks(&self, cursors: &[(Uuid, WebhookCursor)]) -> Result<(), StoreError> {
        write!(self, |connection| mark(connection, cursors))
    }

    async fn bury_letter(&self, letter: &DeadLetter, cursor: &WebhookCursor, most: u32) -> Result<u64, StoreError> {
        write!(self, |connection| bury(connection, letter, cursor, most))
    }

    async fn dead_letters(&self, webhook: Uuid, after: i64, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        call!(self, |connection| letters(connection, webhook, after, limit))
    }

    async fn dead_letter(&self, webhook: Uuid, event: Uuid) -> Result<Option<DeadLetter>, StoreError> {
        call!(self, |connection| one_letter(connection, webhook, event))
    }

    async fn retried_letter(
        &self,
        webhook: Uuid,
        event: Uuid,
        last_error: &str,
        audit: &[AuditEntry],
    ) -> Result<bool, StoreError> {
        write!(self, |connection| async {
            let found = retried(connection, webhook, event, last_error).await?;
            if found {
                audit::append(connection, audit).await?;
            }
            Ok(found)
        })
    }

    async fn remove_letter(&self, webhook: Uuid, event: Uuid, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        write!(self, |connection| async {
            let found = remove(connection, webhook, event).await?;
            if found {
                audit::append(connection, audit).await?;
            }
            Ok(found)
        })
    }

    async fn count_letters(&self) -> Result<Vec<(Uuid, u64)>, StoreError> {
        call!(self, |connection| count(connection))
    }
}

const ALL: &str = "SELECT w.*, c.position, c.attempts, c.retry_at, c.heard_to FROM clusters.webhooks AS w \
    JOIN clusters.webhook_cursors AS c ON c.webhook_id = w.id ORDER BY w.created_at, w.id";

async fn all(connection: &mut PgConnection) -> Result<Vec<(StoredWebhook, WebhookCursor)>, Failure> {
    let rows = sqlx::query(ALL).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((webhook(row)?, cursor(row)?))).collect()
}

const INSERT: &str = "INSERT INTO clusters.webhooks (id, name, format, shown_url, event_types, label_selector, scope, \
    enabled, signed, created_by, created_at, updated_at, key_id, nonce, sealed) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
const BEGIN: &str =
    "INSERT INTO clusters.webhook_cursors (webhook_id, position, attempts, heard_to) VALUES ($1, $2, 0, $3)";

async fn insert(connection: &mut PgConnection, webhook: &StoredWebhook, at: i64) -> Result<(), Failure> {
    sqlx::query(INSERT)
        .bind(webhook.id)
        .bind(&webhook.name)
        .bind(&webhook.format)
        .bind(&webhook.shown_url)
        .bind(&webhook.event_types)
        .bind(&webhook.label_selector)
        .bind(&webhook.scope)
        .bind(webhook.enabled)
        .bind(webhook.signed)
        .bind(&webhook.created_by)
        .bind(webhook.created_at)
        .bind(webhook.updated_at)
        .bind(&webhook.seal.key_id)
        .bind(&webhook.seal.nonce)
        .bind(&webhook.seal.sealed)
        .execute(&mut *connection)
        .await?;
    sqlx::query(BEGIN).bind(webhook.id).bind(at).bind(webhook.created_at).execute(connection).await?;
    Ok(())
}

const UPDATE: &str = "UPDATE clusters.webhooks SET name = $2, format = $3, shown_url = $4, event_types = $5, \
    label_selector = $6, scope = $7, enabled = $8, signed = $9, updated_at = $10, key_id = $11, nonce = $12, \
    sealed = $13 WHERE id = $1";

async fn update(connection: &mut PgConnection, webhook: &StoredWebhook, at: Option<i64>) -> Result<bool, Failure> {
    let done = sqlx::query(UPDATE)
        .bind(webhook.id)
        .bind(&webhook.name)
        .bind(&webhook.format)
        .bind(&webhook.shown_url)
        .bind(&webhook.event_types)
        .bind(&webhook.label_selector)
        .bind(&webhook.scope)
        .bind(webhook.enabled)
        .bind(webhook.signed)
        .bind(webhook.updated_at)
        .bind(&webhook.seal.key_id)
        .bind(&webhook.seal.nonce)
        .bind(&webhook.seal.sealed)
        .execute(&mut *connection)
        .await?;
    if let Some(position) = at {
        mark(connection, &[(webhook.id, WebhookCursor::beginning(position, webhook.updated_at))]).await?;
    }
    Ok(done.rows_affected() > 0)
}

const DELETE: &str = "DELETE FROM clusters.webhooks WHERE id = $1";

async fn delete(connection: &mut PgConnection, id: Uuid) -> Result<bool, Failure> {
    Ok(sqlx::query(DELETE).bind(id).execute(connection).await?.rows_affected() > 0)
}

const RESEAL: &str = "UPDATE clusters.webhooks SET key_id = $3, nonce = $4, sealed = $5 WHERE id = $1 AND nonce = $2";

async fn reseal(connection: &mut PgConnection, seals: &[(Uuid, Vec<u8>, WebhookSeal)]) -> Result<u64, Failure> {
    let mut replaced = 0;
    for (id, nonce, seal) in seals {
        let query = sqlx::query(RESEAL).bind(*id).bind(nonce);
        let query = query.bind(&seal.key_id).bind(&seal.nonce).bind(&seal.sealed);
        replaced += query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(replaced)
}

const MARK: &str = "UPDATE clusters.webhook_cursors SET position = $2, attempts = $3, retry_at = $4, heard_to = $5 WHERE webhook_id = $1";

async fn mark(connection: &mut PgConnection, cursors: &[(Uuid, WebhookCursor)]) -> Result<(), Failure> {
    for (id, cursor) in cursors {
        let query = sqlx::query(MARK).bind(*id).bind(cursor.position).bind(i64::from(cursor.attempts));
        query.bind(cursor.retry_at).bind(cursor.heard_to).execute(&mut *connection).await?;
    }
    Ok(())
}

const BURY: &str = "INSERT INTO clusters.dead_letters (webhook_id, event_id, position, cluster_id, sequence, \
    occurred_at, buried_at, attempts, event_type, reason, last_error, payload) \
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 \
    WHERE EXISTS (SELECT 1 FROM clusters.webhooks WHERE id = $1) \
    ON CONFLICT (webhook_id, event_id) DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason, \
    last_error = excluded.last_error, buried_at = excluded.buried_at";
const TRIM: &str = "DELETE FROM clusters.dead_letters WHERE webhook_id = $1 \
    AND event_id IN (SELECT event_id FROM clusters.dead_letters WHERE webhook_id = $1 ORDER BY position DESC OFFSET $2)";

async fn bury(
    connection: &mut PgConnection,
    letter: &DeadLetter,
    cursor: &WebhookCursor,
    most: u32,
) -> Result<u64, Failure> {
    let event = &letter.event;
    sqlx::query(BURY)
        .bind(letter.webhook_id)
        .bind(event.event_id)
        .bind(event.position)
        .bind(event.cluster_id.0)
        .bind(event.sequence)
        .bind(event.timestamp)
        .bind(letter.buried_at)
        .bind(i64::from(letter.attempts))
        .bind(event.event_type.as_str())
        .bind(&letter.reason)
        .bind(&letter.last_error)
        .bind(&*event.payload)
        .execute(&mut *connection)
        .await?;
    mark(connection, &[(letter.webhook_id, cursor.clone())]).await?;
    Ok(sqlx::query(TRIM).bind(letter.webhook_id).bind(i64::from(most)).execute(connection).await?.rows_affected())
}

const LETTERS: &str =
    "SELECT * FROM clusters.dead_letters WHERE webhook_id = $1 AND position > $2 ORDER BY position LIMIT $3";

async fn letters(
    connection: &mut PgConnection,
    webhook: Uuid,
    after: i64,
    limit: u32,
) -> Result<Vec<DeadLetter>, Failure> {
    let rows = sqlx::query(LETTERS).bind(webhook).bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
    rows.iter().map(letter).collect()
}

const LETTER: &str = "SELECT * FROM clusters.dead_letters WHERE webhook_id = $1 AND event_id = $2";

async fn one_letter(connection: &mut PgConnection, webhook: Uuid, event: Uuid) -> Result<Option<DeadLetter>, Failure> {
    let row = sqlx::query(LETTER).bind(webhook).bind(event).fetch_optional(connection).await?;
    row.as_ref().map(letter).transpose()
}

const RETRIED: &str =
    "UPDATE clusters.dead_letters SET attempts = attempts + 1, last_error = $3 WHERE webhook_id = $1 AND event_id = $2";

async fn retried(connection: &mut PgConnection, webhook: Uuid, event: Uuid, last_error: &str) -> Result<bool, Failure> {
    let query = sqlx::query(RETRIED).bind(webhook).bind(event).bind(last_error);
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

const REMOVE: &str = "DELETE FROM clusters.dead_letters WHERE webhook_id = $1 AND event_id = $2";

async fn remove(connection: &mut PgConnection, webhook: Uuid, event: Uuid) -> Result<bool, Failure> {
    let done = sqlx::query(REMOVE).bind(webhook).bind(event).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

const COUNT: &str = "SELECT webhook_id, count(*) AS letters FROM clusters.dead_letters GROUP BY webhook_id";

async fn count(connection: &mut PgConnection) -> Result<Vec<(Uuid, u64)>, Failure> {
    let rows = sqlx::query(COUNT).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get("webhook_id")?, number(row.try_get("letters")?, "count")?))).collect()
}

fn webhook(row: &PgRow) -> Result<StoredWebhook, Failure> {
    Ok(StoredWebhook {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        format: row.try_get("format")?,
        shown_url: row.try_get("shown_url")?,
        event_types: row.try_get("event_types")?,
        label_selector: row.try_get("label_selector")?,
        scope: row.try_get("scope")?,
        enabled: row.try_get("enabled")?,
        signed: row.try_get("signed")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        seal: WebhookSeal {
            key_id: row.try_get("key_id")?,
            nonce: row.try_get("nonce")?,
            sealed: row.try_get("sealed")?,
        },
    })
}

fn cursor(row: &PgRow) -> Result<WebhookCursor, Failure> {
    Ok(WebhookCursor {
        position: row.try_get("position")?,
        attempts: number(row.try_get("attempts")?, "number of attempts")?,
        retry_at: row.try_get("retry_at")?,
        heard_to: row.try_get("heard_to")?,
    })
}

fn letter(row: &PgRow) -> Result<DeadLetter, Failure> {
    let event = Event::stored(
        row.try_get("position")?,
        row.try_get("event_id")?,
        word(row.try_get("event_type")?, "event type")?,
        ClusterId(row.try_get("cluster_id")?),
        row.try_get("sequence")?,
        row.try_get("occurred_at")?,
        row.try_get("payload")?,
    );
    Ok(DeadLetter {
        webhook_id: row.try_get("webhook_id")?,
        event: Arc::new(event),
        buried_at: row.try_get("buried_at")?,
        attempts: number(row.try_get("attempts")?, "number of attempts")?,
        reason: row.try_get("reason")?,
        last_error: row.try_get("last_error")?,
    })
}
