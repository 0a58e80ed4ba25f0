//! What is remembered of Secrets on the hub.

use std::sync::Arc;

use fleetbeat_actors::{event::Event, roll::ClusterId};
use sqlx::types::Json;

use super::{clusters, events};
use crate::store::{
    bulk::Bulk,
    failure::{Failure, document},
    secrets::{BegunWrite, SecretMark},
    statement::{Connection, Row, statement},
};

const ALL: &str = "SELECT * FROM secret_marks";
const OF_ONE: &str = "SELECT * FROM secret_marks WHERE cluster_id = $1";

pub(in crate::store) async fn marks(
    connection: &mut impl Connection,
    of: Option<ClusterId>,
) -> Result<Vec<SecretMark>, Failure> {
    let read = match of {
        None => statement(ALL),
        Some(id) => statement(OF_ONE).bind(id),
    };
    read.fetch_all(connection, mark).await
}

const BEGIN: &str = "INSERT INTO secret_marks (cluster_id, begun) VALUES ($1, $2) \
    ON CONFLICT (cluster_id) DO UPDATE SET begun = excluded.begun";

pub(in crate::store) async fn begin(
    connection: &mut impl Connection,
    id: ClusterId,
    begun: Option<&BegunWrite>,
) -> Result<(), Failure> {
    clusters::must_stay(connection, id).await?;
    statement(BEGIN).bind(id).bind(begun.map(document).transpose()?).execute(connection).await?;
    Ok(())
}

const SETTLE: &str = "INSERT INTO secret_marks (cluster_id, version) VALUES ($1, $2) \
    ON CONFLICT (cluster_id) DO UPDATE SET version = excluded.version, begun = NULL";

pub(in crate::store) async fn settle(
    connection: &mut impl Bulk,
    id: ClusterId,
    version: Option<&str>,
    log: &[Arc<Event>],
) -> Result<(), Failure> {
    clusters::must_stay(connection, id).await?;
    statement(SETTLE).bind(id).bind(version).execute(connection).await?;
    events::insert(connection, log).await
}

fn mark(row: &impl Row) -> Result<SecretMark, Failure> {
    let begun = row.plain::<Option<Json<BegunWrite>>>("begun")?.map(|Json(begun)| begun);
    Ok(SecretMark { cluster_id: row.get("cluster_id")?, version: row.get("version")?, begun })
}
