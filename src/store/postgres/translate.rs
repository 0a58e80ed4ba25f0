//! The one place where PostgreSQL's errors get their meaning.

use fleetbeat_actors::ports::StoreError;
use sqlx::{
    error::DatabaseError,
    postgres::{PgDatabaseError, PgSeverity},
};

use crate::store::failure::Failure;

/// What an error means to the caller. `committing`: the commit had been sent when it happened.
pub(super) fn translate(failure: Failure, committing: bool) -> StoreError {
    match failure {
        Failure::Store(error) => error,
        Failure::Sql(error) => {
            let reason = describe(&error);
            match verdict(&error) {
                Verdict::Refused => StoreError::Broken(reason),
                Verdict::NotNow => StoreError::Unavailable { reason, doubtful: false },
                Verdict::Lost => StoreError::Unavailable { reason, doubtful: committing },
            }
        }
    }
}

/// Is the connection unfit for another call after this?
pub(super) fn broke(failure: &Failure) -> bool {
    match failure {
        Failure::Store(_) => false,
        Failure::Sql(error) => match verdict(error) {
            Verdict::Refused => false,
            Verdict::NotNow | Verdict::Lost => true,
        },
    }
}

/// Did a row vanish that another one refers to, between a statement's look and its end?
pub(super) fn reference_vanished(failure: &Failure) -> bool {
    matches!(failure, Failure::Sql(sqlx::Error::Database(error)) if error.is_foreign_key_violation())
}

enum Verdict {
    /// The server refuses the statement, and will again.
    Refused,
    /// The server answered that it cannot now; nothing was done.
    NotNow,
    /// Nobody knows.
    Lost,
}

fn verdict(error: &sqlx::Error) -> Verdict {
    match error {
        sqlx::Error::Database(error) => verdict_of_server(&**error),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::InvalidArgument(_)
        | sqlx::Error::RowNotFound
        | sqlx::Error::TypeNotFound { .. } => Verdict::Refused,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Verdict::NotNow,
        _ => Verdict::Lost,
    }
}

/// Only errors of the statement itself are final: feature, cardinality, data, integrity, syntax or access.
fn verdict_of_server(error: &dyn DatabaseError) -> Verdict {
    let code = error.code().unwrap_or_default();
    let fatal = error.try_downcast_ref::<PgDatabaseError>().is_some_and(ends_connection);
    match code.get(..2) {
        Some("0A" | "21" | "22" | "23" | "42") => Verdict::Refused,
        _ if fatal => Verdict::Lost,
        _ => Verdict::NotNow,
    }
}

fn ends_connection(error: &PgDatabaseError) -> bool {
    matches!(error.severity(), PgSeverity::Panic | PgSeverity::Fatal)
}

/// An error in words that contain neither a password nor a stored value.
pub(super) fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => describe_server(&**error),
        sqlx::Error::Io(error) => format!("connection: {error}"),
        sqlx::Error::Tls(error) => format!("TLS: {error}"),
        sqlx::Error::PoolTimedOut => "no connection in time".into(),
        sqlx::Error::PoolClosed => "the store is closed".into(),
        sqlx::Error::ColumnDecode { index, .. } => format!("column {index} cannot be read"),
        sqlx::Error::Configuration(_) => "the connection's settings cannot be used".into(),
        _ => "unexpected answer of PostgreSQL".into(),
    }
}

/// A server's message may quote what was stored, unless it is about the connection, the server's own state, or the text
/// of a statement (ours are constants).
fn describe_server(error: &dyn DatabaseError) -> String {
    let code = error.code().unwrap_or_default();
    match (code.get(..2), error.constraint(), error.table()) {
        (Some("08" | "28" | "3D" | "42" | "53" | "55" | "57" | "58"), _, _) => {
            format!("PostgreSQL: {} ({code})", error.message())
        }
        (_, Some(constraint), _) => format!("PostgreSQL: {code}, constraint {constraint}"),
        (_, None, Some(table)) => format!("PostgreSQL: {code}, table {table}"),
        (_, None, None) => format!("PostgreSQL: {code}"),
    }
}
