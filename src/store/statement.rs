//! Statements for either database: how values go in and how rows come out. What a table's statements say is in `rows`.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use fleetbeat_actors::roll::ClusterId;
use serde::de::DeserializeOwned;
use sqlx::{Decode, Postgres, Sqlite, Type, types::Json};
use uuid::Uuid;

use super::failure::{Failure, number, unreadable, word};

/// A statement with its values.
pub(super) struct Statement<'q> {
    pub(super) text: Text,
    pub(super) values: Vec<Value<'q>>,
}

/// What a statement says to each database. Both take `$1`, and tables without their schema.
#[derive(Clone, Copy)]
pub(super) struct Text {
    pub(super) postgres: &'static str,
    pub(super) sqlite: &'static str,
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self { postgres: text, sqlite: text }
    }
}

/// A value that goes in.
pub(super) enum Value<'q> {
    Truth(bool),
    Whole(Option<i64>),
    Text(Option<&'q str>),
    Bytes(&'q [u8]),
    Moment(Option<DateTime<Utc>>),
    Id(Uuid),
    /// For `= ANY($1)` in PostgreSQL and `IN (SELECT value FROM json_each($1))` in SQLite.
    Ids(Vec<Uuid>),
    /// Likewise.
    Words(Vec<&'static str>),
    Json(Option<serde_json::Value>),
}

/// A statement without values yet.
pub(super) fn statement<'q>(text: impl Into<Text>) -> Statement<'q> {
    Statement { text: text.into(), values: Vec::new() }
}

impl<'q> Statement<'q> {
    /// The next value.
    pub(super) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it; how many rows it touched.
    pub(super) async fn execute(self, connection: &mut impl Connection) -> Result<u64, Failure> {
        connection.execute(self).await
    }

    /// Runs it and reads every row.
    pub(super) async fn fetch_all<C: Connection, T>(
        self,
        connection: &mut C,
        read: impl Fn(&C::Row) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        connection.fetch(self).await?.iter().map(read).collect()
    }

    /// Runs it and reads the first row, if there is one.
    pub(super) async fn fetch_optional<C: Connection, T>(
        self,
        connection: &mut C,
        read: impl Fn(&C::Row) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        connection.fetch(self).await?.first().map(read).transpose()
    }
}

/// A connection to one of the databases.
pub(super) trait Connection: Send {
    type Row: Row;

    fn execute(&mut self, statement: Statement<'_>) -> impl Future<Output = Result<u64, Failure>> + Send;

    fn fetch(&mut self, statement: Statement<'_>) -> impl Future<Output = Result<Vec<Self::Row>, Failure>> + Send;
}

/// A row that comes out.
pub(super) trait Row: Send + Sized {
    /// What the driver reads from both databases, borrowed from the row where it can be.
    fn plain<'r, T: Plain<'r>>(&'r self, name: &'static str) -> Result<T, Failure>;

    fn id(&self, name: &'static str) -> Result<Uuid, Failure>;

    fn moment(&self, name: &'static str) -> Result<Option<DateTime<Utc>>, Failure>;

    /// A number of 16 bits.
    fn small(&self, name: &'static str) -> Result<i64, Failure>;

    /// A column, as what it is wanted for.
    fn get<T: Column>(&self, name: &'static str) -> Result<T, Failure> {
        T::of(self, name)
    }

    /// A word of a closed vocabulary.
    fn word<T: FromStr>(&self, name: &'static str, what: &'static str) -> Result<T, Failure> {
        word(self.plain(name)?, what)
    }

    /// A number that must fit.
    fn number<T: TryFrom<i64>>(&self, name: &'static str, what: &'static str) -> Result<T, Failure> {
        number(self.plain(name)?, what)
    }

    /// A document.
    fn json<T: DeserializeOwned + 'static>(&self, name: &'static str) -> Result<T, Failure> {
        Ok(self.plain::<Json<T>>(name)?.0)
    }
}

/// Types that the driver reads from both databases.
pub(super) trait Plain<'r>: Type<Postgres> + Decode<'r, Postgres> + Type<Sqlite> + Decode<'r, Sqlite> {}

impl<'r, T> Plain<'r> for T where T: Type<Postgres> + Decode<'r, Postgres> + Type<Sqlite> + Decode<'r, Sqlite> {}

/// A value that comes out.
pub(super) trait Column: Sized {
    fn of(row: &impl Row, name: &'static str) -> Result<Self, Failure>;
}

macro_rules! comes_out {
    ($($type:ty: |$row:ident, $name:ident| $read:expr),+ $(,)?) => {$(
        impl Column for $type {
            fn of($row: &impl Row, $name: &'static str) -> Result<Self, Failure> {
                $read
            }
        }
    )+};
}

comes_out! {
    bool: |row, name| row.plain(name),
    i64: |row, name| row.plain(name),
    f64: |row, name| row.plain(name),
    String: |row, name| row.plain(name),
    Vec<u8>: |row, name| row.plain(name),
    Option<i64>: |row, name| row.plain(name),
    Option<String>: |row, name| row.plain(name),
    Option<serde_json::Value>: |row, name| Ok(row.plain::<Option<Json<_>>>(name)?.map(|Json(value)| value)),
    Uuid: |row, name| row.id(name),
    ClusterId: |row, name| row.id(name).map(ClusterId),
    Option<DateTime<Utc>>: |row, name| row.moment(name),
    DateTime<Utc>: |row, name| row.moment(name)?.ok_or_else(|| unreadable("time")),
    // A hash.
    [u8; 32]: |row, name| row.plain::<Vec<u8>>(name)?.try_into().map_err(|_| unreadable("hash")),
    // A health score.
    u8: |row, name| number(row.small(name)?, "score"),
}

macro_rules! goes_in {
    ($($type:ty: |$value:ident| $made:expr),+ $(,)?) => {$(
        impl<'q> From<$type> for Value<'q> {
            fn from($value: $type) -> Self {
                $made
            }
        }
    )+};
}

goes_in! {
    bool: |truth| Self::Truth(truth),
    i64: |number| Self::Whole(Some(number)),
    u32: |number| Self::Whole(Some(number.into())),
    Option<i64>: |number| Self::Whole(number),
    &'q str: |text| Self::Text(Some(text)),
    &'q String: |text| Self::Text(Some(text)),
    Option<&'q str>: |text| Self::Text(text),
    &'q Option<String>: |text| Self::Text(text.as_deref()),
    &'q [u8]: |bytes| Self::Bytes(bytes),
    &'q Vec<u8>: |bytes| Self::Bytes(bytes),
    &'q [u8; 32]: |bytes| Self::Bytes(bytes),
    DateTime<Utc>: |at| Self::Moment(Some(at)),
    Option<DateTime<Utc>>: |at| Self::Moment(at),
    Uuid: |id| Self::Id(id),
    ClusterId: |id| Self::Id(id.0),
    &[Uuid]: |ids| Self::Ids(ids.to_vec()),
    &[ClusterId]: |ids| Self::Ids(ids.iter().map(|id| id.0).collect()),
    Vec<&'static str>: |words| Self::Words(words),
    serde_json::Value: |value| Self::Json(Some(value)),
    Option<serde_json::Value>: |value| Self::Json(value),
}
