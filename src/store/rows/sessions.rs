//! Sessions of browsers.

use chrono::{DateTime, Utc};

use crate::store::{
    callers::StoredSession,
    failure::Failure,
    statement::{Connection, Row, statement},
};

const ALL: &str =
    "SELECT hash, subject, name, groups, created_at, expires_at FROM login_sessions ORDER BY created_at, hash";

pub(in crate::store) async fn all(connection: &mut impl Connection) -> Result<Vec<StoredSession>, Failure> {
    statement(ALL).fetch_all(connection, session).await
}

const INSERT: &str = "INSERT INTO login_sessions (hash, subject, name, groups, created_at, expires_at) \
    VALUES ($1, $2, $3, $4, $5, $6)";

pub(in crate::store) async fn insert(connection: &mut impl Connection, session: &StoredSession) -> Result<(), Failure> {
    statement(INSERT)
        .bind(&session.hash)
        .bind(&session.subject)
        .bind(&session.name)
        .bind(&session.groups)
        .bind(session.created_at)
        .bind(session.expires_at)
        .execute(connection)
        .await?;
    Ok(())
}

const DELETE: &str = "DELETE FROM login_sessions WHERE hash = $1";

pub(in crate::store) async fn delete(connection: &mut impl Connection, hash: &[u8; 32]) -> Result<bool, Failure> {
    Ok(statement(DELETE).bind(hash).execute(connection).await? > 0)
}

const DELETE_OVER: &str = "DELETE FROM login_sessions WHERE expires_at <= $1";

pub(in crate::store) async fn delete_over(
    connection: &mut impl Connection,
    now: DateTime<Utc>,
) -> Result<u64, Failure> {
    statement(DELETE_OVER).bind(now).execute(connection).await
}

fn session(row: &impl Row) -> Result<StoredSession, Failure> {
    Ok(StoredSession {
        hash: row.get("hash")?,
        subject: row.get("subject")?,
        name: row.get("name")?,
        groups: row.get("groups")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
    })
}
