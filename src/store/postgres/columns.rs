//! Rows turned into arrays, one per column, for statements that take them with `UNNEST`.

use chrono::{DateTime, Utc};
use fleetbeat_actors::{health::Status, roll::ClusterId};
use sqlx::{Postgres, postgres::PgArguments, query::Query};
use uuid::Uuid;

use crate::store::failure::{Failure, json};

/// Rows per statement.
pub(super) const CHUNK: usize = 1_000;

pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Collects one array per field of a row.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident { $($column:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name { $(pub(super) $column: Vec<$type>),+ }

        impl $name {
            /// Binds the arrays in the order of their declaration.
            pub(super) fn bind<'q>(self, statement: $crate::store::postgres::columns::Statement<'q>) -> $crate::store::postgres::columns::Statement<'q> {
                statement$(.bind(self.$column))+
            }
        }
    };
}
pub(super) use columns;

columns! {
    /// Statuses by column.
    Statuses {
        cluster_id: Uuid,
        version: i64,
        state: &'static str,
        since: DateTime<Utc>,
        health_score: i16,
        connected: bool,
        flapping: bool,
        held: bool,
        last_check_at: Option<DateTime<Utc>>,
        last_success_at: Option<DateTime<Utc>>,
        latency_ms: Option<i64>,
        observed_generation: i64,
        findings: String,
        memory: String,
    }
}

impl Statuses {
    pub(super) fn push(&mut self, id: ClusterId, status: &Status) -> Result<(), Failure> {
        self.cluster_id.push(id.0);
        self.version.push(status.version);
        self.state.push(status.state.as_str());
        self.since.push(status.since);
        self.health_score.push(status.health_score.into());
        self.connected.push(status.connected);
        self.flapping.push(status.flapping);
        self.held.push(status.held);
        self.last_check_at.push(status.last_check_at);
        self.last_success_at.push(status.last_success_at);
        self.latency_ms.push(status.latency_ms.map(i64::from));
        self.observed_generation.push(status.observed_generation);
        self.findings.push(json(&status.findings)?);
        self.memory.push(json(&status.memory)?);
        Ok(())
    }
}
