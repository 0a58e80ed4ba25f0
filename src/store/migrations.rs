//! The migrations, embedded. Both backends have the same versions.

use std::borrow::Cow;

use sqlx::{
    SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::options::OpenError;

type Script = (i64, &'static str, &'static str);

/// Migrations of the embedded database.
pub(super) const SQLITE: &[Script] = &[
    (1, "roll and log", include_str!("../../migrations/sqlite/0001_roll_and_log.sql")),
    (2, "credentials", include_str!("../../migrations/sqlite/0002_credentials.sql")),
    (3, "API tokens", include_str!("../../migrations/sqlite/0003_api_tokens.sql")),
    (4, "audit", include_str!("../../migrations/sqlite/0004_audit.sql")),
    (5, "discoveries", include_str!("../../migrations/sqlite/0005_discoveries.sql")),
    (7, "login sessions", include_str!("../../migrations/sqlite/0007_login_sessions.sql")),
    (8, "webhooks", include_str!("../../migrations/sqlite/0008_webhooks.sql")),
    (9, "silences", include_str!("../../migrations/sqlite/0009_silences.sql")),
    (11, "sources of clusters", include_str!("../../migrations/sqlite/0011_sources.sql")),
    (12, "marks of Secrets", include_str!("../../migrations/sqlite/0012_secret_marks.sql")),
    (13, "after silences", include_str!("../../migrations/sqlite/0013_after_silences.sql")),
];

/// Migrations of PostgreSQL.
pub(super) const POSTGRES: &[Script] = &[
    (1, "roll and log", include_str!("../../migrations/postgres/0001_roll_and_log.sql")),
    (2, "credentials", include_str!("../../migrations/postgres/0002_credentials.sql")),
    (3, "API tokens", include_str!("../../migrations/postgres/0003_api_tokens.sql")),
    (4, "audit", include_str!("../../migrations/postgres/0004_audit.sql")),
    (5, "discoveries", include_str!("../../migrations/postgres/0005_discoveries.sql")),
    (7, "login sessions", include_str!("../../migrations/postgres/0007_login_sessions.sql")),
    (8, "webhooks", include_str!("../../migrations/postgres/0008_webhooks.sql")),
    (9, "silences", include_str!("../../migrations/postgres/0009_silences.sql")),
    (11, "sources of clusters", include_str!("../../migrations/postgres/0011_sources.sql")),
    (12, "marks of Secrets", include_str!("../../migrations/postgres/0012_secret_marks.sql")),
    (13, "after silences", include_str!("../../migrations/postgres/0013_after_silences.sql")),
];

/// A migrator for one backend.
pub(super) fn migrator(scripts: &[Script]) -> Migrator {
    let migration = |&(version, description, sql): &Script| {
        Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(scripts.iter().map(migration).collect())
}

/// What a failed migration means for who starts the binary. `describe` puts the driver's error in public words.
pub(super) fn translate(
    error: MigrateError,
    scripts: &[Script],
    describe: impl FnOnce(&sqlx::Error) -> String,
) -> OpenError {
    let known = scripts.iter().map(|script| script.0).max().unwrap_or(0);
    match error {
        MigrateError::VersionMissing(found) if found > known => OpenError::Newer { found, known },
        MigrateError::VersionMissing(found) => {
            OpenError::Migration(format!("the database has version {found}, which this fleetbeat never had"))
        }
        MigrateError::VersionMismatch(version) => {
            OpenError::Migration(format!("version {version} was applied with another text"))
        }
        MigrateError::Dirty(version) => OpenError::Migration(format!("version {version} was applied only in part")),
        MigrateError::Execute(error) => OpenError::Unavailable(describe(&error)),
        MigrateError::ExecuteMigration(error, version) => {
            OpenError::Migration(format!("version {version}: {}", describe(&error)))
        }
        _ => OpenError::Migration("the list of applied migrations cannot be read".into()),
    }
}
