//! Single numbers of the engine's own: the cursor of what is published, the sign of life, the fleet's last sequence.

use chrono::{DateTime, Utc};

use crate::store::{
    failure::Failure,
    statement::{Connection, Row, statement},
};

const PUBLISHED: &str = "published";
const ALIVE_AT: &str = "alive_at";
pub(super) const FLEET_SEQUENCE: &str = "fleet_sequence";

pub(in crate::store) async fn published(connection: &mut impl Connection) -> Result<i64, Failure> {
    Ok(kept(connection, PUBLISHED).await?.unwrap_or(0))
}

pub(in crate::store) async fn mark_published(connection: &mut impl Connection, position: i64) -> Result<(), Failure> {
    keep(connection, PUBLISHED, position).await
}

pub(in crate::store) async fn last_alive(connection: &mut impl Connection) -> Result<Option<DateTime<Utc>>, Failure> {
    Ok(kept(connection, ALIVE_AT).await?.and_then(DateTime::from_timestamp_micros))
}

pub(in crate::store) async fn alive(connection: &mut impl Connection, at: DateTime<Utc>) -> Result<(), Failure> {
    keep(connection, ALIVE_AT, at.timestamp_micros()).await
}

const KEPT: &str = "SELECT value FROM engine WHERE key = $1";

/// One of the numbers.
pub(super) async fn kept(connection: &mut impl Connection, key: &'static str) -> Result<Option<i64>, Failure> {
    statement(KEPT).bind(key).fetch_optional(connection, |row| row.get("value")).await
}

const KEEP: &str = "INSERT INTO engine (key, value) VALUES ($1, $2) \
    ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE engine.value < excluded.value";

/// Keeps one of the numbers, which never falls.
pub(super) async fn keep(connection: &mut impl Connection, key: &'static str, value: i64) -> Result<(), Failure> {
    statement(KEEP).bind(key).bind(value).execute(connection).await?;
    Ok(())
}
