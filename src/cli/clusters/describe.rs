//! `clusters describe`: one cluster with everything that explains it.

use clap::Args;
use serde_json::{Value, json};

use super::{Desk, find};
use crate::cli::card;
use crate::cli::client::with_query;
use crate::cli::error::CliError;
use crate::cli::line::Event;
use crate::cli::look;

/// Events of one request.
const PAGE: &str = "1000";

/// Show one cluster, why it is as it is, and what happened to it
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat clusters describe prod-east-1
  fleetbeat clusters describe prod-east-1 --events 50
  fleetbeat clusters describe prod-east-1 -o json | jq '.events[-1]'")]
pub struct DescribeArguments {
    /// Name or id
    cluster: String,
    /// How many of its last events
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    events: usize,
}

/// Does it.
pub async fn run(desk: &Desk, arguments: &DescribeArguments) -> Result<(), CliError> {
    let found = find(&desk.client, &arguments.cluster).await?;
    let id = look::text(&found.json, "/id");
    let events = last_events(desk, &id, arguments.events).await?;
    let mut whole = found.json.clone();
    whole["events"] = json!(events);
    desk.show(&whole, || {
        let status = found.json.get("status").map(|status| card::conditions(status, found.now, desk.paint));
        let lines = events.iter().cloned().filter_map(Event::of).map(|event| dated(&event, desk));
        let lines: String = lines.collect();
        let lines = if lines.is_empty() { "none\n".to_owned() } else { lines };
        let card = card::cluster(&found.json, found.now, desk.paint);
        format!("{card}\n{}\n{}\n{lines}", status.unwrap_or_default(), desk.paint.strong("LAST EVENTS"))
    })
}

/// The day goes before the time: these may be months old.
fn dated(event: &Event, desk: &Desk) -> String {
    let day = event.timestamp.map(|time| time.with_timezone(&chrono::Local).format("%Y-%m-%d").to_string());
    format!("{} {}\n", desk.paint.faint(&day.unwrap_or_default()), event.line(desk.paint))
}

/// The last so many events of a cluster, the oldest first. The log is read forwards only.
async fn last_events(desk: &Desk, id: &str, count: usize) -> Result<Vec<Value>, CliError> {
    let (mut last, mut after) = (Vec::new(), "0".to_owned());
    if count == 0 {
        return Ok(last);
    }
    loop {
        let query = [("after", after.as_str()), ("limit", PAGE), ("cluster_id", id)];
        let page = desk.client.get(&with_query("/api/v1/events", &query)).await?.json;
        last.extend(page["items"].as_array().into_iter().flatten().cloned());
        last.drain(..last.len().saturating_sub(count));
        match page["next_after"].as_i64() {
            Some(next) if look::holds(&page, "/has_more") && next.to_string() != after => after = next.to_string(),
            _ => return Ok(last),
        }
    }
}
