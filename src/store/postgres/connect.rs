//! From a URL to a migrated database.

use std::{str::FromStr, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use url::Url;

use super::{pool::Pool, sole::Sole, translate::describe};
use crate::store::{
    migrations::{self, migrator},
    options::{OpenError, StoreOptions},
};

/// Longest that migrating may take, waiting for another process that does so included.
const MIGRATE_LIMIT: Duration = Duration::from_secs(60);

/// Parameters of the URL that mean something to the driver; it would print the value of any other.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Connects once, migrates, and returns the pool for all that follows.
pub(in crate::store) async fn open(url: &SecretString, options: &StoreOptions) -> Result<Pool, OpenError> {
    let connect = parse(url)?;
    let unavailable = |reason: String| OpenError::Unavailable(reason);
    let first = PgConnection::connect_with(&connect);
    let first = tokio::time::timeout(options.call_timeout, first)
        .await
        .map_err(|_| unavailable("the server does not answer".into()))?
        .map_err(|error| unavailable(describe(&error)))?;
    tokio::time::timeout(MIGRATE_LIMIT, migrate(first))
        .await
        .map_err(|_| unavailable(format!("not migrated within {} s", MIGRATE_LIMIT.as_secs())))??;
    let connect = connect.options(settings(options));
    let sole = Sole::take(&connect).await?;
    let breaker = options.breaker.clone();
    Ok(Pool::new(connect, sole, options.max_connections, options.acquire_timeout, options.call_timeout, breaker))
}

fn parse(url: &SecretString) -> Result<PgConnectOptions, OpenError> {
    let bad = |text: &str| OpenError::Url(text.to_owned());
    let parsed = Url::parse(url.expose_secret()).map_err(|_| bad("not a URL"))?;
    if !matches!(parsed.scheme(), "postgresql" | "postgres") {
        return Err(bad("expected postgresql://user@host/database"));
    }
    let unknown = |key: &str| !PARAMETERS.contains(&key) && !key.starts_with("options[");
    if let Some((key, _)) = parsed.query_pairs().find(|(key, _)| unknown(key)) {
        return Err(bad(&format!("unknown parameter '{}'", key.escape_debug())));
    }
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| bad("a parameter has a bad value"))?;
    let named = options.get_application_name().is_some();
    let options = if named { options } else { options.application_name("fleetbeat") };
    Ok(options.disable_statement_logging())
}

/// What the server enforces by itself, should this process be gone or the way to it.
fn settings(options: &StoreOptions) -> [(&'static str, String); 7] {
    let statement = options.statement_timeout.as_millis();
    [
        ("statement_timeout", statement.to_string()),
        ("lock_timeout", (statement * 2 / 3).to_string()),
        ("idle_in_transaction_session_timeout", (options.call_timeout.as_millis() * 2).to_string()),
        ("tcp_user_timeout", "10000".to_owned()),
        ("tcp_keepalives_idle", "15".to_owned()),
        ("tcp_keepalives_interval", "5".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
    ]
}

const HAS_SCHEMA: &str = "SELECT to_regnamespace('clusters') IS NOT NULL";

/// Migrates under the server's advisory lock. The schema may have been made by an administrator, for a user who must not.
async fn migrate(mut connection: PgConnection) -> Result<(), OpenError> {
    let has_schema: bool = sqlx::query_scalar(HAS_SCHEMA)
        .fetch_one(&mut connection)
        .await
        .map_err(|error| OpenError::Unavailable(describe(&error)))?;
    let mut migrator = migrator(migrations::POSTGRES);
    migrator.dangerous_set_table_name("clusters.migrations");
    if !has_schema {
        migrator.create_schema("clusters");
    }
    let done = migrator.run_direct(None, &mut connection, false).await;
    done.map_err(|error| migrations::translate(error, migrations::POSTGRES, describe))
}
