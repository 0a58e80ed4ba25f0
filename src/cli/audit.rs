//! `fleetbeat audit`: reads the audit log and verifies its chain, through the API or, with `--local`, in the database itself.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, with_query};
use super::connection::Connection;
use super::error::CliError;
use super::output::PlainFormat;
use super::paint::Paint;
use super::settings::SettingsArguments;
use super::table::{self, Cell};
use crate::app;
use crate::audit::{Verification, verify};
use crate::store::audit::{AuditLink, hex};

/// Rows of one request.
const PAGE: usize = 1_000;
/// A walk over a long log takes its time.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Read and verify the audit log: who did what, when, from where, and what was refused
#[derive(Args)]
pub struct AuditArguments {
    #[command(flatten)]
    connection: Connection,
    /// How to write the answer
    #[arg(short, long, value_enum, global = true, default_value_t, value_name = "FORMAT")]
    output: PlainFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List rows, the newest first
    #[command(visible_alias = "ls")]
    List(ListArguments),
    Verify(VerifyArguments),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat audit list --limit 20
  fleetbeat audit list --outcome refused --from 2026-01-31T00:00:00Z
  fleetbeat audit list --actor token:0190… --action cluster.delete -o json")]
struct ListArguments {
    /// Only of this actor, such as token:<id>
    #[arg(long)]
    actor: Option<String>,
    /// Only of this action, such as cluster.update
    #[arg(long)]
    action: Option<String>,
    /// Only with this outcome: succeeded, refused, failed
    #[arg(long, value_parser = ["succeeded", "refused", "failed"], hide_possible_values = true)]
    outcome: Option<String>,
    /// Only about this cluster (its id)
    #[arg(long, value_name = "ID")]
    cluster: Option<String>,
    /// Only of the request with this X-Request-ID
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only from this time on, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: usize,
}

/// Walk the whole chain and name the first row that was changed, removed or put in; then end with 1
#[derive(Args)]
#[command(after_help = "\
Asks the server to walk the chain, or, with --local, walks it in the database that the settings name, which is free only while no
server has it open.

What is written last can be noted elsewhere (`last` in the answer). With --expect it is looked for again: somebody who wrote the
whole log anew did not write that.

Examples:
  fleetbeat audit verify
  fleetbeat audit verify --local --config fleetbeat.yaml
  fleetbeat audit verify --expect 4711:5d0c…")]
struct VerifyArguments {
    /// Walk the chain in the database itself instead of asking a server
    #[arg(long)]
    local: bool,
    /// A place of the chain as it was noted earlier, position:hash
    #[arg(long, value_name = "PLACE", value_parser = place)]
    expect: Option<AuditLink>,
    #[command(flatten)]
    settings: SettingsArguments,
}

fn place(text: &str) -> Result<AuditLink, String> {
    let wrong = || "must be a position and a hash of 64 hex digits, such as 4711:5d0c…".to_owned();
    let (position, hash) = text.split_once(':').ok_or_else(wrong)?;
    let position = position.parse().ok().filter(|position| *position > 0).ok_or_else(wrong)?;
    if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hash[at * 2..at * 2 + 2], 16).map_err(|_| wrong())?;
    }
    Ok(AuditLink { position, hash: bytes })
}

/// Does one of the commands.
///
/// # Errors
/// Those of the server or of the database; that the chain is broken.
pub async fn run(arguments: AuditArguments, paint: Paint) -> Result<(), CliError> {
    match &arguments.command {
        Command::List(list) => {
            let client = Client::new(&arguments.connection)?;
            listed(rows(&client, list).await?, arguments.output, paint)
        }
        Command::Verify(wanted) => {
            let found = match wanted.local {
                true => verify_locally(wanted).await?,
                false => verify_there(&Client::new(&arguments.connection)?, wanted).await?,
            };
            verified(&found, arguments.output)
        }
    }
}

async fn rows(client: &Client, list: &ListArguments) -> Result<Vec<Value>, CliError> {
    let mut rows = Vec::new();
    let mut before = None;
    while rows.len() < list.limit {
        let limit = (list.limit - rows.len()).min(PAGE).to_string();
        let mut pairs = vec![("limit", limit.as_str())];
        let filters = [
            ("actor", &list.actor),
            ("action", &list.action),
            ("outcome", &list.outcome),
            ("cluster_id", &list.cluster),
            ("request_id", &list.request_id),
            ("from", &list.from),
            ("to", &list.to),
            ("before", &before),
        ];
        pairs.extend(filters.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
        let mut page = client.get(&with_query("/api/v1/audit", &pairs)).await?.json;
        rows.extend(page["items"].as_array_mut().map(std::mem::take).unwrap_or_default());
        match page["next_before"].as_i64() {
            Some(position) => before = Some(position.to_string()),
            None => break,
        }
    }
    Ok(rows)
}

fn listed(rows: Vec<Value>, format: PlainFormat, paint: Paint) -> Result<(), CliError> {
    let header = ["POSITION", "AT", "WHO", "FROM", "ACTION", "OUTCOME", "ABOUT", "REQUEST"];
    let answer = json!({ "items": rows });
    format.tell(&answer, || table::of_items(&answer, &header, row, paint))
}

fn row(row: &Value) -> Vec<Cell> {
    let text = |field: &str| row[field].as_str();
    let plain = |field: &str| Cell::text(text(field).unwrap_or("-"));
    let outcome = text("outcome").unwrap_or("-");
    let told = text("cause").map_or(outcome.to_owned(), |cause| format!("{outcome}: {cause}"));
    vec![
        Cell::number(row["position"].as_i64().unwrap_or_default()),
        plain("at"),
        Cell::text(text("actor_name").or(text("actor")).unwrap_or("-")),
        plain("address"),
        plain("action"),
        Cell::verdict(&told, outcome == "succeeded"),
        Cell::text(text("object").or(text("cluster_id")).unwrap_or("-")),
        plain("request_id"),
    ]
}

/// What a walk found, as the API tells it.
struct Found {
    answer: Value,
    /// What is wrong, in words.
    broken: Option<String>,
}

async fn verify_there(client: &Client, wanted: &VerifyArguments) -> Result<Found, CliError> {
    let answer = client.get_within("/api/v1/audit/verification", PATIENCE).await?.json;
    let mut broken = answer["broken"]["message"].as_str().map(str::to_owned);
    if let Some(expected) = wanted.expect.filter(|_| broken.is_none()) {
        let (after, limit) = ((expected.position + 1).to_string(), "1");
        let page = client.get(&with_query("/api/v1/audit", &[("before", &after), ("limit", limit)])).await?.json;
        let hash = page["items"][0]["hash"].as_str().filter(|_| page["items"][0]["position"] == expected.position);
        broken = unexpected(&expected, hash, answer["anchor"]["position"].as_i64().unwrap_or_default());
    }
    Ok(Found { answer, broken })
}

async fn verify_locally(wanted: &VerifyArguments) -> Result<Found, CliError> {
    let failed = || CliError::failed("the audit log cannot be read");
    let settings = wanted.settings.load()?;
    let store = app::open_store(&settings).await.map_err(CliError::failed("the database cannot be opened"))?;
    let found = verify(&*store).await;
    let noted = match wanted.expect {
        Some(expected) => {
            let filter =
                crate::store::AuditFilter { before: Some(expected.position + 1), limit: 1, ..Default::default() };
            store.audit(&filter).await.map(|rows| rows.first().map(|row| row.link()))
        }
        None => Ok(None),
    };
    store.close().await;
    let (found, noted) = (found.map_err(failed())?, noted.map_err(failed())?);
    let mut broken = found.broken.as_ref().map(|broken| format!("row {} {}", broken.position, broken.fault));
    if let Some(expected) = wanted.expect.filter(|_| broken.is_none()) {
        let hash = noted.filter(|link| link.position == expected.position).map(|link| hex(&link.hash));
        broken = unexpected(&expected, hash.as_deref(), found.anchor.position);
    }
    Ok(Found { answer: view(&found), broken })
}

/// What is wrong with the place that was expected; nothing when it was pruned since.
fn unexpected(expected: &AuditLink, hash: Option<&str>, anchor: i64) -> Option<String> {
    let position = expected.position;
    match hash {
        Some(hash) if hash == hex(&expected.hash) => None,
        Some(_) => Some(format!("row {position} is another than the one that was expected")),
        None if position <= anchor => None,
        None => Some(format!("row {position}, which was expected, is not there")),
    }
}

fn verified(found: &Found, format: PlainFormat) -> Result<(), CliError> {
    format.tell(&found.answer, || {
        let (rows, last) = (&found.answer["rows"], &found.answer["last"]);
        let (position, hash) = (last["position"].as_i64().unwrap_or_default(), last["hash"].as_str().unwrap_or("-"));
        let whole = || format!("The audit log is whole: {rows} rows, the last is {position}:{hash}\n");
        found.broken.as_ref().map_or_else(whole, |_| String::new())
    })?;
    match &found.broken {
        None => Ok(()),
        Some(message) => Err(CliError::Partly(format!("the audit log is broken: {message}"))),
    }
}

/// What a walk found, as the API shows it.
fn view(found: &Verification) -> Value {
    let place = |link: &AuditLink| json!({ "position": link.position, "hash": hex(&link.hash) });
    let broken = found.broken.as_ref().map(|broken| {
        let message = format!("row {} {}", broken.position, broken.fault);
        json!({ "position": broken.position, "fault": broken.fault.as_str(), "message": message })
    });
    json!({
        "whole": found.broken.is_none(),
        "rows": found.rows,
        "anchor": place(&found.anchor),
        "last": place(&found.last),
        "broken": broken,
    })
}
