//! How values go into SQLite and come out: times as microseconds of the epoch, ids as hyphenated text.

use chrono::{DateTime, Utc};
use sqlx::{
    Row as _, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
    types::Json,
};
use uuid::Uuid;

use crate::store::{
    failure::{Failure, json, unreadable, word},
    statement::{Connection, Plain, Row, Statement, Value},
};

impl Connection for SqliteConnection {
    type Row = SqliteRow;

    async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, Failure> {
        Ok(bound(statement)?.execute(self).await?.rows_affected())
    }

    async fn fetch(&mut self, statement: Statement<'_>) -> Result<Vec<SqliteRow>, Failure> {
        Ok(bound(statement)?.fetch_all(self).await?)
    }
}

fn bound(Statement { text, values }: Statement<'_>) -> Result<Query<'static, Sqlite, SqliteArguments>, Failure> {
    let mut query = sqlx::query(text.sqlite);
    for value in values {
        query = match value {
            Value::Truth(truth) => query.bind(truth),
            Value::Whole(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Bytes(bytes) => query.bind(bytes),
            Value::Moment(at) => query.bind(at.map(|at| at.timestamp_micros())),
            Value::Id(id) => query.bind(id.hyphenated().to_string()),
            Value::Ids(ids) => query.bind(json(&ids)?),
            Value::Words(words) => query.bind(json(&words)?),
            Value::Json(value) => query.bind(value.map(Json)),
        };
    }
    Ok(query)
}

impl Row for SqliteRow {
    fn plain<'r, T: Plain<'r>>(&'r self, name: &'static str) -> Result<T, Failure> {
        Ok(self.try_get(name)?)
    }

    fn id(&self, name: &'static str) -> Result<Uuid, Failure> {
        word(self.try_get(name)?, "id")
    }

    fn moment(&self, name: &'static str) -> Result<Option<DateTime<Utc>>, Failure> {
        let micros: Option<i64> = self.try_get(name)?;
        micros.map(|micros| DateTime::from_timestamp_micros(micros).ok_or_else(|| unreadable("time"))).transpose()
    }

    fn small(&self, name: &'static str) -> Result<i64, Failure> {
        Ok(self.try_get(name)?)
    }
}
