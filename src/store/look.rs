//! A look at a database from outside: is it there, and what is it? Changes nothing, makes nothing.

use std::{path::Path, time::Duration};

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::Place;

const NOW: &str = "SELECT current_setting('server_version'), now()";
const CHECK: &str = "PRAGMA quick_check(1)";

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// In words.
    pub told: String,
    /// The server's clock, where there is one.
    pub clock: Option<DateTime<Utc>>,
}

/// Looks at a database.
///
/// # Errors
/// Why it cannot be used; never with a password in it.
pub async fn look(place: &Place, within: Duration) -> Result<Seen, String> {
    let looked = async {
        match place {
            Place::File(path) if !path.exists() => {
                Ok(Seen { told: format!("{} is made at the first start", path.display()), clock: None })
            }
            Place::File(path) => file(path).await.map_err(|error| error.to_string()),
            Place::Server(url) => server(url.expose_secret()).await.map_err(|error| match error {
                sqlx::Error::Configuration(_) => "the URL cannot be used".to_owned(),
                other => other.to_string(),
            }),
        }
    };
    tokio::time::timeout(within, looked).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

async fn file(path: &Path) -> Result<Seen, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection: SqliteConnection = options.connect().await?;
    let verdict: String = sqlx::query_scalar(CHECK).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(Seen { told: format!("SQLite, {}: {verdict}", path.display()), clock: None })
}

async fn server(url: &str) -> Result<Seen, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let (version, now): (String, DateTime<Utc>) = sqlx::query_as(NOW).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(Seen { told: format!("PostgreSQL {version}"), clock: Some(now) })
}
