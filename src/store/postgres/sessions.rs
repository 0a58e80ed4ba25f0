//! Sessions of browsers in PostgreSQL.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row, postgres::PgRow};

use crate::store::{
    contract::StoredSession,
    failure::{Failure, unreadable},
};

const ALL: &str = "SELECT hash, subject, name, groups, created_at, expires_at FROM clusters.login_sessions \
    ORDER BY created_at, hash";

pub(super) async fn all(connection: &mut PgConnection) -> Result<Vec<StoredSession>, Failure> {
    sqlx::query(ALL).fetch_all(connection).await?.iter().map(session).collect()
}

const INSERT: &str = "INSERT INTO clusters.login_sessions (hash, subject, name, groups, created_at, expires_at) \
    VALUES ($1, $2, $3, $4, $5, $6)";

pub(super) async fn insert(connection: &mut PgConnection, session: &StoredSession) -> Result<(), Failure> {
    sqlx::query(INSERT)
        .bind(session.hash.as_slice())
        .bind(&session.subject)
        .bind(&session.name)
        .bind(&session.groups)
        .bind(session.created_at)
        .bind(session.expires_at)
        .execute(connection)
        .await?;
    Ok(())
}

const DELETE: &str = "DELETE FROM clusters.login_sessions WHERE hash = $1";

pub(super) async fn delete(connection: &mut PgConnection, hash: &[u8; 32]) -> Result<bool, Failure> {
    Ok(sqlx::query(DELETE).bind(hash.as_slice()).execute(connection).await?.rows_affected() > 0)
}

const DELETE_OVER: &str = "DELETE FROM clusters.login_sessions WHERE expires_at <= $1";

pub(super) async fn delete_over(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<u64, Failure> {
    Ok(sqlx::query(DELETE_OVER).bind(now).execute(connection).await?.rows_affected())
}

fn session(row: &PgRow) -> Result<StoredSession, Failure> {
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(StoredSession {
        hash: hash.try_into().map_err(|_| unreadable("hash"))?,
        subject: row.try_get("subject")?,
        name: row.try_get("name")?,
        groups: row.try_get("groups")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}
