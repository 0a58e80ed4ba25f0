//! Webhooks, their cursors and their dead letters in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use fleetbeat_actors::{event::Event, ports::StoreError, roll::ClusterId};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};
use uuid::Uuid;

use super::{SqliteStore, audit, finish, moment, moment_maybe, uuid_of};
use crate::store::{
    audit::AuditEntry,
    failure::{Failure, number, word},
    webhooks::{DeadLetter, StoredWebhook, WebhookCursor, WebhookRows, WebhookSeal},
};

#[async_trait]
impl WebhookRows for SqliteStore {
    async fn webhooks(&self) -> Result<Vec<(StoredWebhook, WebhookCursor)>, StoreError> {
        self.database.read(all(&self.database.readers)).await
    }

    async fn insert_webhook(
        &self,
        webhook: &StoredWebhook,
        position: i64,
        audit: &[AuditEntry],
    ) -> Result<(), StoreError> {
        write!(self, |writer| async {
            insert(writer, webhook, position).await?;
            audit::append(writer, audit).await
        })
    }

    async fn update_webhook(
        &self,
        webhook: &StoredWebhook,
        position: Option<i64>,
        audit: &[AuditEntry],
    ) -> Result<bool, StoreError> {
        write!(self, |writer| async {
            let found = update(writer, webhook, position).await?;
            if found {
                audit::append(writer, audit).await?;
            }
            Ok(found)
        })
    }

    async fn delete_webhook(&self, id: Uuid, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        write!(self, |writer| async {
            let found = delete(writer, id).await?;
            if found {
                audit::append(writer, audit).await?;
            }
            Ok(found)
        })
    }

    async fn reseal_webhooks(
        &self,
        seals: &[(Uuid, Vec<u8>, WebhookSeal)],
        audit: &[AuditEntry],
    ) -> Result<u64, StoreError> {
        write!(self, |writer| async {
            let replaced = reseal(writer, seals).await?;
            if replaced > 0 {
                audit::append(writer, audit).await?;
            }
            Ok(replaced)
        })
    }

    async fn mark_webhooks(&self, cursors: &[(Uuid, WebhookCursor)]) -> Result<(), StoreError> {
        write!(self, |writer| mark(writer, cursors))
    }

    async fn bury_letter(&self, letter: &DeadLetter, cursor: &WebhookCursor, most: u32) -> Result<u64, StoreError> {
        write!(self, |writer| bury(writer, letter, cursor, most))
    }

    async fn dead_letters(&self, webhook: Uuid, after: i64, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        self.database.read(letters(&self.database.readers, webhook, after, limit)).await
    }

    async fn dead_letter(&self, webhook: Uuid, event: Uuid) -> Result<Option<DeadLetter>, StoreError> {
        self.database.read(one_letter(&self.database.readers, webhook, event)).await
    }

    async fn retried_letter(
        &self,
        webhook: Uuid,
        event: Uuid,
        last_error: &str,
        audit: &[AuditEntry],
    ) -> Result<bool, StoreError> {
        write!(self, |writer| async {
            let found = retried(writer, webhook, event, last_error).await?;
            if found {
                audit::append(writer, audit).await?;
            }
            Ok(found)
        })
    }

    async fn remove_letter(&self, webhook: Uuid, event: Uuid, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        write!(self, |writer| async {
            let found = remove(writer, webhook, event).await?;
            if found {
                audit::append(writer, audit).await?;
            }
            Ok(found)
        })
    }

    async fn count_letters(&self) -> Result<Vec<(Uuid, u64)>, StoreError> {
        self.database.read(count(&self.database.readers)).await
    }
}

const ALL: &str = "SELECT w.*, c.position, c.attempts, c.retry_at, c.heard_to FROM webhooks AS w \
    JOIN webhook_cursors AS c ON c.webhook_id = w.id ORDER BY w.created_at, w.id";

async fn all(readers: &SqlitePool) -> Result<Vec<(StoredWebhook, WebhookCursor)>, Failure> {
    let rows = sqlx::query(ALL).fetch_all(readers).await?;
    rows.iter().map(|row| Ok((webhook(row)?, cursor(row)?))).collect()
}

const INSERT: &str = "INSERT INTO webhooks (id, name, format, shown_url, event_types, label_selector, scope, enabled, \
    signed, created_by, created_at, updated_at, key_id, nonce, sealed) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
const BEGIN: &str = "INSERT INTO webhook_cursors (webhook_id, position, attempts, heard_to) VALUES (?1, ?2, 0, ?3)";

async fn insert(writer: &mut SqliteConnection, webhook: &StoredWebhook, at: i64) -> Result<(), Failure> {
    sqlx::query(INSERT)
        .bind(text(webhook.id))
        .bind(&webhook.name)
        .bind(&webhook.format)
        .bind(&webhook.shown_url)
        .bind(&webhook.event_types)
        .bind(&webhook.label_selector)
        .bind(&webhook.scope)
        .bind(webhook.enabled)
        .bind(webhook.signed)
        .bind(&webhook.created_by)
        .bind(webhook.created_at.timestamp_micros())
        .bind(webhook.updated_at.timestamp_micros())
        .bind(&webhook.seal.key_id)
        .bind(&webhook.seal.nonce)
        .bind(&webhook.seal.sealed)
        .execute(&mut *writer)
        .await?;
    let begin = sqlx::query(BEGIN).bind(text(webhook.id)).bind(at);
    begin.bind(webhook.created_at.timestamp_micros()).execute(writer).await?;
    Ok(())
}

const UPDATE: &str = "UPDATE webhooks SET name = ?2, format = ?3, shown_url = ?4, event_types = ?5, \
    label_selector = ?6, scope = ?7, enabled = ?8, signed = ?9, updated_at = ?10, key_id = ?11, nonce = ?12, \
    sealed = ?13 WHERE id = ?1";

async fn update(writer: &mut SqliteConnection, webhook: &StoredWebhook, at: Option<i64>) -> Result<bool, Failure> {
    let done = sqlx::query(UPDATE)
        .bind(text(webhook.id))
        .bind(&webhook.name)
        .bind(&webhook.format)
        .bind(&webhook.shown_url)
        .bind(&webhook.event_types)
        .bind(&webhook.label_selector)
        .bind(&webhook.scope)
        .bind(webhook.enabled)
        .bind(webhook.signed)
        .bind(webhook.updated_at.timestamp_micros())
        .bind(&webhook.seal.key_id)
        .bind(&webhook.seal.nonce)
        .bind(&webhook.seal.sealed)
        .execute(&mut *writer)
        .await?;
    if let Some(position) = at {
        mark(writer, &[(webhook.id, WebhookCursor::beginning(position, webhook.updated_at))]).await?;
    }
    Ok(done.rows_affected() > 0)
}

const DELETE: &str = "DELETE FROM webhooks WHERE id = ?1";

async fn delete(writer: &mut SqliteConnection, id: Uuid) -> Result<bool, Failure> {
    Ok(sqlx::query(DELETE).bind(text(id)).execute(writer).await?.rows_affected() > 0)
}

const RESEAL: &str = "UPDATE webhooks SET key_id = ?3, nonce = ?4, sealed = ?5 WHERE id = ?1 AND nonce = ?2";

async fn reseal(writer: &mut SqliteConnection, seals: &[(Uuid, Vec<u8>, WebhookSeal)]) -> Result<u64, Failure> {
    let mut replaced = 0;
    for (id, nonce, seal) in seals {
        let query = sqlx::query(RESEAL).bind(text(*id)).bind(nonce);
        let query = query.bind(&seal.key_id).bind(&seal.nonce).bind(&seal.sealed);
        replaced += query.execute(&mut *writer).await?.rows_affected();
    }
    Ok(replaced)
}

const MARK: &str =
    "UPDATE webhook_cursors SET position = ?2, attempts = ?3, retry_at = ?4, heard_to = ?5 WHERE webhook_id = ?1";

async fn mark(writer: &mut SqliteConnection, cursors: &[(Uuid, WebhookCursor)]) -> Result<(), Failure> {
    for (id, cursor) in cursors {
        let query = sqlx::query(MARK).bind(text(*id)).bind(cursor.position).bind(cursor.attempts);
        let query = query.bind(cursor.retry_at.map(|at| at.timestamp_micros()));
        query.bind(cursor.heard_to.timestamp_micros()).execute(&mut *writer).await?;
    }
    Ok(())
}

const BURY: &str = "INSERT INTO dead_letters (webhook_id, event_id, position, cluster_id, sequence, occurred_at, \
    buried_at, attempts, event_type, reason, last_error, payload) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12 WHERE EXISTS (SELECT 1 FROM webhooks WHERE id = ?1) \
    ON CONFLICT (webhook_id, event_id) DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason, \
    last_error = excluded.last_error, buried_at = excluded.buried_at";
const TRIM: &str = "DELETE FROM dead_letters WHERE webhook_id = ?1 AND event_id IN (SELECT event_id FROM dead_letters \
    WHERE webhook_id = ?1 ORDER BY position DESC LIMIT -1 OFFSET ?2)";

async fn bury(
    writer: &mut SqliteConnection,
    letter: &DeadLetter,
    cursor: &WebhookCursor,
    most: u32,
) -> Result<u64, Failure> {
    let event = &letter.event;
    sqlx::query(BURY)
        .bind(text(letter.webhook_id))
        .bind(text(event.event_id))
        .bind(event.position)
        .bind(event.cluster_id.to_string())
        .bind(event.sequence)
        .bind(event.timestamp.timestamp_micros())
        .bind(letter.buried_at.timestamp_micros())
        .bind(letter.attempts)
        .bind(event.event_type.as_str())
        .bind(&letter.reason)
        .bind(&letter.last_error)
        .bind(&*event.payload)
        .execute(&mut *writer)
        .await?;
    mark(writer, &[(letter.webhook_id, cursor.clone())]).await?;
    Ok(sqlx::query(TRIM).bind(text(letter.webhook_id)).bind(most).execute(writer).await?.rows_affected())
}

const LETTERS: &str = "SELECT * FROM dead_letters WHERE webhook_id = ?1 AND position > ?2 ORDER BY position LIMIT ?3";

async fn letters(readers: &SqlitePool, webhook: Uuid, after: i64, limit: u32) -> Result<Vec<DeadLetter>, Failure> {
    let rows = sqlx::query(LETTERS).bind(text(webhook)).bind(after).bind(limit).fetch_all(readers).await?;
    rows.iter().map(letter).collect()
}

const LETTER: &str = "SELECT * FROM dead_letters WHERE webhook_id = ?1 AND event_id = ?2";

async fn one_letter(readers: &SqlitePool, webhook: Uuid, event: Uuid) -> Result<Option<DeadLetter>, Failure> {
    let row = sqlx::query(LETTER).bind(text(webhook)).bind(text(event)).fetch_optional(readers).await?;
    row.as_ref().map(letter).transpose()
}

const RETRIED: &str =
    "UPDATE dead_letters SET attempts = attempts + 1, last_error = ?3 WHERE webhook_id = ?1 AND event_id = ?2";

async fn retried(writer: &mut SqliteConnection, webhook: Uuid, event: Uuid, last_error: &str) -> Result<bool, Failure> {
    let query = sqlx::query(RETRIED).bind(text(webhook)).bind(text(event)).bind(last_error);
    Ok(query.execute(writer).await?.rows_affected() > 0)
}

const REMOVE: &str = "DELETE FROM dead_letters WHERE webhook_id = ?1 AND event_id = ?2";

async fn remove(writer: &mut SqliteConnection, webhook: Uuid, event: Uuid) -> Result<bool, Failure> {
    let done = sqlx::query(REMOVE).bind(text(webhook)).bind(text(event)).execute(writer).await?;
    Ok(done.rows_affected() > 0)
}

const COUNT: &str = "SELECT webhook_id, count(*) AS letters FROM dead_letters GROUP BY webhook_id";

async fn count(readers: &SqlitePool) -> Result<Vec<(Uuid, u64)>, Failure> {
    let rows = sqlx::query(COUNT).fetch_all(readers).await?;
    rows.iter().map(|row| Ok((uuid_of(row, "webhook_id")?, number(row.try_get("letters")?, "count")?))).collect()
}

fn text(id: Uuid) -> String {
    id.hyphenated().to_string()
}

fn webhook(row: &SqliteRow) -> Result<StoredWebhook, Failure> {
    Ok(StoredWebhook {
        id: uuid_of(row, "id")?,
        name: row.try_get("name")?,
        format: row.try_get("format")?,
        shown_url: row.try_get("shown_url")?,
        event_types: row.try_get("event_types")?,
        label_selector: row.try_get("label_selector")?,
        scope: row.try_get("scope")?,
        enabled: row.try_get("enabled")?,
        signed: row.try_get("signed")?,
        created_by: row.try_get("created_by")?,
        created_at: moment(row, "created_at")?,
        updated_at: moment(row, "updated_at")?,
        seal: WebhookSeal {
            key_id: row.try_get("key_id")?,
            nonce: row.try_get("nonce")?,
            sealed: row.try_get("sealed")?,
        },
    })
}

fn cursor(row: &SqliteRow) -> Result<WebhookCursor, Failure> {
    Ok(WebhookCursor {
        position: row.try_get("position")?,
        attempts: number(row.try_get("attempts")?, "number of attempts")?,
        retry_at: moment_maybe(row, "retry_at")?,
        heard_to: moment(row, "heard_to")?,
    })
}

fn letter(row: &SqliteRow) -> Result<DeadLetter, Failure> {
    let event = Event::stored(
        row.try_get("position")?,
        uuid_of(row, "event_id")?,
        word(row.try_get("event_type")?, "event type")?,
        ClusterId(uuid_of(row, "cluster_id")?),
        row.try_get("sequence")?,
        moment(row, "occurred_at")?,
        row.try_get("payload")?,
    );
    Ok(DeadLetter {
        webhook_id: uuid_of(row, "webhook_id")?,
        event: Arc::new(event),
        buried_at: moment(row, "buried_at")?,
        attempts: number(row.try_get("attempts")?, "number of attempts")?,
        reason: row.try_get("reason")?,
        last_error: row.try_get("last_error")?,
    })
}
