//! `fleetbeat events`: the log of everything that happened.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Client, with_query};
use super::connection::Connection;
use super::error::CliError;
use super::line::Event;
use super::output::{self, EventFormat};
use super::paint::Paint;
use super::{clusters, words};

/// Events of one request.
const PAGE: usize = 1_000;

/// Read the event log
#[derive(Args)]
pub struct EventsArguments {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(ListArguments),
}

/// List events, the oldest first
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat events list --limit 20
  fleetbeat events list --cluster prod-east-1 --event cluster_status_changed
  fleetbeat events list -o json > events.jsonl

The log is read from its beginning, or after a position; `fleetbeat watch` follows it from now on.")]
struct ListArguments {
    /// Only events after this position of the log
    #[arg(long, default_value_t = 0, value_name = "POSITION")]
    after: i64,
    /// At most so many
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Only of this cluster (name or id)
    #[arg(long)]
    cluster: Option<String>,
    /// Only events of this type; repeat it for several
    #[arg(long = "event", value_parser = words::event_type(), ignore_case = true, value_delimiter = ',', value_name = "TYPE")]
    event_types: Vec<String>,
    /// How to write an event
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: EventFormat,
}

/// Does one of the commands.
///
/// # Errors
/// Those of the client.
pub async fn run(arguments: EventsArguments, paint: Paint) -> Result<(), CliError> {
    let client = Client::new(&arguments.connection)?;
    match arguments.command {
        Command::List(list) => list_events(&client, &list, paint).await,
    }
}

async fn list_events(client: &Client, arguments: &ListArguments, paint: Paint) -> Result<(), CliError> {
    let id = match &arguments.cluster {
        Some(wanted) => Some(clusters::find_id(client, wanted).await?),
        None => None,
    };
    let mut left = arguments.limit.unwrap_or(usize::MAX);
    let mut after = arguments.after.to_string();
    while left > 0 {
        let limit = left.min(PAGE).to_string();
        let mut pairs = vec![("after", after.as_str()), ("limit", limit.as_str())];
        pairs.extend(id.as_deref().map(|id| ("cluster_id", id)));
        pairs.extend(arguments.event_types.iter().map(|word| ("event_type", word.as_str())));
        let page = client.get(&with_query("/api/v1/events", &pairs)).await?.json;
        let items = page.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().try_for_each(|item| write(item, arguments.output, paint))?;
        left -= items.len().min(left);
        let more = page.get("has_more").and_then(Value::as_bool).unwrap_or(false);
        let next = page.get("next_after").and_then(Value::as_i64).map(|position| position.to_string());
        match next {
            Some(next) if more && next != after => after = next,
            _ => break,
        }
    }
    Ok(())
}

fn write(item: &Value, format: EventFormat, paint: Paint) -> Result<(), CliError> {
    match (format, Event::of(item.clone())) {
        (EventFormat::Table, Some(event)) => output::line(&event.line(paint)),
        (EventFormat::Table, None) | (EventFormat::Json, _) => output::line(&item.to_string()),
    }
}
