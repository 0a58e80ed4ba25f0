//! How values go into PostgreSQL and come out.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use fleetbeat_actors::{
    event::Event,
    health::{Status, Transition},
    roll::{Cluster, ClusterId},
    rollup::Rollup,
};
use sqlx::{PgConnection, Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::{audit, clusters, columns::Statement as Bound, events, ledger};
use crate::store::{
    audit::AuditRow,
    failure::Failure,
    statement::{Bulk, Connection, Plain, Row, Statement, Value},
};

impl Connection for PgConnection {
    type Row = PgRow;

    async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, Failure> {
        Ok(bound(statement).execute(self).await?.rows_affected())
    }

    async fn fetch(&mut self, statement: Statement<'_>) -> Result<Vec<PgRow>, Failure> {
        Ok(bound(statement).fetch_all(self).await?)
    }
}

fn bound(Statement { text, values }: Statement<'_>) -> Bound<'static> {
    values.into_iter().fold(sqlx::query(text.postgres), |query, value| match value {
        Value::Truth(truth) => query.bind(truth),
        Value::Whole(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Moment(at) => query.bind(at),
        Value::Id(id) => query.bind(id),
        Value::Ids(ids) => query.bind(ids),
        Value::Words(words) => query.bind(words),
        Value::Json(value) => query.bind(value.map(Json)),
    })
}

impl Bulk for PgConnection {
    async fn insert_clusters(&mut self, rows: &[(Arc<Cluster>, Status)]) -> Result<(), Failure> {
        clusters::insert(self, rows).await
    }

    async fn update_statuses(&mut self, rows: &[(ClusterId, Arc<Status>)]) -> Result<(), Failure> {
        ledger::update_statuses(self, rows).await
    }

    async fn insert_transitions(&mut self, rows: &[Arc<Transition>]) -> Result<(), Failure> {
        ledger::insert_transitions(self, rows).await
    }

    async fn upsert_rollups(&mut self, rows: &[Rollup]) -> Result<(), Failure> {
        ledger::upsert_rollups(self, rows).await
    }

    async fn insert_events(&mut self, rows: &[Arc<Event>]) -> Result<(), Failure> {
        events::insert(self, rows).await
    }

    async fn advance_sequences(&mut self, rows: BTreeMap<ClusterId, i64>) -> Result<(), Failure> {
        events::advance(self, rows).await
    }

    async fn hold_audit(&mut self) -> Result<(), Failure> {
        audit::hold(self).await
    }

    async fn insert_audit(&mut self, rows: Vec<AuditRow>) -> Result<(), Failure> {
        audit::insert(self, rows).await
    }
}

impl Row for PgRow {
    fn plain<'r, T: Plain<'r>>(&'r self, name: &'static str) -> Result<T, Failure> {
        Ok(self.try_get(name)?)
    }

    fn id(&self, name: &'static str) -> Result<Uuid, Failure> {
        Ok(self.try_get(name)?)
    }

    fn moment(&self, name: &'static str) -> Result<Option<DateTime<Utc>>, Failure> {
        Ok(self.try_get(name)?)
    }

    fn small(&self, name: &'static str) -> Result<i64, Failure> {
        Ok(self.try_get::<i16, _>(name)?.into())
    }
}
