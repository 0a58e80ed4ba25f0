//! `fleetbeat tokens`: makes, lists and revokes API tokens, through the API or, with `--local`, in the database itself.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use fleetbeat_actors::ports::Clock;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::Client;
use super::connection::Connection;
use super::error::CliError;
use super::output::{self, PlainFormat};
use super::paint::Paint;
use super::settings::SettingsArguments;
use super::table::{self, Cell};
use crate::app;
use crate::audit::Origin;
use crate::clock::SystemClock;
use crate::identity::{ApiToken, FIRST_TOKEN_FILE, Keyring, Role, Scope, TokenDraft};
use crate::store::Store;

/// Make, list and revoke API tokens
#[derive(Args)]
#[command(after_help = "\
Asks the server, with the token of an administrator (FLEETBEAT_TOKEN or --token-file). With --local it works on the database
that the settings name: for the first token, or when the last one was lost. The database is free only while no server
has it open.

Examples:
  fleetbeat tokens create ci --role operator --labels team=payments --days 90
  fleetbeat tokens create grafana --role viewer
  fleetbeat tokens list
  fleetbeat tokens create rescue --role admin --local --config fleetbeat.yaml")]
pub struct TokensArguments {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    settings: SettingsArguments,
    /// Work on the database itself instead of asking a server
    #[arg(long, global = true)]
    local: bool,
    /// How to write the answer
    #[arg(short, long, value_enum, global = true, default_value_t, value_name = "FORMAT")]
    output: PlainFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(CreateArguments),
    /// List tokens, without their secrets
    #[command(visible_alias = "ls")]
    List,
    /// Print the first token, which the first start left in the data directory that the settings name
    First,
    /// Revoke a token, at once
    Revoke {
        /// The token's id
        id: Uuid,
    },
}

/// Make a token; its text is written once, to standard output
#[derive(Args)]
struct CreateArguments {
    /// What to call it
    name: String,
    /// viewer reads; operator also registers, changes and checks; admin also removes and decides about callers
    #[arg(long, default_value = "viewer", value_parser = role)]
    role: Role,
    /// See only this cluster; may be repeated
    #[arg(long = "cluster", value_name = "ID", conflicts_with = "labels")]
    clusters: Vec<String>,
    /// See only clusters whose labels match, such as env=prod,team!=x
    #[arg(long, value_name = "SELECTOR")]
    labels: Option<String>,
    /// Days until it expires; never without
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(1..=3650))]
    days: Option<i64>,
}

fn role(text: &str) -> Result<Role, String> {
    text.parse::<Role>().map_err(|error| error.to_string())
}

impl CreateArguments {
    fn scope(&self) -> Result<Scope, CliError> {
        match &self.labels {
            Some(labels) => Scope::labels(labels.clone()),
            None if self.clusters.is_empty() => Ok(Scope::Everything),
            None => Scope::clusters(&self.clusters),
        }
        .map_err(CliError::Usage)
    }
}

/// Does one of the commands.
///
/// # Errors
/// Those of the server or of the database.
pub async fn run(arguments: TokensArguments, paint: Paint) -> Result<(), CliError> {
    if matches!(arguments.command, Command::First) {
        return first(&arguments.settings);
    }
    if arguments.local {
        return run_locally(&arguments, paint).await;
    }
    let client = Client::new(&arguments.connection)?;
    match &arguments.command {
        Command::Create(create) => {
            let body = json!({
                "name": create.name,
                "role": create.role.as_str(),
                "scope": create.scope()?.to_json(),
                "expires_in_days": create.days,
            });
            let answer = client.post("/api/v1/tokens", Some(&body), client.timeout()).await?;
            created(&answer.json, arguments.output)
        }
        Command::List => {
            let answer = client.get("/api/v1/tokens").await?;
            listed(&answer.json, arguments.output, paint)
        }
        Command::Revoke { id } => client.delete(&format!("/api/v1/tokens/{id}")).await,
        Command::First => Ok(()),
    }
}

/// In an image without a shell nothing else could read the file.
fn first(settings: &SettingsArguments) -> Result<(), CliError> {
    let file = settings.load()?.data_dir.join(FIRST_TOKEN_FILE);
    let text = std::fs::read_to_string(&file).map_err(CliError::failed(format!("cannot read {}", file.display())))?;
    output::say(&format!("{}\n", text.trim()))
}

async fn run_locally(arguments: &TokensArguments, paint: Paint) -> Result<(), CliError> {
    let settings = arguments.settings.load()?;
    let store = app::open_store(&settings).await.map_err(CliError::failed("the database cannot be opened"))?;
    let done = change_locally(arguments, &store, paint).await;
    store.close().await;
    done
}

async fn change_locally(arguments: &TokensArguments, store: &Arc<dyn Store>, paint: Paint) -> Result<(), CliError> {
    let failed = || CliError::failed("the database did not take it");
    let keyring = Keyring::load(Arc::clone(store), Arc::new(SystemClock)).await.map_err(failed())?;
    let now = SystemClock.wall();
    match &arguments.command {
        Command::Create(create) => {
            let draft = TokenDraft {
                name: create.name.clone(),
                role: create.role,
                scope: create.scope()?,
                expires_at: create.days.map(|days| now + TimeDelta::days(days)),
                created_by: Some("local".to_owned()),
            };
            let (text, token) = keyring
                .create(draft, &Origin::console())
                .await
                .map_err(CliError::failed("the token could not be made"))?;
            let mut view = view(&token, now);
            view["token"] = json!(text.expose_secret());
            created(&view, arguments.output)
        }
        Command::List => {
            let items: Vec<Value> = keyring.list().iter().map(|token| view(token, now)).collect();
            listed(&json!({ "items": items }), arguments.output, paint)
        }
        Command::Revoke { id } => match keyring.revoke(*id, &Origin::console()).await.map_err(failed())? {
            true => Ok(()),
            false => Err(CliError::NotFound(format!("no token {id} is valid"))),
        },
        Command::First => Ok(()),
    }
}

fn created(answer: &Value, format: PlainFormat) -> Result<(), CliError> {
    format.tell(answer, || format!("{}\n", answer["token"].as_str().unwrap_or_default()))
}

fn listed(answer: &Value, format: PlainFormat, paint: Paint) -> Result<(), CliError> {
    let header = ["ID", "NAME", "ROLE", "SCOPE", "CREATED", "EXPIRES", "VALID"];
    format.tell(answer, || table::of_items(answer, &header, row, paint))
}

fn row(token: &Value) -> Vec<Cell> {
    let text = |field: &str| Cell::text(token[field].as_str().unwrap_or("-").chars().take(40).collect::<String>());
    let valid = token["valid"].as_bool() == Some(true);
    let scope = match token["scope"].get("everything") {
        Some(_) => "everything".to_owned(),
        None => token["scope"].to_string().chars().take(60).collect(),
    };
    vec![
        text("id"),
        text("name"),
        text("role"),
        Cell::text(scope),
        text("created_at"),
        text("expires_at"),
        Cell::verdict(if valid { "yes" } else { "no" }, valid),
    ]
}

/// A token as the API shows it.
fn view(token: &ApiToken, now: DateTime<Utc>) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "role": token.role.as_str(),
        "scope": token.scope.to_json(),
        "created_by": token.created_by,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "valid": token.is_valid_at(now),
    })
}
