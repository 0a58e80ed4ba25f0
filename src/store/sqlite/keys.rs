//! Tokens of the API in SQLite.

use chrono::{DateTime, Utc};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};
use uuid::Uuid;

use super::{moment, moment_maybe, uuid_of};
use crate::store::{
    contract::StoredToken,
    failure::{Failure, unreadable},
};

const ALL: &str = "SELECT id, name, hash, role, scope, created_by, created_at, expires_at, revoked_at FROM api_tokens \
    ORDER BY created_at, id";

pub(super) async fn all(readers: &SqlitePool) -> Result<Vec<StoredToken>, Failure> {
    sqlx::query(ALL).fetch_all(readers).await?.iter().map(token).collect()
}

const INSERT: &str = "INSERT INTO api_tokens (id, name, hash, role, scope, created_by, created_at, expires_at, \
    revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

pub(super) async fn insert(writer: &mut SqliteConnection, token: &StoredToken) -> Result<(), Failure> {
    sqlx::query(INSERT)
        .bind(token.id.hyphenated().to_string())
        .bind(&token.name)
        .bind(token.hash.as_slice())
        .bind(&token.role)
        .bind(&token.scope)
        .bind(&token.created_by)
        .bind(token.created_at.timestamp_micros())
        .bind(token.expires_at.map(|at| at.timestamp_micros()))
        .bind(token.revoked_at.map(|at| at.timestamp_micros()))
        .execute(writer)
        .await?;
    Ok(())
}

const REVOKE: &str = "UPDATE api_tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";

pub(super) async fn revoke(writer: &mut SqliteConnection, id: Uuid, at: DateTime<Utc>) -> Result<bool, Failure> {
    let done =
        sqlx::query(REVOKE).bind(id.hyphenated().to_string()).bind(at.timestamp_micros()).execute(writer).await?;
    Ok(done.rows_affected() > 0)
}

const FORGET: &str = "DELETE FROM api_tokens WHERE expires_at < ?1 OR revoked_at < ?1";

pub(super) async fn forget(writer: &mut SqliteConnection, before: DateTime<Utc>) -> Result<u64, Failure> {
    Ok(sqlx::query(FORGET).bind(before.timestamp_micros()).execute(writer).await?.rows_affected())
}

fn token(row: &SqliteRow) -> Result<StoredToken, Failure> {
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(StoredToken {
        id: uuid_of(row, "id")?,
        name: row.try_get("name")?,
        hash: hash.try_into().map_err(|_| unreadable("hash"))?,
        role: row.try_get("role")?,
        scope: row.try_get("scope")?,
        created_by: row.try_get("created_by")?,
        created_at: moment(row, "created_at")?,
        expires_at: moment_maybe(row, "expires_at")?,
        revoked_at: moment_maybe(row, "revoked_at")?,
    })
}
