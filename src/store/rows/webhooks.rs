//! Webhooks, their cursors and their dead letters.

use uuid::Uuid;

use super::events::event;
use crate::store::{
    failure::Failure,
    statement::{Connection, Row, Statement, statement},
    webhooks::{DeadLetter, StoredWebhook, WebhookCursor, WebhookSeal},
};

const ALL: &str = "SELECT w.*, c.position, c.attempts, c.retry_at, c.heard_to FROM webhooks AS w \
    JOIN webhook_cursors AS c ON c.webhook_id = w.id ORDER BY w.created_at, w.id";

pub(in crate::store) async fn all(
    connection: &mut impl Connection,
) -> Result<Vec<(StoredWebhook, WebhookCursor)>, Failure> {
    statement(ALL).fetch_all(connection, |row| Ok((webhook(row)?, cursor(row)?))).await
}

const INSERT: &str = "INSERT INTO webhooks (id, name, format, shown_url, event_types, label_selector, scope, enabled, \
    signed, updated_at, key_id, nonce, sealed, created_by, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
const BEGIN: &str = "INSERT INTO webhook_cursors (webhook_id, position, attempts, heard_to) VALUES ($1, $2, 0, $3)";

pub(in crate::store) async fn insert(
    connection: &mut impl Connection,
    webhook: &StoredWebhook,
    at: i64,
) -> Result<(), Failure> {
    described(INSERT, webhook).bind(&webhook.created_by).bind(webhook.created_at).execute(connection).await?;
    statement(BEGIN).bind(webhook.id).bind(at).bind(webhook.created_at).execute(connection).await?;
    Ok(())
}

const UPDATE: &str = "UPDATE webhooks SET name = $2, format = $3, shown_url = $4, event_types = $5, \
    label_selector = $6, scope = $7, enabled = $8, signed = $9, updated_at = $10, key_id = $11, nonce = $12, \
    sealed = $13 WHERE id = $1";

pub(in crate::store) async fn update(
    connection: &mut impl Connection,
    webhook: &StoredWebhook,
    at: Option<i64>,
) -> Result<bool, Failure> {
    let touched = described(UPDATE, webhook).execute(connection).await?;
    if let Some(position) = at {
        mark(connection, &[(webhook.id, WebhookCursor::beginning(position, webhook.updated_at))]).await?;
    }
    Ok(touched > 0)
}

/// A statement with what both of the above set, in their order.
fn described<'q>(text: &'static str, webhook: &'q StoredWebhook) -> Statement<'q> {
    statement(text)
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
}

const DELETE: &str = "DELETE FROM webhooks WHERE id = $1";

pub(in crate::store) async fn delete(connection: &mut impl Connection, id: Uuid) -> Result<bool, Failure> {
    Ok(statement(DELETE).bind(id).execute(connection).await? > 0)
}

const RESEAL: &str = "UPDATE webhooks SET key_id = $3, nonce = $4, sealed = $5 WHERE id = $1 AND nonce = $2";

pub(in crate::store) async fn reseal(
    connection: &mut impl Connection,
    seals: &[(Uuid, Vec<u8>, WebhookSeal)],
) -> Result<u64, Failure> {
    let mut replaced = 0;
    for (id, nonce, seal) in seals {
        let statement = statement(RESEAL).bind(*id).bind(nonce);
        let statement = statement.bind(&seal.key_id).bind(&seal.nonce).bind(&seal.sealed);
        replaced += statement.execute(connection).await?;
    }
    Ok(replaced)
}

const MARK: &str =
    "UPDATE webhook_cursors SET position = $2, attempts = $3, retry_at = $4, heard_to = $5 WHERE webhook_id = $1";

pub(in crate::store) async fn mark(
    connection: &mut impl Connection,
    cursors: &[(Uuid, WebhookCursor)],
) -> Result<(), Failure> {
    for (id, cursor) in cursors {
        let statement = statement(MARK).bind(*id).bind(cursor.position).bind(cursor.attempts);
        statement.bind(cursor.retry_at).bind(cursor.heard_to).execute(connection).await?;
    }
    Ok(())
}

const BURY: &str = "INSERT INTO dead_letters (webhook_id, event_id, position, cluster_id, sequence, occurred_at, \
    buried_at, attempts, event_type, reason, last_error, payload) \
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 WHERE EXISTS (SELECT 1 FROM webhooks WHERE id = $1) \
    ON CONFLICT (webhook_id, event_id) DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason, \
    last_error = excluded.last_error, buried_at = excluded.buried_at";
const TRIM: &str = "DELETE FROM dead_letters WHERE webhook_id = $1 AND event_id IN (SELECT event_id FROM dead_letters \
    WHERE webhook_id = $1 ORDER BY position DESC LIMIT 4294967295 OFFSET $2)";

pub(in crate::store) async fn bury(
    connection: &mut impl Connection,
    letter: &DeadLetter,
    cursor: &WebhookCursor,
    most: u32,
) -> Result<u64, Failure> {
    let event = &letter.event;
    statement(BURY)
        .bind(letter.webhook_id)
        .bind(event.event_id)
        .bind(event.position)
        .bind(event.cluster_id)
        .bind(event.sequence)
        .bind(event.timestamp)
        .bind(letter.buried_at)
        .bind(letter.attempts)
        .bind(event.event_type.as_str())
        .bind(&letter.reason)
        .bind(&letter.last_error)
        .bind(&*event.payload)
        .execute(connection)
        .await?;
    mark(connection, &[(letter.webhook_id, cursor.clone())]).await?;
    statement(TRIM).bind(letter.webhook_id).bind(most).execute(connection).await
}

const LETTERS: &str = "SELECT * FROM dead_letters WHERE webhook_id = $1 AND position > $2 ORDER BY position LIMIT $3";

pub(in crate::store) async fn letters(
    connection: &mut impl Connection,
    webhook: Uuid,
    after: i64,
    limit: u32,
) -> Result<Vec<DeadLetter>, Failure> {
    statement(LETTERS).bind(webhook).bind(after).bind(limit).fetch_all(connection, letter).await
}

const LETTER: &str = "SELECT * FROM dead_letters WHERE webhook_id = $1 AND event_id = $2";

pub(in crate::store) async fn one_letter(
    connection: &mut impl Connection,
    webhook: Uuid,
    event: Uuid,
) -> Result<Option<DeadLetter>, Failure> {
    statement(LETTER).bind(webhook).bind(event).fetch_optional(connection, letter).await
}

const RETRIED: &str =
    "UPDATE dead_letters SET attempts = attempts + 1, last_error = $3 WHERE webhook_id = $1 AND event_id = $2";

pub(in crate::store) async fn retried(
    connection: &mut impl Connection,
    webhook: Uuid,
    event: Uuid,
    last_error: &str,
) -> Result<bool, Failure> {
    Ok(statement(RETRIED).bind(webhook).bind(event).bind(last_error).execute(connection).await? > 0)
}

const REMOVE: &str = "DELETE FROM dead_letters WHERE webhook_id = $1 AND event_id = $2";

pub(in crate::store) async fn remove(
    connection: &mut impl Connection,
    webhook: Uuid,
    event: Uuid,
) -> Result<bool, Failure> {
    Ok(statement(REMOVE).bind(webhook).bind(event).execute(connection).await? > 0)
}

const COUNT: &str = "SELECT webhook_id, count(*) AS letters FROM dead_letters GROUP BY webhook_id";

pub(in crate::store) async fn count(connection: &mut impl Connection) -> Result<Vec<(Uuid, u64)>, Failure> {
    statement(COUNT).fetch_all(connection, |row| Ok((row.get("webhook_id")?, row.number("letters", "count")?))).await
}

fn webhook(row: &impl Row) -> Result<StoredWebhook, Failure> {
    Ok(StoredWebhook {
        id: row.get("id")?,
        name: row.get("name")?,
        format: row.get("format")?,
        shown_url: row.get("shown_url")?,
        event_types: row.get("event_types")?,
        label_selector: row.get("label_selector")?,
        scope: row.get("scope")?,
        enabled: row.get("enabled")?,
        signed: row.get("signed")?,
        created_by: row.get("created_by")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        seal: WebhookSeal { key_id: row.get("key_id")?, nonce: row.get("nonce")?, sealed: row.get("sealed")? },
    })
}

fn cursor(row: &impl Row) -> Result<WebhookCursor, Failure> {
    Ok(WebhookCursor {
        position: row.get("position")?,
        attempts: row.number("attempts", "number of attempts")?,
        retry_at: row.get("retry_at")?,
        heard_to: row.get("heard_to")?,
    })
}

fn letter(row: &impl Row) -> Result<DeadLetter, Failure> {
    Ok(DeadLetter {
        webhook_id: row.get("webhook_id")?,
        event: event(row)?,
        buried_at: row.get("buried_at")?,
        attempts: row.number("attempts", "number of attempts")?,
        reason: row.get("reason")?,
        last_error: row.get("last_error")?,
    })
}
