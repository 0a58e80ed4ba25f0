//! Tokens of the API in PostgreSQL.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use crate::store::{
    contract::StoredToken,
    failure::{Failure, unreadable},
};

const ALL: &str = "SELECT id, name, hash, role, scope, created_by, created_at, expires_at, revoked_at \
    FROM clusters.api_tokens ORDER BY created_at, id";

pub(super) async fn all(connection: &mut PgConnection) -> Result<Vec<StoredToken>, Failure> {
    sqlx::query(ALL).fetch_all(connection).await?.iter().map(token).collect()
}

const INSERT: &str = "INSERT INTO clusters.api_tokens (id, name, hash, role, scope, created_by, created_at, expires_at, \
    revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

pub(super) async fn insert(connection: &mut PgConnection, token: &StoredToken) -> Result<(), Failure> {
    sqlx::query(INSERT)
        .bind(token.id)
        .bind(&token.name)
        .bind(token.hash.as_slice())
        .bind(&token.role)
        .bind(&token.scope)
        .bind(&token.created_by)
        .bind(token.created_at)
        .bind(token.expires_at)
        .bind(token.revoked_at)
        .execute(connection)
        .await?;
    Ok(())
}

const REVOKE: &str = "UPDATE clusters.api_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";

pub(super) async fn revoke(connection: &mut PgConnection, id: Uuid, at: DateTime<Utc>) -> Result<bool, Failure> {
    Ok(sqlx::query(REVOKE).bind(id).bind(at).execute(connection).await?.rows_affected() > 0)
}

const FORGET: &str = "DELETE FROM clusters.api_tokens WHERE expires_at < $1 OR revoked_at < $1";

pub(super) async fn forget(connection: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, Failure> {
    Ok(sqlx::query(FORGET).bind(before).execute(connection).await?.rows_affected())
}

fn token(row: &PgRow) -> Result<StoredToken, Failure> {
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(StoredToken {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        hash: hash.try_into().map_err(|_| unreadable("hash"))?,
        role: row.try_get("role")?,
        scope: row.try_get("scope")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}
