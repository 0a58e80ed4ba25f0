//! Tokens of the API.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::{
    callers::StoredToken,
    failure::Failure,
    statement::{Connection, Row, statement},
};

const ALL: &str = "SELECT id, name, hash, role, scope, created_by, created_at, expires_at, revoked_at FROM api_tokens \
    ORDER BY created_at, id";

pub(in crate::store) async fn all(connection: &mut impl Connection) -> Result<Vec<StoredToken>, Failure> {
    statement(ALL).fetch_all(connection, token).await
}

const INSERT: &str = "INSERT INTO api_tokens (id, name, hash, role, scope, created_by, created_at, expires_at, \
    revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

pub(in crate::store) async fn insert(connection: &mut impl Connection, token: &StoredToken) -> Result<(), Failure> {
    statement(INSERT)
        .bind(token.id)
        .bind(&token.name)
        .bind(&token.hash)
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

const REVOKE: &str = "UPDATE api_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";

pub(in crate::store) async fn revoke(
    connection: &mut impl Connection,
    id: Uuid,
    at: DateTime<Utc>,
) -> Result<bool, Failure> {
    Ok(statement(REVOKE).bind(id).bind(at).execute(connection).await? > 0)
}

const FORGET: &str = "DELETE FROM api_tokens WHERE expires_at < $1 OR revoked_at < $1";

pub(in crate::store) async fn forget(connection: &mut impl Connection, before: DateTime<Utc>) -> Result<u64, Failure> {
    statement(FORGET).bind(before).execute(connection).await
}

fn token(row: &impl Row) -> Result<StoredToken, Failure> {
    Ok(StoredToken {
        id: row.get("id")?,
        name: row.get("name")?,
        hash: row.get("hash")?,
        role: row.get("role")?,
        scope: row.get("scope")?,
        created_by: row.get("created_by")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        revoked_at: row.get("revoked_at")?,
    })
}
