//! Sealed credentials.

use std::sync::Arc;

use fleetbeat_actors::{event::Event, health::Endpoint, roll::ClusterId};

use super::{clusters, events};
use crate::store::{
    bulk::Bulk,
    contract::SealedRow,
    failure::{Failure, kind},
    statement::{Connection, Row, Text, statement},
};

const AFTER: &str = "SELECT * FROM credentials WHERE (cluster_id, kind) > ($1, $2) ORDER BY cluster_id, kind LIMIT $3";

pub(in crate::store) async fn after(
    connection: &mut impl Connection,
    after: Option<(ClusterId, Endpoint)>,
    limit: u32,
) -> Result<Vec<SealedRow>, Failure> {
    let (id, kind) = after.map_or((ClusterId::FLEET, ""), |(id, kind)| (id, kind.as_str()));
    statement(AFTER).bind(id).bind(kind).bind(limit).fetch_all(connection, sealed).await
}

const PUT: &str = "INSERT INTO credentials \
    (cluster_id, kind, auth_type, bound_to, key_id, nonce, sealed, expires_at, updated_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (cluster_id, kind) DO UPDATE SET \
    auth_type = excluded.auth_type, bound_to = excluded.bound_to, key_id = excluded.key_id, nonce = excluded.nonce, \
    sealed = excluded.sealed, expires_at = excluded.expires_at, updated_at = excluded.updated_at";

pub(in crate::store) async fn write(
    connection: &mut impl Bulk,
    id: ClusterId,
    put: &[SealedRow],
    gone: &[Endpoint],
    log: &[Arc<Event>],
) -> Result<(), Failure> {
    clusters::must_stay(connection, id).await?;
    remove(connection, id, gone).await?;
    for row in put {
        statement(PUT)
            .bind(id)
            .bind(row.kind.as_str())
            .bind(&row.auth_type)
            .bind(&row.bound_to)
            .bind(&row.key_id)
            .bind(&row.nonce)
            .bind(&row.sealed)
            .bind(row.expires_at)
            .bind(row.updated_at)
            .execute(connection)
            .await?;
    }
    events::insert(connection, log).await
}

const REMOVE: Text = Text {
    postgres: "DELETE FROM credentials WHERE cluster_id = $1 AND kind = ANY($2)",
    sqlite: "DELETE FROM credentials WHERE cluster_id = $1 AND kind IN (SELECT value FROM json_each($2))",
};

pub(in crate::store) async fn remove(
    connection: &mut impl Connection,
    id: ClusterId,
    kinds: &[Endpoint],
) -> Result<(), Failure> {
    if kinds.is_empty() {
        return Ok(());
    }
    let kinds: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
    statement(REMOVE).bind(id).bind(kinds).execute(connection).await?;
    Ok(())
}

const RESEAL: &str = "UPDATE credentials SET key_id = $4, nonce = $5, sealed = $6 \
    WHERE cluster_id = $1 AND kind = $2 AND nonce = $3";

pub(in crate::store) async fn reseal(
    connection: &mut impl Connection,
    rows: &[(Vec<u8>, SealedRow)],
) -> Result<u64, Failure> {
    let mut replaced = 0;
    for (nonce, row) in rows {
        replaced += statement(RESEAL)
            .bind(row.cluster_id)
            .bind(row.kind.as_str())
            .bind(nonce)
            .bind(&row.key_id)
            .bind(&row.nonce)
            .bind(&row.sealed)
            .execute(connection)
            .await?;
    }
    Ok(replaced)
}

fn sealed(row: &impl Row) -> Result<SealedRow, Failure> {
    Ok(SealedRow {
        cluster_id: row.get("cluster_id")?,
        kind: kind(row.plain("kind")?)?,
        auth_type: row.get("auth_type")?,
        bound_to: row.get("bound_to")?,
        key_id: row.get("key_id")?,
        nonce: row.get("nonce")?,
        sealed: row.get("sealed")?,
        expires_at: row.get("expires_at")?,
        updated_at: row.get("updated_at")?,
    })
}
