//! Sessions of browsers in SQLite.

use chrono::{DateTime, Utc};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::moment;
use crate::store::{
    contract::StoredSession,
    failure::{Failure, unreadable},
};

const ALL: &str =
    "SELECT hash, subject, name, groups, created_at, expires_at FROM login_sessions ORDER BY created_at, hash";

pub(super) async fn all(readers: &SqlitePool) -> Result<Vec<StoredSession>, Failure> {
    sqlx::query(ALL).fetch_all(readers).await?.iter().map(session).collect()
}

const INSERT: &str = "INSERT INTO login_sessions (hash, subject, name, groups, created_at, expires_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub(super) async fn insert(writer: &mut SqliteConnection, session: &StoredSession) -> Result<(), Failure> {
    sqlx::query(INSERT)
        .bind(session.hash.as_slice())
        .bind(&session.subject)
        .bind(&session.name)
        .bind(&session.groups)
        .bind(session.created_at.timestamp_micros())
        .bind(session.expires_at.timestamp_micros())
        .execute(writer)
        .await?;
    Ok(())
}

const DELETE: &str = "DELETE FROM login_sessions WHERE hash = ?1";

pub(super) async fn delete(writer: &mut SqliteConnection, hash: &[u8; 32]) -> Result<bool, Failure> {
    Ok(sqlx::query(DELETE).bind(hash.as_slice()).execute(writer).await?.rows_affected() > 0)
}

const DELETE_OVER: &str = "DELETE FROM login_sessions WHERE expires_at <= ?1";

pub(super) async fn delete_over(writer: &mut SqliteConnection, now: DateTime<Utc>) -> Result<u64, Failure> {
    Ok(sqlx::query(DELETE_OVER).bind(now.timestamp_micros()).execute(writer).await?.rows_affected())
}

fn session(row: &SqliteRow) -> Result<StoredSession, Failure> {
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(StoredSession {
        hash: hash.try_into().map_err(|_| unreadable("hash"))?,
        subject: row.try_get("subject")?,
        name: row.try_get("name")?,
        groups: row.try_get("groups")?,
        created_at: moment(row, "created_at")?,
        expires_at: moment(row, "expires_at")?,
    })
}
