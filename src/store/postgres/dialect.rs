//! How values go into PostgreSQL and come out.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::columns::Statement as Bound;
use crate::store::{
    failure::Failure,
    statement::{Connection, Plain, Row, Statement, Value},
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
