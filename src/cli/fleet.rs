//! `fleetbeat fleet`: the fleet as a whole.

use clap::{Args, Subcommand};
use fleetbeat_actors::health::State;
use serde_json::Value;

use super::client::{Answer, Client};
use super::connection::Connection;
use super::error::CliError;
use super::look;
use super::output::{self, PlainFormat};
use super::paint::Paint;
use super::table::{self, Cell};

/// The fleet as a whole
#[derive(Args)]
pub struct FleetArguments {
    /// How to write the answer
    #[arg(short, long, value_enum, global = true, default_value_t, value_name = "FORMAT")]
    output: PlainFormat,
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Count clusters by state, type and environment
    #[command(after_help = "Example:\n  fleetbeat fleet summary -o json | jq .by_state.OFFLINE")]
    Summary,
    /// How healthy the fleet is, and which clusters are in trouble
    #[command(after_help = "Example:\n  fleetbeat fleet health")]
    Health,
}

/// Does one of the commands.
///
/// # Errors
/// Those of the client.
pub async fn run(arguments: FleetArguments, paint: Paint) -> Result<(), CliError> {
    let client = Client::new(&arguments.connection)?;
    let (path, text): (_, fn(&Answer, Paint) -> String) = match arguments.command {
        Command::Summary => ("/api/v1/fleet/summary", summary),
        Command::Health => ("/api/v1/fleet/health", health),
    };
    let answer = client.get(path).await?;
    arguments.output.tell(&answer.json, || text(&answer, paint))
}

/// Counts by state on one line: `198 ONLINE  1 DEGRADED  1 OFFLINE`. States that nobody is in are left out.
pub fn states(counts: &Value, paint: Paint) -> String {
    let count = |state: &State| counts.get(state.as_str()).and_then(Value::as_u64).unwrap_or(0);
    let told: Vec<_> = [State::Online, State::Degraded, State::Offline, State::Unknown]
        .iter()
        .filter(|state| count(state) > 0)
        .map(|state| paint.state(*state, &format!("{} {state}", count(state))))
        .collect();
    told.join("  ")
}

fn summary(answer: &Answer, paint: Paint) -> String {
    let fleet = &answer.json;
    let part = |key: &str| fleet.get(key).cloned().unwrap_or_default();
    let mut text = format!(
        "{}  {}  mean score {}\n",
        output::clusters(&look::text(fleet, "/total_clusters")),
        states(&part("by_state"), paint),
        look::text(fleet, "/avg_health_score")
    );
    for (title, key) in [("TYPE", "by_type"), ("ENVIRONMENT", "by_environment")] {
        let counts = part(key);
        let rows = counts.as_object().into_iter().flatten();
        let rows = rows.map(|(word, count)| vec![Cell::text(word), Cell::number(count)]).collect();
        text = format!("{text}\n{}", table::render(&[title, "CLUSTERS"], rows, paint));
    }
    text
}

fn health(answer: &Answer, paint: Paint) -> String {
    let fleet = &answer.json;
    let part = |key: &str| fleet.get(key).cloned().unwrap_or_default();
    let online = match look::text(fleet, "/online_percent") {
        percent if percent == look::NOTHING => "nothing checked yet".to_owned(),
        percent => format!("{percent} % online"),
    };
    let mut text = format!(
        "{}  {}  {online}  mean score {}\n",
        output::clusters(&look::text(fleet, "/total_clusters")),
        states(&part("by_state"), paint),
        look::text(fleet, "/avg_health_score")
    );
    for (word, key) in [("stale", "/stale"), ("flapping", "/flapping"), ("held back", "/held")] {
        let count = look::text(fleet, key);
        if count != "0" && count != look::NOTHING {
            text.push_str(&format!("{}\n", paint.warn(&format!("{count} {word}"))));
        }
    }
    let troubled = part("troubled");
    let rows: Vec<_> = troubled.as_array().into_iter().flatten().map(|cluster| trouble(cluster, answer)).collect();
    if !rows.is_empty() {
        let header = ["NAME", "STATE", "SCORE", "SINCE", "REASON", "ERROR"];
        text = format!("{text}\n{}", table::render(&header, rows, paint));
    }
    text
}

fn trouble(cluster: &Value, answer: &Answer) -> Vec<Cell> {
    let text = |place| Cell::text(look::text(cluster, place));
    vec![
        text("/name"),
        Cell::state(look::state(cluster, "/state")),
        Cell::number(look::text(cluster, "/health_score")),
        Cell::text(look::age(cluster, "/since", answer.now)),
        text("/reason"),
        text("/error_message"),
    ]
}
